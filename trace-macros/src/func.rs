//! One function as it was written: the signature understood, the body kept as tokens.
//!
//! Only the items at the beginning of a body are parsed. Everything else is copied unchanged, so
//! code that only the compiler can read, or that somebody is still typing in an editor, stays as it
//! is.
//!
//! Elsewhere: what stands before the body (`signature`), what the return type says (`returns`), the
//! one shape whose body is parsed further (`tail`).

use proc_macro2::{Span, TokenStream};
use quote::ToTokens as _;
use syn::parse::discouraged::Speculative as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::{Attribute, Item, Result, Token, Visibility};

use crate::signature::Signature;

/// A function, without its attributes.
pub(crate) struct Function {
    /// Visibility and `default`, as they were.
    pub(crate) qualifiers: TokenStream,
    /// From `const` to the end of the `where` clause.
    pub(crate) sig: Signature,
    /// The body, or the semicolon in its place.
    pub(crate) body: std::result::Result<Body, Span>,
}

/// What stands between a function's braces.
pub(crate) struct Body {
    /// Of both braces.
    pub(crate) braces: Span,
    /// Attributes such as `#![allow(..)]`, which must come first.
    pub(crate) attrs: Vec<Attribute>,
    /// The statements.
    pub(crate) stmts: TokenStream,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut qualifiers = input.parse::<Visibility>()?.into_token_stream();
        input.parse::<Option<Token![default]>>()?.to_tokens(&mut qualifiers);
        let sig = input.parse()?;
        if let Some(semicolon) = input.parse::<Option<Token![;]>>()? {
            return Ok(Self { qualifiers, sig, body: Err(semicolon.span) });
        }
        let content;
        let braces = syn::braced!(content in input).span.join();
        let attrs = content.call(Attribute::parse_inner)?;
        let stmts = content.parse()?;
        Ok(Self { qualifiers, sig, body: Ok(Body { braces, attrs, stmts }) })
    }
}

/// The items that a body begins with, and the rest.
///
/// The guard goes between the two: before the items, it would trip clippy's lint
/// `items_after_statements`. A macro call may expand to nothing, so an import that follows one
/// counts as an item at the beginning, too; an import may stand anywhere in its block.
pub(crate) fn items_and_rest(stmts: &TokenStream) -> (TokenStream, TokenStream) {
    let mut items = TokenStream::new();
    let mut rest = TokenStream::new();
    let parser = |input: ParseStream<'_>| {
        loop {
            let ahead = input.fork();
            match ahead.parse::<Item>() {
                Ok(Item::Macro(call)) if call.ident.is_none() => call.to_tokens(&mut rest),
                Ok(Item::Use(import)) => import.to_tokens(&mut items),
                // If the macro call before this item defines a macro, it must stay before what uses
                // it.
                Ok(item) if rest.is_empty() && !matches!(item, Item::Verbatim(_)) => {
                    item.to_tokens(&mut items);
                }
                Ok(_) | Err(_) => break,
            }
            input.advance_to(&ahead);
        }
        rest.extend(input.parse::<TokenStream>()?);
        Ok(())
    };
    match parser.parse2(stmts.clone()) {
        Ok(()) => (items, rest),
        Err(_) => (TokenStream::new(), stmts.clone()),
    }
}
