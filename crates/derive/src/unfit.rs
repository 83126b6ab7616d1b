//! Types that never cross between processes, known by the way they are written, each with what to use instead.
//!
//! The traits refuse them anyway; this only gives the most helpful text at the exact place. A type that merely
//! has the name of one of these and is none (`struct String;` of one's own) can be written as a path
//! (`self::String`) to get past it.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{GenericArgument, PathArguments, Type, TypePath};

/// Where `ty` mentions a type that cannot cross, and what to use instead.
pub(crate) fn find(ty: &Type) -> Option<(Span, String)> {
    let unfit = |text: &str| Some((ty.span(), text.to_owned()));
    match ty {
        Type::Reference(_) => unfit("a reference holds an address of one process: store the value itself or an index"),
        Type::Ptr(_) => unfit("a pointer holds an address of one process: store the value itself or an index"),
        Type::FnPtr(_) => {
            unfit("a function pointer holds an address of one process: store a number that says which function")
        }
        Type::TraitObject(_) => unfit("a trait object holds addresses of one process: store the value itself"),
        Type::Tuple(tuple) if !tuple.elems.is_empty() => {
            unfit("a tuple has no fixed layout: use a struct with #[repr(C)]")
        }
        Type::Array(array) => find(&array.elem),
        Type::Group(group) => find(&group.elem),
        Type::Paren(paren) => find(&paren.elem),
        Type::Path(path) => find_in_path(path),
        _ => None,
    }
}

fn find_in_path(ty: &TypePath) -> Option<(Span, String)> {
    let last = ty.path.segments.last()?;
    let name = last.ident.to_string();
    let arguments = match &last.arguments {
        PathArguments::AngleBracketed(list) => Some(&list.args),
        _ => None,
    };
    let text = match arguments {
        None if ty.path.segments.len() == 1 => match name.as_str() {
            "bool" => Some("bool is valid only as 0 or 1, and another process may leave any byte: use Flag".to_owned()),
            "char" => Some("most bit patterns are no char: store a u32 and convert it with char::from_u32".to_owned()),
            "usize" => Some("usize differs between 32- and 64-bit programs: use u64 or u32".to_owned()),
            "isize" => Some("isize differs between 32- and 64-bit programs: use i64 or i32".to_owned()),
            "String" => {
                Some("String holds an address of one process: use Text<N>, a text of at most N bytes".to_owned())
            }
            _ => None,
        },
        None => None,
        Some(_) => match name.as_str() {
            "Vec" | "VecDeque" | "HashMap" | "BTreeMap" | "HashSet" | "BTreeSet" => {
                Some(format!("{name} holds addresses of one process: use an array of fixed length and a count"))
            }
            "Box" | "Rc" | "Arc" | "Cow" => {
                Some(format!("{name} holds an address of one process: store the value itself"))
            }
            "Option" => Some(
                "not every bit pattern is an Option: use a Flag beside the value, or a value that means none"
                    .to_owned(),
            ),
            "Result" => Some("not every bit pattern is a Result: use a u8 code beside the value".to_owned()),
            _ => None,
        },
    };
    if let Some(text) = text {
        return Some((ty.span(), text));
    }
    arguments?.iter().find_map(|argument| match argument {
        GenericArgument::Type(inner) => find(inner),
        _ => None,
    })
}
