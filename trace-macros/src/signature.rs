//! A function's signature, from `const` to the end of the `where` clause: its tokens, and the few
//! things that rules and expansion ask about it.
//!
//! Parameters and bounds are never parsed, so syntax of older editions is copied like everything
//! else: parameters without a name, trait objects without `dyn`, `async` as a name.
//!
//! Elsewhere: what the return type says (`returns`), the body (`func`).

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{LitStr, Result, ReturnType, Token, Type};

use crate::walk::Angles;

/// A signature.
pub(crate) struct Signature {
    /// As it was written.
    tokens: TokenStream,
    /// The word `const`.
    pub(crate) constness: Option<Span>,
    /// True for an `async fn`.
    pub(crate) is_async: bool,
    /// The name.
    pub(crate) ident: Ident,
    /// One list of tokens for each parameter.
    pub(crate) parameters: Vec<Vec<TokenTree>>,
    /// What it returns; a type that `syn` does not know is kept as it is.
    pub(crate) output: ReturnType,
}

impl Signature {
    /// True if it takes `self` in any form.
    pub(crate) fn has_receiver(&self) -> bool {
        let pattern = self.parameters.first().map(|first| pattern(first));
        pattern.is_some_and(|mut pattern| {
            pattern.any(|token| matches!(token, TokenTree::Ident(word) if word == "self"))
        })
    }

    /// The last parameter's pattern as text; `None` if that is `self`, or if there is none.
    pub(crate) fn last_pattern(&self) -> Option<String> {
        if self.has_receiver() && self.parameters.len() == 1 {
            return None;
        }
        let last = pattern(self.parameters.last()?);
        Some(last.cloned().collect::<TokenStream>().to_string())
    }
}

impl ToTokens for Signature {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.tokens.clone());
    }
}

impl Parse for Signature {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut tokens, mut constness, mut is_async) = (TokenStream::new(), None, false);
        loop {
            let word = input.call(Ident::parse_any)?;
            word.to_tokens(&mut tokens);
            match word.to_string().as_str() {
                "fn" => break,
                "const" => constness = Some(word.span()),
                "async" => is_async = true,
                "extern" => input.parse::<Option<LitStr>>()?.to_tokens(&mut tokens),
                _ => {}
            }
        }
        let ident = input.call(Ident::parse_any)?;
        ident.to_tokens(&mut tokens);
        let mut angles = Angles::default();
        let parameters = loop {
            let token = input.parse::<TokenTree>()?;
            token.to_tokens(&mut tokens);
            match parentheses(&token).filter(|_| angles.is_closed()) {
                Some(group) => break split(group.stream()),
                None => angles.pass(&token),
            }
        };
        let output = output(input, &mut tokens)?;
        while !at_body(input) {
            // A `where` clause; braces in it are const arguments.
            let token = input.parse::<TokenTree>()?;
            angles.pass(&token);
            token.to_tokens(&mut tokens);
            while !angles.is_closed() {
                let token = input.parse::<TokenTree>()?;
                angles.pass(&token);
                token.to_tokens(&mut tokens);
            }
        }
        Ok(Self { tokens, constness, is_async, ident, parameters, output })
    }
}

/// Reads `-> Type`, if it is there, and copies it to `tokens`.
fn output(input: ParseStream<'_>, tokens: &mut TokenStream) -> Result<ReturnType> {
    let Some(arrow) = input.parse::<Option<Token![->]>>()? else {
        return Ok(ReturnType::Default);
    };
    let (mut ty, mut angles) = (TokenStream::new(), Angles::default());
    while !(angles.is_closed() && (at_body(input) || input.peek(Token![where]))) {
        let token = input.parse::<TokenTree>()?;
        angles.pass(&token);
        token.to_tokens(&mut ty);
    }
    arrow.to_tokens(tokens);
    tokens.extend(ty.clone());
    let ty = syn::parse2::<Type>(ty.clone()).unwrap_or(Type::Verbatim(ty));
    Ok(ReturnType::Type(arrow, Box::new(ty)))
}

/// Whether a body comes next, or the semicolon in its place.
fn at_body(input: ParseStream<'_>) -> bool {
    input.peek(syn::token::Brace) || input.peek(Token![;])
}

fn parentheses(token: &TokenTree) -> Option<&Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(group),
        _ => None,
    }
}

/// Splits the parameters at the commas between them.
fn split(parameters: TokenStream) -> Vec<Vec<TokenTree>> {
    let (mut all, mut one, mut angles) = (Vec::new(), Vec::new(), Angles::default());
    for token in parameters {
        angles.pass(&token);
        let is_comma = matches!(&token, TokenTree::Punct(sign) if sign.as_char() == ',');
        if is_comma && angles.is_closed() {
            all.push(std::mem::take(&mut one));
        } else {
            one.push(token);
        }
    }
    if !one.is_empty() {
        all.push(one);
    }
    all
}

/// What stands before a parameter's colon.
fn pattern(parameter: &[TokenTree]) -> impl Iterator<Item = &TokenTree> {
    parameter
        .iter()
        .take_while(|token| !matches!(token, TokenTree::Punct(sign) if sign.as_char() == ':'))
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;
    use syn::ReturnType;

    use super::Signature;

    /// The last pattern, whether there is a receiver, and the type returned.
    fn check(text: &str) -> (Option<String>, bool, String) {
        let parser = |input: syn::parse::ParseStream<'_>| {
            let signature: Signature = input.parse()?;
            input.parse::<proc_macro2::TokenStream>()?;
            Ok(signature)
        };
        let signature = syn::parse::Parser::parse_str(parser, text).expect("a signature");
        let without = text.trim_end_matches(['{', '}', ';']);
        let wanted: proc_macro2::TokenStream = without.parse().expect("tokens");
        assert_eq!(signature.to_token_stream().to_string(), wanted.to_string());
        let output = match &signature.output {
            ReturnType::Default => String::new(),
            ReturnType::Type(_, ty) => ty.to_token_stream().to_string(),
        };
        (signature.last_pattern(), signature.has_receiver(), output)
    }

    #[test]
    fn signatures_of_all_editions_are_read() {
        let cases = [
            ("fn f();", None, false, ""),
            ("const unsafe extern \"C\" fn f(x: u8) {}", Some("x"), false, ""),
            ("fn f<T: Fn(u8) -> u8, const N: usize>(&self) -> [T; N] {}", None, true, "[T ; N]"),
            ("fn f(mut self: Box<Self>, y: A<B, C>,) {}", Some("y"), true, ""),
            ("fn f(&'a mut self) -> Grid<{ N + 1 }> where [(); { N }]: {}", None, true, ""),
            ("fn f(_: u8) -> impl Fn() -> u8 where A<{ 1 }>: B {}", Some("_"), false, ""),
            ("async fn f((a, b): (u8, u8)) -> Result<A, B> {}", Some("(a , b)"), false, ""),
            // Editions before 2018, or 2021.
            ("fn f(u8) -> Box<Fn(u8) -> u8 + 'static>;", Some("u8"), false, ""),
            ("fn async(async: &Fn(u8)) -> async {}", Some("async"), false, "async"),
        ];
        for (text, pattern, has_receiver, output) in cases {
            let found = check(text);
            assert_eq!((found.0.as_deref(), found.1), (pattern, has_receiver), "{text}");
            assert!(output.is_empty() || found.2 == output, "{text}: {}", found.2);
        }
    }
}
