//! Derive macros for types that may live in shared memory.
//!
//! Each macro exists twice and differs only in the crate that the generated code names: programs depend on the
//! façade `wharf` or on `wharf-shared-memory`, seldom on both, and a macro cannot see which. Each of the two
//! crates therefore re-exports, under the same plain name, the macro that writes its own path. A program that
//! renames the crate says so with `#[wharf(crate = other_name)]`. Nothing is looked up in manifests.
#![forbid(unsafe_code)]

mod input;
mod plain;
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

type Derive = fn(&DeriveInput, Home) -> syn::Result<proc_macro2::TokenStream>;

fn expand(input: DeriveInput, derive: Derive, home: Home) -> TokenStream {
    derive(&input, home).unwrap_or_else(|error| error.into_compile_error()).into()
}
