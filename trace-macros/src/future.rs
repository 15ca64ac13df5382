//! Futures to tokens: one slice for each poll, from the first poll to the end of the future.
//!
//! ```text
//! Input     #[traced] async fn f(x: u8) -> T { body }
//! Output    async fn f(x: u8) -> T {
//!               let _future = { static __SITE ..; FutureGuard::begin(&__SITE) };
//!               FutureGuard::wrap(_future, async move {
//!                   if let Some(_output) = None::<T> { return _output; }
//!                   body
//!               })
//!               .await
//!           }
//! ```
//!
//! The unreachable `return` gives the compiler the type of the block before it sees the body, as a
//! signature does: without it, `?` and coercions in the body do not compile.
//!
//! Elsewhere: what is the same for all functions (`expand`), finding the block (`tail`).

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::{Expr, Stmt, Token, Type};

use crate::expand::{begin, called, end, kept, ours, shown_at, site, user_block};
use crate::func::items_and_rest;
use crate::model::{Ending, Output, Traced};
use crate::tail;

/// The statements of an `async fn`.
pub(crate) fn in_async_fn(traced: &Traced<'_>, output: &Output) -> TokenStream {
    let capture = Some(Token![move](Span::mixed_site()));
    let block = guarded_block(traced, capture, output, traced.body.braces, &traced.body.stmts);
    awaited(traced, output, &block)
}

/// The statements of a function whose value is an `async` block; the block is changed in place.
pub(crate) fn in_block(traced: &Traced<'_>, mut stmts: Vec<Stmt>, output: &Output) -> TokenStream {
    let hole = tail::block(&mut stmts).expect("a shape with a block has one");
    if let Expr::Async(block) = hole {
        let braces = block.block.brace_token.span.join();
        let inner = &block.block.stmts;
        let inner = guarded_block(traced, block.capture, output, braces, &quote! { #(#inner)* });
        let inner = awaited(traced, output, &inner);
        let (attrs, capture) = (&block.attrs, block.capture);
        *hole = Expr::Verbatim(quote_spanned! { Span::mixed_site()=>
            #(#attrs)* async #capture { #inner }
        });
    }
    quote! { #(#stmts)* }
}

/// The statements of a function that makes its future where the macro cannot see it.
pub(crate) fn made(
    traced: &Traced<'_>,
    returns: &Type,
    output: &Output,
    boxed: bool,
) -> TokenStream {
    let rt = &traced.private;
    let made = called(traced, Some(returns));
    let future = if traced.task || traced.ending != Ending::Plain {
        let awaited = awaited(traced, output, &ours("_made").into_token_stream());
        quote_spanned! { Span::mixed_site()=> async move { #awaited } }
    } else {
        let site = site(traced, "Future");
        let site = quote_spanned! { Span::mixed_site()=> { #site &__SITE } };
        quote_spanned! { Span::mixed_site()=> #rt::FutureGuard::deferred(#site, _made) }
    };
    let future = match boxed {
        true => quote_spanned! { Span::mixed_site()=> #rt::std::boxed::Box::pin(#future) },
        false => future,
    };
    quote_spanned! { Span::mixed_site()=> let _made = #made; #future }
}

/// Begins the guard and awaits `future` under it.
fn awaited(traced: &Traced<'_>, output: &Output, future: &TokenStream) -> TokenStream {
    let rt = &traced.private;
    let (kind, enter) = match traced.task {
        false => ("Future", "begin"),
        true => ("Task", "begin_task"),
    };
    let enter_args = ours(&format!("{enter}_args"));
    let enter = ours(enter);
    let guard = quote_spanned! { Span::mixed_site()=> #rt::FutureGuard };
    let begin = begin(
        traced,
        kind,
        &quote_spanned! { Span::mixed_site()=> #guard::#enter },
        &quote_spanned! { Span::mixed_site()=> #guard::#enter_args },
        // A future made before the trace started begins with its first poll in the trace.
        &quote_spanned! { Span::mixed_site()=> #guard::#enter(_site) },
    );
    let wrapped = if traced.ending == Ending::Plain {
        quote_spanned! { Span::mixed_site()=> #guard::wrap(_future, #future) }
    } else {
        let end_type = quote_spanned! { Span::mixed_site()=> #rt::FutureEnd };
        let [subject, holder] = ["_value", "_end"].map(|name| ours(name).into_token_stream());
        let span = match output {
            Output::Value(ty) => shown_at(Some(ty)),
            Output::Never | Output::Unknown => Span::mixed_site(),
        };
        let end = end(traced, &end_type, &holder, &subject, span);
        quote_spanned! { Span::mixed_site()=>
            #guard::wrap_with(_future, #future, |_value, _end| { #end })
        }
    };
    let awaited = match output {
        // The block's value is an empty enum in place of `!`, which cannot be named.
        Output::Never => quote_spanned! { Span::mixed_site()=> match #wrapped.await {} },
        _ => quote_spanned! { Span::mixed_site()=> #wrapped.await },
    };
    let kept = kept(traced);
    quote_spanned! { Span::mixed_site()=> #kept let _future = #begin; #awaited }
}

/// An `async` block around a body, with the output type from the signature.
fn guarded_block(
    traced: &Traced<'_>,
    capture: Option<Token![move]>,
    output: &Output,
    braces: Span,
    stmts: &TokenStream,
) -> TokenStream {
    let rt = &traced.private;
    let ty = match output {
        Output::Value(ty) => Some(ty.to_token_stream()),
        Output::Never => {
            Some(quote_spanned! { Span::mixed_site()=> #rt::core::convert::Infallible })
        }
        Output::Unknown => None,
    };
    let typed = ty.map(|ty| {
        let option = quote_spanned! { Span::mixed_site()=> #rt::core::option::Option };
        quote_spanned! { Span::mixed_site()=>
            if let #option::Some(_output) = #option::None::<#ty> {
                return _output;
            }
        }
    });
    let (items, stmts) = items_and_rest(stmts);
    let block = user_block(braces, &quote! { #items #typed #stmts });
    quote_spanned! { Span::mixed_site()=> async #capture #block }
}
