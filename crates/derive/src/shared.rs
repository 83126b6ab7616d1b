//! `derive(Shared)`: fields that are primitives or built of them, in a fixed order.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Generics, Result, parse_quote};

use crate::input::{Home, Struct, all};
use crate::unfit;

pub(crate) fn derive(input: &DeriveInput, home: Home) -> Result<TokenStream> {
    let item = Struct::read(input, home, "Shared")?;
    all(item.fields.iter().filter_map(|field| unfit::find(field.ty)))?;

    let traits = &item.traits;
    let name = item.name;
    let text = name.to_string();
    let generics = with_shared_fields(&item);
    let (parameters, _, conditions) = generics.split_for_impl();
    let (_, arguments, _) = item.generics.split_for_impl();

    let described = item.fields.iter().map(|field| {
        let (member, name, ty) = (&field.member, &field.name, field.ty);
        // The span of the type puts "not Shared" under the field, not under the macro's name.
        let layout = quote_spanned!(ty.span()=> <#ty as #traits::Shared>::LAYOUT);
        quote!(#traits::Field::new(#name, ::core::mem::offset_of!(Self, #member), #layout))
    });
    let drops = format!(
        "`{name}` has something to drop: memory that several processes map belongs to none of them, \
         so nothing in it is ever dropped; remove the Drop"
    );
    let droppable = quote_spanned! {name.span()=>
        ::core::assert!(!::core::mem::needs_drop::<Self>(), #drops);
    };
    // Constants of a generic type are computed where the type is used; those of any other type here and now.
    let checked_now =
        item.is_concrete().then(|| quote!(const _: #traits::Layout = <#name as #traits::Shared>::LAYOUT;));

    Ok(quote! {
        #[automatically_derived]
        unsafe impl #parameters #traits::Shared for #name #arguments #conditions {
            const LAYOUT: #traits::Layout = {
                #droppable
                #traits::Layout::record(
                    #text,
                    <Self as #traits::Shared>::FIELDS,
                    ::core::mem::size_of::<Self>(),
                    ::core::mem::align_of::<Self>(),
                )
            };
            const FIELDS: &'static [#traits::Field] = &[#(#described),*];
        }
        #checked_now
    })
}

/// The generics with every field's type bound to be shared. The parameters themselves need not be: in `Mutex<T>`, `T` is
/// plain. Of a struct without parameters the compiler checks the fields' types anyway.
fn with_shared_fields(item: &Struct<'_>) -> Generics {
    let traits = &item.traits;
    let mut generics = item.generics.clone();
    if !item.is_concrete() {
        let conditions = generics.make_where_clause();
        for ty in item.fields.iter().map(|field| field.ty) {
            conditions.predicates.push(parse_quote!(#ty: #traits::Shared));
        }
    }
    generics
}
