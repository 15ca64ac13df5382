//! Models to tokens: the call site, the guard, and the body spliced after it.
//!
//! ```text
//! Input     #[traced] fn f(x: u8) -> T { body }
//! Output    fn f(x: u8) -> T {
//!               let _region = {
//!                   static __SITE: Callsite = Callsite::new(..);
//!                   register!(__SITE);
//!                   enter(&__SITE)
//!               };
//!               body
//!           }
//! ```
//!
//! All tokens that we add have the `mixed_site` span: the body cannot see, shadow or drop our
//! locals, and lints treat them as a macro's. Items have no such hygiene, so the static stands in a
//! block that evaluates no user code. The expansion reaches the standard library through the
//! recorder, because `::core` may be another crate.
//!
//! Elsewhere: futures (`future`).

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::Type;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;

use crate::args::{Argument, ArgumentKind};
use crate::func::items_and_rest;
use crate::future;
use crate::model::{Ending, Shape, Traced};
use crate::returns;

/// The function with its guard.
pub(crate) fn function(traced: &Traced<'_>) -> TokenStream {
    let stmts = match &traced.shape {
        Shape::Call(returns) => call(traced, returns.as_deref()),
        Shape::Async(output) => future::in_async_fn(traced, output),
        Shape::Block { stmts, output } => future::in_block(traced, stmts.clone(), output),
        Shape::Made { returns, output, boxed } => future::made(traced, returns, output, *boxed),
    };
    let attrs = &traced.body.attrs;
    let body = user_block(traced.body.braces, &quote! { #(#attrs)* #stmts });
    let (qualifiers, sig) = (&traced.function.qualifiers, &traced.function.sig);
    quote! { #qualifiers #sig #body }
}

fn call(traced: &Traced<'_>, returns: Option<&Type>) -> TokenStream {
    let (kind, guard, enter) = match traced.task {
        false => ("Function", "Region", "enter"),
        true => ("Task", "TaskScope", "enter_task"),
    };
    let rt = &traced.private;
    let [guard, enter] = [guard, enter].map(ours);
    let enter_args = ours(&format!("{enter}_args"));
    let begin = begin(
        traced,
        kind,
        &quote_spanned! { Span::mixed_site()=> #rt::#enter },
        &quote_spanned! { Span::mixed_site()=> #rt::#enter_args },
        &quote_spanned! { Span::mixed_site()=> #rt::#guard::none() },
    );
    let local = ours(if traced.task { "_task" } else { "_region" });
    if traced.ending == Ending::Plain {
        let (items, stmts) = items_and_rest(&traced.body.stmts);
        let kept = kept(traced);
        return quote_spanned! { Span::mixed_site()=> #items #kept let #local = #begin; #stmts };
    }
    let value = called(traced, returns);
    let guard = quote_spanned! { Span::mixed_site()=> #rt::#guard };
    let holder = quote_spanned! { Span::mixed_site()=> &mut #local };
    let subject = quote_spanned! { Span::mixed_site()=> &_value };
    let end = end(traced, &guard, &holder, &subject, shown_at(returns));
    let kept = kept(traced);
    if traced.ending == Ending::Judged {
        return quote_spanned! { Span::mixed_site()=>
            #kept
            let #local = #begin;
            let _value = #value;
            #end
            _value
        };
    }
    quote_spanned! { Span::mixed_site()=>
        let mut #local = #begin;
        let _value = #value;
        #end
        _value
    }
}

/// The block that declares the call site and begins a guard.
///
/// - `kind`: a variant of `CallsiteKind`.
/// - `enter`, `enter_args`: functions that take the call site, the latter also the arguments.
/// - `unlive`: the guard of a call that is not recorded, so its arguments are not evaluated; it may
///   use `_site`.
pub(crate) fn begin(
    traced: &Traced<'_>,
    kind: &str,
    enter: &TokenStream,
    enter_args: &TokenStream,
    unlive: &TokenStream,
) -> TokenStream {
    let site = site(traced, kind);
    if traced.arguments.is_empty() {
        return quote_spanned! { Span::mixed_site()=> { #site #enter(&__SITE) } };
    }
    let values = traced.arguments.iter().map(|argument| value(traced, argument));
    let rt = &traced.private;
    quote_spanned! { Span::mixed_site()=> {
        let _site: &#rt::Callsite = { #site &__SITE };
        if _site.is_live() {
            #enter_args(_site, &[#(#values),*])
        } else {
            #unlive
        }
    } }
}

/// The static `__SITE` and its registration.
pub(crate) fn site(traced: &Traced<'_>, kind: &str) -> TokenStream {
    let Traced { name, place, private: rt, min_ns, .. } = traced;
    let (file, line, column) = (&place.file, place.line, place.column);
    let kind = ours(kind);
    let names = traced.arguments.iter().map(|argument| {
        let name = argument.name.unraw().to_string();
        let kind = ours(match argument.kind {
            ArgumentKind::Typed => "Typed",
            ArgumentKind::Debug => "Debug",
            ArgumentKind::Display => "Display",
        });
        quote_spanned! { Span::mixed_site()=>
            #rt::ArgumentName::new(#name, #rt::ArgumentKind::#kind)
        }
    });
    let inside = traced.is_alone.then(|| inside(traced));
    quote_spanned! { Span::mixed_site()=>
        static __SITE: #rt::Callsite = #rt::Callsite::new(
            #rt::CallsiteKind::#kind,
            #name,
            #rt::core::module_path!(),
            #file,
            #line,
            #column,
            #min_ns,
            &[#(#names),*],
        ) #inside;
        #rt::register!(__SITE);
    }
}

/// Gives the call site the compiler's name of a function inside the traced one: that name has the
/// type of the `impl` around a method, which an attribute on the method cannot see.
fn inside(traced: &Traced<'_>) -> TokenStream {
    let rt = &traced.private;
    let is_method = traced.function.sig.has_receiver();
    quote_spanned! { Span::mixed_site()=>
        .inside(
            {
                fn path() -> &'static #rt::core::primitive::str {
                    #rt::core::any::type_name_of_val(&path)
                }
                path
            },
            #is_method,
        )
    }
}

fn value(traced: &Traced<'_>, argument: &Argument) -> TokenStream {
    let rt = &traced.private;
    let expr = &argument.expr;
    // A type that cannot be recorded is an error at the argument, not at the attribute.
    let span = Span::mixed_site().located_at(expr.span());
    match argument.kind {
        ArgumentKind::Typed => quote_spanned! { span=> #rt::Argument::value(&(#expr)) },
        ArgumentKind::Debug => quote_spanned! { span=> #rt::Value::Debug(&(#expr)) },
        ArgumentKind::Display => quote_spanned! { span=> #rt::Value::Display(&(#expr)) },
    }
}

/// The value of a body, with every `return` in it, as an expression.
///
/// The closure is passed to a function that takes an `FnOnce`. If it were called on the spot, the
/// compiler would infer `FnMut`, and the closure could not return what it borrows from a captured
/// `&mut`.
pub(crate) fn called(traced: &Traced<'_>, returns: Option<&Type>) -> TokenStream {
    let body = user_block(traced.body.braces, &traced.body.stmts);
    let arrow = returns.map(|ty| {
        let ty = returns::erased(ty);
        quote_spanned! { Span::mixed_site()=> -> #ty }
    });
    let arrow = arrow.unwrap_or_else(|| quote_spanned! { Span::mixed_site()=> -> () });
    let rt = &traced.private;
    let option = quote_spanned! { Span::mixed_site()=> #rt::core::option::Option };
    quote_spanned! { Span::mixed_site()=>
        #option::unwrap_or_else(#option::None, move || #arrow #body)
    }
}

/// `stmts` in the user's own braces.
///
/// Coverage tools count a user's code only inside a function, closure or `async` block whose braces
/// come from the user, too.
pub(crate) fn user_block(braces: Span, stmts: &TokenStream) -> Group {
    let mut block = Group::new(Delimiter::Brace, stmts.clone());
    block.set_span(braces);
    block
}

/// Records how a call ended.
///
/// - `guard`: the type with `returned` and `failed`.
/// - `holder`: the guard, mutably borrowed.
/// - `subject`: the value, borrowed.
/// - `shown_at`: where the compiler reports a value that cannot be recorded.
pub(crate) fn end(
    traced: &Traced<'_>,
    guard: &TokenStream,
    holder: &TokenStream,
    subject: &TokenStream,
    shown_at: Span,
) -> TokenStream {
    let rt = &traced.private;
    let span = Span::mixed_site().located_at(shown_at);
    let returned = |value: &TokenStream| {
        quote_spanned! { span=> #guard::returned(#holder, #rt::returned_value!(#value)) }
    };
    let failed = quote_spanned! { span=> #guard::failed(#holder, #rt::Value::Display(_error)) };
    match traced.ending {
        Ending::Plain => TokenStream::new(),
        Ending::Returned => {
            let returned = returned(subject);
            quote_spanned! { span=> #returned; }
        }
        Ending::Failed => quote_spanned! { span=>
            if let #rt::core::result::Result::Err(_error) = #subject {
                #failed;
            }
        },
        Ending::Judged => {
            let name = &traced.name;
            quote_spanned! { Span::mixed_site()=> #rt::judge!(#name, #subject); }
        }
        Ending::Both => {
            let returned = returned(&ours("_okay").into_token_stream());
            quote_spanned! { span=>
                match #subject {
                    #rt::core::result::Result::Ok(_okay) => #returned,
                    #rt::core::result::Result::Err(_error) => #failed,
                }
            }
        }
    }
}

/// The first statement of a test: a value that is dropped last.
pub(crate) fn kept(traced: &Traced<'_>) -> TokenStream {
    if !traced.keeps {
        return TokenStream::new();
    }
    let Traced { private: rt, name, .. } = traced;
    quote_spanned! { Span::mixed_site()=> let _kept = #rt::KeptIfFailed::new(#name); }
}

/// Where the compiler reports a value of type `ty` that cannot be recorded.
pub(crate) fn shown_at(ty: Option<&Type>) -> Span {
    ty.map_or_else(Span::mixed_site, |ty| ty.span())
}

/// An identifier that user code cannot see.
pub(crate) fn ours(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}
