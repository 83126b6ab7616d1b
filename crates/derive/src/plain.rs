//! `derive(Plain)`: fields that are plain, in a fixed order, with nothing between them.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Generics, Result, parse_quote};

use crate::input::{Home, Struct, all};
use crate::unfit;

pub(crate) fn derive(input: &DeriveInput, home: Home) -> Result<TokenStream> {
    let item = Struct::read(input, home, "Plain")?;
    all(item.fields.iter().filter_map(|field| unfit::find(field.ty)))?;

    let traits = &item.traits;
    let name = item.name;
    let text = name.to_string();
    let generics = with_plain_parameters(&item);
    let (parameters, _, conditions) = generics.split_for_impl();
    let (_, arguments, _) = item.generics.split_for_impl();

    let described = item.fields.iter().map(|field| {
        let (member, name, ty) = (&field.member, &field.name, field.ty);
        // The span of the type puts "not Plain" under the field, not under the macro's name.
        let layout = quote_spanned!(ty.span()=> <#ty as #traits::Plain>::LAYOUT);
        quote!(#traits::Field::new(#name, ::core::mem::offset_of!(Self, #member), #layout))
    });
    let unpadded = padding_checks(&item);
    // Constants of a generic type are computed where the type is used; those of any other type here and now.
    let checked_now = item.is_concrete().then(|| quote!(const _: #traits::Layout = <#name as #traits::Plain>::LAYOUT;));

    Ok(quote! {
        #[automatically_derived]
        unsafe impl #parameters #traits::Plain for #name #arguments #conditions {
            const LAYOUT: #traits::Layout = {
                #unpadded
                #traits::Layout::record(
                    #text,
                    <Self as #traits::Plain>::FIELDS,
                    ::core::mem::size_of::<Self>(),
                    ::core::mem::align_of::<Self>(),
                )
            };
            const FIELDS: &'static [#traits::Field] = &[#(#described),*];
        }
        #checked_now
    })
}

/// The generics with every type parameter bound to be plain. A bound on the fields' types would not do: from
/// `[T; N]: Copy` the compiler does not conclude `T: Copy`, which the struct needs to be `Copy` itself.
fn with_plain_parameters(item: &Struct<'_>) -> Generics {
    let traits = &item.traits;
    let mut generics = item.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#traits::Plain));
    }
    generics
}

/// One assertion for each field, that it starts where the one before it ends, and one for the end.
fn padding_checks(item: &Struct<'_>) -> TokenStream {
    let remedy = "order the fields from the largest alignment to the smallest, \
                  or fill the gap with a field `_reserved: [u8; N]`";
    let mut end = quote!(0_usize);
    let mut checks = TokenStream::new();
    for field in &item.fields {
        let (member, ty) = (&field.member, field.ty);
        let text = format!("`{}` has padding before its field `{}`: {remedy}", item.name, field.name);
        let start = quote!(::core::mem::offset_of!(Self, #member));
        checks.extend(quote_spanned!(ty.span()=> ::core::assert!(#start == #end, #text);));
        end = quote!(#start + ::core::mem::size_of::<#ty>());
    }
    let text = format!("`{}` has padding at its end: {remedy}", item.name);
    checks.extend(quote_spanned! {item.name.span()=>
        ::core::assert!(::core::mem::size_of::<Self>() == #end, #text);
    });
    checks
}
