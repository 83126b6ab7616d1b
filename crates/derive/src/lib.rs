//! Derive macros for types that may live in shared memory, and the attribute that makes a service of a trait.
//!
//! Each macro exists twice and differs only in the crate that the generated code names: programs depend on the
//! façade `wharf` or on `wharf-shared-memory`, seldom on both, and a macro cannot see which. Each of the two
//! crates therefore re-exports, under the same plain name, the macro that writes its own path. A program that
//! renames the crate says so with `#[wharf(crate = other_name)]`. Nothing is looked up in manifests.
#![forbid(unsafe_code)]

mod input;
mod plain;
mod service;
mod shared;
mod unfit;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

use crate::input::Home;

/// Implements `Plain` for a struct whose fields are all `Plain`.
///
/// The struct must be `#[repr(C)]` or `#[repr(transparent)]`, `Copy`, and without padding; each of these is a
/// compile error that says what to do. `#[wharf(crate = path)]` on the struct names the crate when it is renamed.
#[proc_macro_derive(Plain, attributes(wharf))]
pub fn plain(input: TokenStream) -> TokenStream {
    expand(parse_macro_input!(input), plain::derive, Home::SharedMemory)
}

/// `Plain` for programs that depend on the façade `wharf`, which re-exports this macro as `Plain`.
#[proc_macro_derive(PlainThroughWharf, attributes(wharf))]
pub fn plain_through_wharf(input: TokenStream) -> TokenStream {
    expand(parse_macro_input!(input), plain::derive, Home::Wharf)
}

/// Implements `Shared` for a struct whose fields are all `Shared`: primitives, arrays and structs of such.
///
/// The struct must be `#[repr(C)]` or `#[repr(transparent)]` and have nothing to drop. `#[wharf(crate = path)]` on
/// the struct names the crate when it is renamed.
#[proc_macro_derive(Shared, attributes(wharf))]
pub fn shared(input: TokenStream) -> TokenStream {
    expand(parse_macro_input!(input), shared::derive, Home::SharedMemory)
}

/// `Shared` for programs that depend on the façade `wharf`, which re-exports this macro as `Shared`.
#[proc_macro_derive(SharedThroughWharf, attributes(wharf))]
pub fn shared_through_wharf(input: TokenStream) -> TokenStream {
    expand(parse_macro_input!(input), shared::derive, Home::Wharf)
}

/// Makes a service of a trait: a client with the same methods, and a server that answers with whatever implements it.
///
/// The arguments and answers are any owned serde types, `Result` included; a method that gives `impl Iterator<Item = T>` is
/// answered by results one after another, each taken from the iterator when the client has room for it. A generated server sends all of
/// them before it looks at the next request, and waits for room for one patience of the service in all. No method may be called `new`,
/// `open`, `set_limit` or `client`, which every client has. For a trait `Name` there are `NameClient`, whose
/// methods return `Result<answer, CallError>` (or a `Result` of an iterator of them), and `NameServer<S>` for an `S: Name`.
/// `#[service(crate = path)]` names the crate when it is renamed.
#[proc_macro_attribute]
pub fn service(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand_service(arguments, item, service::message_passing())
}

/// `service` for programs that depend on the façade `wharf`, which re-exports this macro as `service`.
#[proc_macro_attribute]
pub fn service_through_wharf(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand_service(arguments, item, service::facade())
}

fn expand_service(arguments: TokenStream, item: TokenStream, home: syn::Path) -> TokenStream {
    let what = "a service is a trait: expected `trait` with the methods that others may call";
    let expanded = service::named_crate(arguments, home).and_then(|home| {
        let item: syn::Item = syn::parse(item)?;
        match item {
            syn::Item::Trait(item) => service::expand(&item, &home),
            other => Err(syn::Error::new(syn::spanned::Spanned::span(&other), what)),
        }
    });
    expanded.unwrap_or_else(|error| error.into_compile_error()).into()
}

type Derive = fn(&DeriveInput, Home) -> syn::Result<proc_macro2::TokenStream>;

fn expand(input: DeriveInput, derive: Derive, home: Home) -> TokenStream {
    derive(&input, home).unwrap_or_else(|error| error.into_compile_error()).into()
}
