//! What both macros read from a struct: its fields, its representation and the crate to name.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Generics, Path, Result, Type, parse_quote};

/// The crate that generated code names unless the struct says otherwise.
#[derive(Clone, Copy)]
pub(crate) enum Home {
    SharedMemory,
    Wharf,
}

/// A struct that passed the checks that need no types.
pub(crate) struct Struct<'a> {
    pub(crate) name: &'a Ident,
    pub(crate) generics: &'a Generics,
    pub(crate) fields: Vec<Field<'a>>,
    /// Where the generated code finds the traits: `path::__derive`.
    pub(crate) traits: TokenStream,
}

/// One field: how to name it in code and in words, and its type.
pub(crate) struct Field<'a> {
    pub(crate) member: TokenStream,
    pub(crate) name: String,
    pub(crate) ty: &'a Type,
}

impl<'a> Struct<'a> {
    /// Reads a struct, or says why `what` cannot be derived for it.
    pub(crate) fn read(input: &'a DeriveInput, home: Home, what: &str) -> Result<Struct<'a>> {
        let fields = fields(input, what)?;
        check_generics(&input.generics, what)?;
        check_representation(input, what)?;
        let home = named_crate(input)?.unwrap_or_else(|| match home {
            Home::SharedMemory => parse_quote!(::wharf_shared_memory),
            Home::Wharf => parse_quote!(::wharf),
        });
        Ok(Struct { name: &input.ident, generics: &input.generics, fields, traits: quote!(#home::__derive) })
    }

    /// Whether the checks inside `LAYOUT` can run at the declaration, not only where the type is used.
    pub(crate) fn is_concrete(&self) -> bool {
        self.generics.params.is_empty()
    }
}

fn fields<'a>(input: &'a DeriveInput, what: &str) -> Result<Vec<Field<'a>>> {
    let data = match &input.data {
        Data::Struct(data) => data,
        Data::Enum(data) => {
            let text = format!(
                "an enum cannot be {what}: another process may leave a number that is no variant; \
                 store a u8 or u32 and convert it with TryFrom where it is read"
            );
            return Err(Error::new(data.enum_token.span, text));
        }
        Data::Union(data) => {
            let text =
                format!("a union cannot be {what}: its bytes may be undefined; use a struct or an array of bytes");
            return Err(Error::new(data.union_token.span, text));
        }
    };
    let named = |(at, field): (usize, &'a syn::Field)| match &field.ident {
        Some(ident) => Field { member: ident.to_token_stream(), name: ident.unraw().to_string(), ty: &field.ty },
        None => Field { member: syn::Index::from(at).to_token_stream(), name: at.to_string(), ty: &field.ty },
    };
    Ok(data.fields.iter().enumerate().map(named).collect())
}

fn check_generics(generics: &Generics, what: &str) -> Result<()> {
    match generics.lifetimes().next() {
        Some(lifetime) => {
            let text = format!(
                "a type with a lifetime cannot be {what}: a borrow does not outlive its process; \
                 store the value itself or an index"
            );
            Err(Error::new(lifetime.span(), text))
        }
        None => Ok(()),
    }
}

fn check_representation(input: &DeriveInput, what: &str) -> Result<()> {
    let mut fixed = false;
    for attribute in &input.attrs {
        if !attribute.path().is_ident("repr") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("C") || meta.path.is_ident("transparent") {
                fixed = true;
                Ok(())
            } else if meta.path.is_ident("align") {
                // The number is the compiler's business; padding that it causes is found by the field checks.
                let number;
                syn::parenthesized!(number in meta.input);
                number.parse::<TokenStream>().map(drop)
            } else {
                let text = format!(
                    "only `C`, `transparent` and `align` are possible on {what} types: a packed field may be \
                     unaligned, and then nothing can refer to it"
                );
                Err(Error::new(meta.path.span(), text))
            }
        })?;
    }
    if fixed {
        return Ok(());
    }
    let text = format!(
        "a {what} struct needs #[repr(C)]: without it each compilation may order the fields differently, \
         and two programs would read each other's bytes wrongly"
    );
    Err(Error::new(input.ident.span(), text))
}

/// The path in `#[wharf(crate = path)]`, if there is one.
fn named_crate(input: &DeriveInput) -> Result<Option<Path>> {
    let mut named = None;
    for attribute in &input.attrs {
        if !attribute.path().is_ident("wharf") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("expected `crate = path`"));
            }
            named = Some(meta.value()?.parse::<Path>()?);
            Ok(())
        })?;
    }
    Ok(named)
}

/// All errors as one, so that the compiler shows each at its place.
pub(crate) fn all(errors: impl IntoIterator<Item = (Span, String)>) -> Result<()> {
    together(errors.into_iter().map(|(span, text)| Error::new(span, text)))
}

/// The same, of errors.
pub(crate) fn together(errors: impl IntoIterator<Item = Error>) -> Result<()> {
    match errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    }) {
        Some(all) => Err(all),
        None => Ok(()),
    }
}
