//! `#[service]`: a trait whose methods are asked of another process.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, GenericArgument, Generics, Ident, ItemTrait, Pat, Path, PathArguments, ReceiverKind, Result,
    ReturnType, TraitItem, TraitItemFn, Type, TypeImplTrait, TypeParamBound, parse_quote,
};

use crate::input::together;

/// The most arguments of a method: as many as a tuple of serde has at most, and fewer than anybody should write.
const MOST_ARGUMENTS: usize = 12;

/// Methods that every client has.
const OF_CLIENTS: [&str; 4] = ["new", "open", "set_limit", "client"];

/// One method.
struct Method<'a> {
    name: &'a Ident,
    text: String,
    arguments: Vec<(&'a Ident, &'a Type)>,
    output: Output,
    docs: Vec<&'a syn::Attribute>,
}

/// What comes back.
enum Output {
    /// One answer of this type; `()` where the method gives none.
    One(TokenStream),
    /// Results one after another: the method gives an iterator of these.
    Many(TokenStream),
}

pub(crate) fn expand(item: &ItemTrait, home: &Path) -> Result<TokenStream> {
    check_trait(item)?;
    let (mut methods, mut wrong) = (Vec::new(), Vec::new());
    for item in &item.items {
        match item {
            TraitItem::Fn(function) => match method(function) {
                Ok(method) => methods.push(method),
                Err(error) => wrong.push(error),
            },
            other => wrong.push(Error::new(
                other.span(),
                "a service consists of methods: nothing else of a trait travels to another process",
            )),
        }
    }
    together(wrong)?;
    if methods.is_empty() {
        let text = format!("`{}` has no methods, so nobody could ask it anything", item.ident);
        return Err(Error::new(item.ident.span(), text));
    }
    let parts = quote!(#home::__service);
    let (client, server) = (client(item, &methods, &parts), server(item, &methods, &parts));
    Ok(quote!(#item #client #server))
}

fn client(item: &ItemTrait, methods: &[Method<'_>], parts: &TokenStream) -> TokenStream {
    let (visibility, name) = (&item.vis, item.ident.unraw().to_string());
    let client = format_ident!("{}Client", item.ident.unraw());
    let about =
        format!(" Asks a [`{name}`] in another process. Each call waits at most as long as this client's limit says.");
    let calls = methods.iter().map(|Method { name, text, arguments, output, docs }| {
        let (names, types): (Vec<_>, Vec<_>) = arguments.iter().copied().unzip();
        // The span of the types puts "cannot be encoded" under them, not under the macro's name.
        match output {
            Output::One(output) => {
                let call =
                    quote_spanned!(output.span()=> self.caller.call::<(#(#types,)*), #output>(#text, &(#(#names,)*)));
                quote! {
                    #(#docs)*
                    ///
                    /// # Errors
                    /// Why there is no answer, and whether the call was never sent, is unknown, or was answered.
                    pub fn #name(&mut self, #(#names: #types),*) -> ::core::result::Result<#output, #parts::CallError> {
                        #call
                    }
                }
            }
            Output::Many(item) => {
                let call =
                    quote_spanned!(item.span()=> self.caller.stream::<(#(#types,)*), #item>(#text, &(#(#names,)*)));
                quote! {
                    #(#docs)*
                    ///
                    /// The results as they come. An error is the last of them; dropping this cancels the call.
                    ///
                    /// # Errors
                    /// Why the call was never sent.
                    pub fn #name(
                        &mut self,
                        #(#names: #types),*
                    ) -> ::core::result::Result<#parts::MethodResults<'_, #item>, #parts::CallError> {
                        #call
                    }
                }
            }
        }
    });
    quote! {
        #[doc = #about]
        #[derive(Debug)]
        #visibility struct #client {
            caller: #parts::Caller,
        }

        #[automatically_derived]
        #[allow(dead_code, clippy::too_many_arguments)]
        impl #client {
            /// Asks through this client.
            pub fn new(client: #parts::Client, limit: ::core::time::Duration) -> Self {
                Self { caller: #parts::Caller::new(client, limit) }
            }

            /// Opens a client of this service.
            ///
            /// # Errors
            /// Why it cannot be opened.
            pub fn open(
                service: &#parts::Service,
                limit: ::core::time::Duration,
            ) -> ::core::result::Result<Self, #parts::OpenError> {
                ::core::result::Result::Ok(Self::new(service.client()?, limit))
            }

            /// Calls from now on wait at most so long.
            pub fn set_limit(&mut self, limit: ::core::time::Duration) {
                self.caller.set_limit(limit);
            }

            /// The client below.
            pub fn client(&mut self) -> &mut #parts::Client {
                self.caller.client()
            }

            #(#calls)*
        }
    }
}

fn server(item: &ItemTrait, methods: &[Method<'_>], parts: &TokenStream) -> TokenStream {
    let (visibility, ident, name) = (&item.vis, &item.ident, item.ident.unraw().to_string());
    let server = format_ident!("{}Server", item.ident.unraw());
    let about = format!(" Answers with a [`{name}`] what others ask.");
    // Beside these, arguments may have any name.
    let own = |name: &str| Ident::new(name, Span::mixed_site());
    let (state, request, method, packed) = (own("state"), own("request"), own("method"), own("packed"));
    let (other, why) = (own("other"), own("why"));
    let arms = methods.iter().map(|Method { name, text, arguments, output, .. }| {
        let (names, types): (Vec<_>, Vec<_>) = arguments.iter().copied().unzip();
        let asked = quote!(<S as #ident>::#name(#state, #(#names),*));
        let answer = match output {
            Output::One(output) => {
                let put = quote_spanned!(output.span()=> #parts::put::<#output>);
                quote!(#parts::answer(#request, #put(&#asked)))
            }
            Output::Many(item) => {
                let stream = quote_spanned!(item.span()=> #parts::stream::<#item>);
                quote!(#stream(#request, #asked))
            }
        };
        quote! {
            #text => match #parts::take::<(#(#types,)*)>(#text, #packed) {
                ::core::result::Result::Ok((#(#names,)*)) => #answer,
                ::core::result::Result::Err(#why) => #parts::fail(#request, &#why),
            },
        }
    });
    quote! {
        #[doc = #about]
        #[derive(Debug)]
        #visibility struct #server<S> {
            server: #parts::Server,
            state: S,
        }

        #[automatically_derived]
        #[allow(dead_code, clippy::too_many_arguments)]
        impl<S: #ident> #server<S> {
            /// Answers what comes to this server.
            pub fn new(server: #parts::Server, state: S) -> Self {
                Self { server, state }
            }

            /// Opens a server of this service.
            ///
            /// # Errors
            /// Why it cannot be opened.
            pub fn open(service: &#parts::Service, state: S) -> ::core::result::Result<Self, #parts::OpenError> {
                ::core::result::Result::Ok(Self::new(service.server()?, state))
            }

            /// Answers requests until waiting for one fails, one after another. The results of a method that gives an iterator
            /// are sent to its end before the next request is looked at: the others wait as long as that takes, and for room at
            /// its client no longer than the service's patience in all.
            ///
            /// # Errors
            /// What the system refuses.
            pub fn serve(&mut self) -> ::core::result::Result<::core::convert::Infallible, #parts::RecvError> {
                // Each round answers a request; the process or an error ends it.
                loop {
                    Self::answer(&mut self.state, self.server.recv()?);
                }
            }

            /// Answers the next request; waits for it, at most `limit`.
            ///
            /// # Errors
            /// That none came in time, and what the system refuses.
            pub fn serve_one(&mut self, limit: ::core::time::Duration) -> ::core::result::Result<(), #parts::RecvError> {
                Self::answer(&mut self.state, self.server.recv_timeout(limit)?);
                ::core::result::Result::Ok(())
            }

            /// Answers one request, all results of it where it has several: in any thread that has the state.
            pub fn answer(#state: &mut S, #request: #parts::Request) {
                match #parts::method(&#request) {
                    ::core::result::Result::Ok((#method, #packed)) => match #method {
                        #(#arms)*
                        #other => {
                            let #why = #parts::unknown(#name, #other);
                            #parts::fail(#request, &#why);
                        }
                    },
                    ::core::result::Result::Err(#why) => #parts::fail(#request, &#why),
                }
            }

            /// The server below.
            pub fn server(&mut self) -> &mut #parts::Server {
                &mut self.server
            }

            /// What answers.
            pub fn state(&mut self) -> &mut S {
                &mut self.state
            }
        }
    }
}

fn check_trait(item: &ItemTrait) -> Result<()> {
    if let Some(unsafety) = &item.unsafety {
        return Err(Error::new(
            unsafety.span,
            "a service cannot be an unsafe trait: who asks cannot see what it promises",
        ));
    }
    check_generics(&item.generics, "a service", "write a trait for each type, or use an enum")
}

fn check_generics(generics: &Generics, what: &str, remedy: &str) -> Result<()> {
    let lifetimes = generics.lifetimes().next().is_some();
    if generics.params.is_empty() && generics.where_clause.is_none() {
        return Ok(());
    }
    let text = match lifetimes {
        true => format!("{what} cannot have lifetimes: a borrow does not reach another process; pass the value itself"),
        false => format!("{what} cannot be generic: the other process must know which types travel; {remedy}"),
    };
    let span = generics.params.first().map_or_else(|| generics.where_clause.span(), |first| first.span());
    Err(Error::new(span, text))
}

fn method(function: &TraitItemFn) -> Result<Method<'_>> {
    let signature = &function.sig;
    if let Some(asyncness) = &signature.asyncness {
        let text = "a method of a service is not async: the client waits for the answer, the server computes it";
        return Err(Error::new(asyncness.span, text));
    }
    let named = format!("`{}`", signature.ident);
    if OF_CLIENTS.iter().any(|taken| signature.ident.unraw() == taken) {
        let text = format!("{named} is a method that every client of a service has already: choose another name");
        return Err(Error::new(signature.ident.span(), text));
    }
    check_generics(&signature.generics, &named, "write a method for each type, or use an enum")?;
    let mut inputs = signature.inputs.iter();
    match inputs.next() {
        Some(FnArg::Receiver(receiver)) if matches!(receiver.kind, ReceiverKind::Reference(..)) => {}
        other => {
            let span = other.map_or_else(|| signature.ident.span(), |it| it.span());
            let text = format!("{named} needs `&self` or `&mut self` first: the server keeps what answers");
            return Err(Error::new(span, text));
        }
    }
    let (mut arguments, mut wrong) = (Vec::new(), Vec::new());
    for input in inputs {
        match input {
            FnArg::Typed(argument) => match &*argument.pat {
                Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => {
                    wrong.extend(unfit(&argument.ty, "an argument"));
                    arguments.push((&name.ident, &*argument.ty));
                }
                other => wrong.push(Error::new(other.span(), "an argument of a service's method has a plain name")),
            },
            FnArg::Receiver(receiver) => wrong.push(Error::new(receiver.span(), "one `self` is enough")),
        }
    }
    if arguments.len() > MOST_ARGUMENTS {
        let text = format!(
            "{named} has {} arguments, and {MOST_ARGUMENTS} are the most: put them into a struct",
            arguments.len()
        );
        wrong.push(Error::new(signature.ident.span(), text));
    }
    let output = match &signature.output {
        ReturnType::Default => Output::One(quote!(())),
        ReturnType::Type(_, output) => match &**output {
            Type::ImplTrait(several) => match item_of(several) {
                Some(item) => {
                    wrong.extend(unfit(item, "a result"));
                    Output::Many(quote!(#item))
                }
                None => {
                    let text =
                        "an answer is a type with a name, or `impl Iterator<Item = T>` for results one after another";
                    wrong.push(Error::new(several.span(), text));
                    Output::One(quote!(()))
                }
            },
            output => {
                wrong.extend(unfit(output, "an answer"));
                Output::One(quote!(#output))
            }
        },
    };
    together(wrong)?;
    let docs = function.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).collect();
    Ok(Method { name: &signature.ident, text: signature.ident.unraw().to_string(), arguments, output, docs })
}

/// The `T` of `impl Iterator<Item = T>`, and of nothing else.
fn item_of(several: &TypeImplTrait) -> Option<&Type> {
    let mut bounds = several.bounds.iter();
    let (Some(TypeParamBound::Trait(bound)), None) = (bounds.next(), bounds.next()) else {
        return None;
    };
    let last = bound.path.segments.last().filter(|last| last.ident == "Iterator")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    let mut arguments = arguments.args.iter();
    match (arguments.next(), arguments.next()) {
        (Some(GenericArgument::AssocType(item)), None) if item.ident == "Item" => Some(&item.ty),
        _ => None,
    }
}

/// Why a type can be no part of a message, as far as its first word shows.
fn unfit(ty: &Type, what: &str) -> Option<Error> {
    let text = match ty {
        Type::Reference(_) => {
            format!(
                "{what} cannot be a reference: it travels to another process; pass the value itself (`String` for `&str`, `Vec` for a slice)"
            )
        }
        Type::ImplTrait(_) => format!("{what} cannot be `impl Trait`: the other process must know its type; name it"),
        Type::Ptr(_) => format!("{what} cannot be a pointer: it means nothing in another process"),
        _ => return None,
    };
    Some(Error::new(ty.span(), text))
}

/// Reads what stands behind `service` in the attribute: nothing, or `crate = path`.
pub(crate) fn named_crate(arguments: proc_macro::TokenStream, usual: Path) -> Result<Path> {
    let mut home = usual;
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("crate") {
            return Err(meta.error("expected `crate = path`, or nothing"));
        }
        home = meta.value()?.parse()?;
        Ok(())
    });
    syn::parse::Parser::parse(parser, arguments)?;
    Ok(home)
}

/// The crates that generated code names unless the attribute says otherwise.
pub(crate) fn message_passing() -> Path {
    parse_quote!(::wharf_message_passing)
}

/// See [`message_passing`].
pub(crate) fn facade() -> Path {
    parse_quote!(::wharf)
}
