//! One function as it was written: the signature understood, the body kept as tokens.
//!
//! The body is not parsed here, so code that only the compiler can read, or that is still being
//! typed in an editor, comes out as it went in.
//!
//! Elsewhere: what the return type says (`returns`), the one shape whose body is looked into
//! (`tail`).

use proc_macro2::{Span, TokenStream};
use quote::ToTokens as _;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Result, Signature, Token, Visibility};

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
