//! What makes a function a test: another attribute below ours, or else the `#[test]` that we add.
//!
//! Compiled with and without the feature `enabled`, so that both decide alike. Works on
//! `proc_macro` tokens, because without that feature `proc_macro2` is not built.

use proc_macro::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};

/// The last word of attributes that make a function a test.
const TESTS: [&str; 5] = ["test", "rstest", "test_case", "quickcheck", "wasm_bindgen_test"];

/// The attribute to put in front of the item to make it a test; empty if the item has one already.
pub(crate) fn missing(item: &TokenStream) -> TokenStream {
    if has_harness(item.clone()) { TokenStream::new() } else { attribute() }
}

/// Whether an attribute in front of the item makes it a test.
fn has_harness(item: TokenStream) -> bool {
    let mut tokens = item.into_iter();
    while let Some(TokenTree::Punct(sign)) = tokens.next()
        && sign.as_char() == '#'
    {
        let Some(TokenTree::Group(attribute)) = tokens.next() else { return false };
        if last_word(attribute.stream()).is_some_and(|word| TESTS.contains(&&*word)) {
            return true;
        }
    }
    false
}

/// The last word of the path that an attribute begins with.
fn last_word(attribute: TokenStream) -> Option<String> {
    let mut last = None;
    for token in attribute {
        match token {
            TokenTree::Ident(word) => last = Some(word.to_string()),
            TokenTree::Punct(sign) if sign.as_char() == ':' => {}
            _ => break,
        }
    }
    last
}

/// `#[::core::prelude::v1::test]`
fn attribute() -> TokenStream {
    let span = Span::call_site();
    let mut path = TokenStream::new();
    for word in ["core", "prelude", "v1", "test"] {
        let colons = [Spacing::Joint, Spacing::Alone].map(|spacing| Punct::new(':', spacing));
        path.extend(colons.map(TokenTree::Punct));
        path.extend([TokenTree::Ident(Ident::new(word, span))]);
    }
    let sign = TokenTree::Punct(Punct::new('#', Spacing::Alone));
    TokenStream::from_iter([sign, TokenTree::Group(Group::new(Delimiter::Bracket, path))])
}
