//! A Rust source as a flat list of tokens, each with its line, the other one of its pair of
//! brackets, and whether it stands in an attribute or in code for tests only.
//!
//! Tokens and not a syntax tree, because the bodies of macros are tokens like everything else. Text
//! in strings and comments is never mistaken for code.

use proc_macro2::{Delimiter, LexError, Spacing, TokenStream, TokenTree};
use std::ops::Range;

/// One token; a group is two, its opening and its closing bracket.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// As in the source; punctuation has one character.
    pub(crate) text: String,
    /// From 1.
    pub(crate) line: usize,
    /// For a bracket, the index of the other one.
    pub(crate) mate: Option<usize>,
    /// Whether it is in `#[...]`; doc comments are.
    pub(crate) in_attribute: bool,
    /// Whether it belongs to an item under `#[cfg(test)]` or `#[test]`.
    pub(crate) in_test: bool,
    /// Whether it is a number, a string, a character.
    pub(crate) is_literal: bool,
    /// Whether the next token's character belongs to the same operator.
    pub(crate) is_joint: bool,
}

/// All tokens of one source.
#[derive(Debug)]
pub(crate) struct Tokens(pub(crate) Vec<Token>);

impl Tokens {
    /// Reads a source. An error has the line.
    pub(crate) fn of(text: &str) -> Result<Self, (usize, String)> {
        let lines = |error: LexError| (error.span().start().line, format!("no Rust: {error}"));
        let stream: TokenStream = text.parse().map_err(lines)?;
        let mut tokens = Self(Vec::new());
        tokens.flatten(stream);
        tokens.mark();
        Ok(tokens)
    }

    /// The token's text; empty beyond the last.
    pub(crate) fn text(&self, at: usize) -> &str {
        self.0.get(at).map_or("", |token| &token.text)
    }

    /// Whether the tokens from `at` on have these texts.
    pub(crate) fn matches(&self, at: usize, texts: &[&str]) -> bool {
        texts.iter().enumerate().all(|(behind, text)| self.text(at + behind) == *text)
    }

    /// All places where tokens have these texts in a row.
    pub(crate) fn find<'a>(
        &'a self,
        texts: &'a [&str],
    ) -> impl Iterator<Item = (usize, &'a Token)> {
        self.0.iter().enumerate().filter(|(at, _)| self.matches(*at, texts))
    }

    /// The range from `at` to the end of the item there: its block, or its semicolon.
    pub(crate) fn item(&self, at: usize) -> Range<usize> {
        let mut end = at;
        while end < self.0.len() {
            match (self.text(end), self.0[end].mate) {
                ("{", Some(mate)) => return at..mate + 1,
                (";", _) => return at..end + 1,
                (_, Some(mate)) if mate < end => return at..end,
                (_, Some(mate)) => end = mate + 1,
                _ => end += 1,
            }
        }
        at..end
    }

    /// Every function with a body: its name, the line of `fn`, and the line where the body ends.
    pub(crate) fn functions(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.find(&["fn"]).filter_map(|(at, token)| {
            let name = self.text(at + 1);
            let end = self.item(at).end - 1;
            let is_name = name.starts_with(|first: char| first.is_alphabetic() || first == '_');
            let has_body = is_name && self.text(end) == "}";
            has_body.then(|| (name, token.line, self.0[end].line))
        })
    }

    fn flatten(&mut self, stream: TokenStream) {
        for tree in stream {
            let line = tree.span().start().line;
            match tree {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("(", ")"),
                        Delimiter::Brace => ("{", "}"),
                        Delimiter::Bracket => ("[", "]"),
                        Delimiter::None => ("", ""),
                    };
                    let from = self.push(open, group.span_open().start().line);
                    self.flatten(group.stream());
                    let to = self.push(close, group.span_close().start().line);
                    self.0[from].mate = Some(to);
                    self.0[to].mate = Some(from);
                }
                TokenTree::Punct(punct) => {
                    let at = self.push(&punct.as_char().to_string(), line);
                    self.0[at].is_joint = punct.spacing() == Spacing::Joint;
                }
                TokenTree::Literal(literal) => {
                    let at = self.push(&literal.to_string(), line);
                    self.0[at].is_literal = true;
                }
                TokenTree::Ident(ident) => {
                    self.push(&ident.to_string(), line);
                }
            }
        }
    }

    fn push(&mut self, text: &str, line: usize) -> usize {
        self.0.push(Token {
            text: text.to_owned(),
            line,
            mate: None,
            in_attribute: false,
            in_test: false,
            is_literal: false,
            is_joint: false,
        });
        self.0.len() - 1
    }

    fn mark(&mut self) {
        let mut at = 0;
        while let Some((from, to)) = self.attribute(at) {
            self.0[from..=to].iter_mut().for_each(|token| token.in_attribute = true);
            let inside = &self.0[from..to];
            let has = |text: &str| inside.iter().any(|token| token.text == text);
            let is_test = self.text(to - 1) == "test" && !has("cfg") && !has("doc");
            let negated = (from..to).any(|at| self.matches(at, &["not", "(", "test"]));
            if is_test || has("cfg") && has("test") && !negated {
                let mut start = to + 1;
                while let Some((_, end)) = self.attribute_at(start) {
                    start = end + 1;
                }
                let item = self.item(start);
                self.0[from..item.end].iter_mut().for_each(|token| token.in_test = true);
            }
            at = to + 1;
        }
    }

    /// The next attribute from `at` on: its `#` and its `]`.
    fn attribute(&self, at: usize) -> Option<(usize, usize)> {
        (at..self.0.len()).find_map(|from| self.attribute_at(from))
    }

    fn attribute_at(&self, at: usize) -> Option<(usize, usize)> {
        let open = if self.matches(at, &["#", "!", "["]) { at + 2 } else { at + 1 };
        let is_attribute = self.matches(at, &["#"]) && self.matches(open, &["["]);
        let mate = is_attribute.then(|| self.0[open].mate.expect("brackets have mates"));
        mate.map(|end| (at, end))
    }
}

mod tests {
    use super::*;

    fn tokens(text: &str) -> Tokens {
        Tokens::of(text).expect("samples are Rust")
    }

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let text = "#[a]\nfn f<const N: usize>(x: [u8; { 1 }])\nwhere u8: Copy\n{\n}\nfn g();\n";
        let found = tokens(text);
        assert_eq!(found.functions().collect::<Vec<_>>(), [("f", 2, 5)]);
    }

    #[test]
    fn types_of_functions_are_no_functions() {
        assert_eq!(tokens("type F = fn(u8); struct S { f: fn() }").functions().count(), 0);
    }

    #[test]
    fn code_for_tests_is_marked_whole_and_alone() {
        let text = "fn a() {}\n#[cfg(test)]\n#[b]\nmod tests { fn c() {} }\nfn d() {}";
        let found = tokens(text);
        let is_test = |name| found.find(&["fn", name]).all(|(_, token)| token.in_test);
        assert!(is_test("c"));
        assert!(!is_test("a") && !is_test("d"));
    }

    #[test]
    fn code_for_all_but_tests_is_not_marked() {
        let found = tokens("#[cfg(not(test))]\nfn a() {}\n#[test]\nfn b() {}");
        assert!(found.find(&["fn", "a"]).all(|(_, token)| !token.in_test));
        assert!(found.find(&["fn", "b"]).all(|(_, token)| token.in_test));
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        let found = tokens("// unsafe\n/// unsafe\nfn f() { \"unsafe\"; }");
        assert_eq!(found.find(&["unsafe"]).count(), 0);
    }
}
