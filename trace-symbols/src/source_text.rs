//! Finds the functions of a Rust source file, and the one that a line and column are in.
//!
//! This is not a parser: it only tells words, brackets, comments and literals apart. A function is
//! the word `fn`, a name, and the text up to the closing brace of its body. If a macro makes the
//! name, the function has none here, so that its content does not count as part of the function
//! around it.
//!
//! Elsewhere: how these names are used (`bodies`).

use std::path::Path;
use std::time::SystemTime;

/// Maximum size of a file that is read; larger files are taken for data.
const BYTES_MAX: u64 = 4 << 20;

/// A function of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FnItem {
    /// Its own name, without a path; empty if a macro makes it.
    pub(crate) name: String,
    pub(crate) is_async: bool,
    /// From `fn` to its closing brace, in bytes of the file.
    from: usize,
    to: usize,
}

/// All functions of a file.
#[derive(Debug)]
pub(crate) struct FnItems {
    functions: Vec<FnItem>,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
}

impl FnItems {
    /// The functions of a file; `None` if it cannot be read, is no regular file, is too large, or
    /// is younger than `built`.
    pub(crate) fn read(path: &Path, built: SystemTime) -> Option<Self> {
        // Checked before opening, because opening a named pipe waits for a writer.
        let about = std::fs::metadata(path).ok()?;
        let is_older = about.modified().is_ok_and(|modified| modified <= built);
        if !about.is_file() || about.len() > BYTES_MAX || !is_older {
            return None;
        }
        Some(Self::of(&std::fs::read_to_string(path).ok()?))
    }

    pub(crate) fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
        let mut open = Nesting::default();
        while let Some(word) = scan.next() {
            open.take(word, &scan, text);
        }
        Self { functions: open.functions, lines }
    }

    /// The innermost function around a place. `None` if there is none, if it has no name, or if
    /// only the line is known (`column` is 0) and it belongs to several.
    ///
    /// - `line`, `column`: from 1, the latter in bytes.
    pub(crate) fn around(&self, line: u32, column: u32) -> Option<&FnItem> {
        let number = usize::try_from(line).ok()?.checked_sub(1)?;
        let start = *self.lines.get(number)?;
        let end = self.lines.get(number + 1).copied().unwrap_or(usize::MAX);
        if column == 0 {
            let mut touched = self.functions.iter().filter(|it| it.from < end && it.to > start);
            let only = touched.next()?;
            return Some(only).filter(|it| touched.next().is_none() && !it.name.is_empty());
        }
        let at = start.checked_add(usize::try_from(column).ok()?.checked_sub(1)?)?;
        let around = self.functions.iter().filter(|it| it.from <= at && at < it.to && at < end);
        around.max_by_key(|it| it.from).filter(|it| !it.name.is_empty())
    }
}

/// A token that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextPart {
    /// A word: its begin and end in bytes.
    Word(usize, usize),
    /// Any other character that is not a space, and its position.
    Sign(u8, usize),
}

/// Reads the tokens of a text, leaving out comments and literals.
struct Scan<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Option<TextPart> {
        while let Some(&byte) = self.bytes.get(self.at) {
            let start = self.at;
            match byte {
                b'/' if self.peek(1) == b'/' => self.skip_while(|byte| byte != b'\n'),
                b'/' if self.peek(1) == b'*' => self.skip_comment(),
                b'"' => self.skip_string(),
                b'\'' => self.skip_character(),
                _ if is_word(byte) => {
                    self.skip_while(is_word);
                    if !self.skip_literal(start) {
                        return Some(TextPart::Word(start, self.at));
                    }
                }
                _ => {
                    self.at += 1;
                    if !byte.is_ascii_whitespace() {
                        return Some(TextPart::Sign(byte, start));
                    }
                }
            }
        }
        None
    }

    fn skip_while(&mut self, is_part: impl Fn(u8) -> bool) {
        let rest = self.bytes[self.at..].iter();
        self.at += rest.take_while(|byte| is_part(**byte)).count();
    }

    fn skip_comment(&mut self) {
        let mut depth = 0_u32;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => (depth, self.at) = (depth + 1, self.at + 2),
                (b'*', b'/') => (depth, self.at) = (depth - 1, self.at + 2),
                _ => self.at += 1,
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while self.at < self.bytes.len() {
            let byte = self.peek(0);
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        self.at = self.at.min(self.bytes.len());
    }

    /// Skips a character literal, or a lifetime's apostrophe.
    fn skip_character(&mut self) {
        let rest = &self.bytes[self.at + 1..];
        let closing = match rest.first() {
            Some(b'\\') => rest.iter().skip(2).position(|byte| *byte == b'\'').map(|at| at + 2),
            // A character may have four bytes.
            _ => rest.iter().take(5).skip(1).position(|byte| *byte == b'\'').map(|at| at + 1),
        };
        let is_lifetime = rest.first().is_some_and(|byte| is_word(*byte))
            && closing.is_some_and(|at| rest[1..at].iter().any(u8::is_ascii));
        self.at += closing.filter(|_| !is_lifetime).map_or(1, |at| at + 2);
    }

    /// Skips a string whose first letters look like a word: `b"…"`, `r#"…"#`. A raw identifier,
    /// `r#fn`, is skipped, too: it is no keyword.
    fn skip_literal(&mut self, start: usize) -> bool {
        let prefix = &self.bytes[start..self.at];
        let is_raw = matches!(prefix, b"r" | b"br" | b"cr");
        match (prefix, self.peek(0)) {
            (b"b" | b"c", b'"') => {
                self.skip_string();
                return true;
            }
            (b"b", b'\'') => {
                self.skip_character();
                return true;
            }
            _ => {}
        }
        let fences = self.bytes[self.at..].iter().take_while(|byte| **byte == b'#').count();
        if !is_raw || fences == 0 && self.peek(0) != b'"' {
            return false;
        }
        self.at += fences;
        if self.peek(0) != b'"' {
            self.skip_while(is_word);
            return true;
        }
        self.at += 1;
        while self.at < self.bytes.len() {
            self.at += 1;
            let behind = &self.bytes[self.at..];
            let fenced = behind.iter().take(fences).filter(|byte| **byte == b'#').count();
            if self.bytes[self.at - 1] == b'"' && fenced == fences {
                self.at += fences;
                break;
            }
        }
        true
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// What is open at a position of the text.
#[derive(Debug, Default)]
struct Nesting {
    functions: Vec<FnItem>,
    /// For each open bracket, the function whose body it begins.
    brackets: Vec<Option<usize>>,
    /// A function whose body has not begun, and how many brackets were open at its name.
    head: Option<(FnItem, usize)>,
    /// The position of the last word, if that was `fn`.
    keyword: Option<usize>,
    /// True after `async`, while only words follow that may stand between it and `fn`.
    is_async: bool,
}

impl Nesting {
    fn take(&mut self, piece: TextPart, scan: &Scan<'_>, text: &str) {
        match (piece, self.keyword.take()) {
            (TextPart::Word(from, to), Some(keyword)) => {
                self.begin(text[from..to].to_owned(), keyword);
            }
            (TextPart::Sign(b'$', _), Some(keyword)) => self.begin(String::new(), keyword),
            (TextPart::Word(from, to), None) => match &text[from..to] {
                "fn" => self.keyword = Some(from),
                "async" => self.is_async = true,
                "unsafe" | "extern" => {}
                _ => self.is_async = false,
            },
            (TextPart::Sign(sign, at), _) => {
                self.is_async = false;
                self.sign(sign, at, scan.bytes.len());
            }
        }
    }

    fn begin(&mut self, name: String, from: usize) {
        let is_async = std::mem::take(&mut self.is_async);
        let function = FnItem { name, is_async, from, to: usize::MAX };
        self.head = Some((function, self.brackets.len()));
    }

    fn sign(&mut self, sign: u8, at: usize, end: usize) {
        let is_of_head = self.head.as_ref().is_some_and(|head| head.1 == self.brackets.len());
        match sign {
            b'{' if is_of_head => {
                self.brackets.push(Some(self.functions.len()));
                self.functions.extend(self.head.take().map(|(function, _)| function));
            }
            b'(' | b'[' | b'{' => self.brackets.push(None),
            b')' | b']' | b'}' => {
                if let Some(function) = self.brackets.pop().flatten() {
                    self.functions[function].to = (at + 1).min(end);
                }
                // The head was inside a bracket that is closed now, so it was no function.
                self.head.take_if(|head| head.1 > self.brackets.len());
            }
            b';' if is_of_head => self.head = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The function around the first `mark` in `text`.
    fn at<'f>(functions: &'f FnItems, text: &str, mark: &str) -> Option<&'f FnItem> {
        let at = text.find(mark).expect("the mark is in the text");
        let line = text[..at].matches('\n').count() + 1;
        let column = at - text[..at].rfind('\n').map_or(0, |at| at + 1) + 1;
        functions.around(line as u32, column as u32)
    }

    const TEXT: &str = r##"
        // fn not_this() { in_comment /* fn nor_this() {
        struct S { f: fn(u8) -> u8 }
        /* fn outer() { /* nested */ { */
        impl S {
            pub(crate) const unsafe fn plain<'a>(x: &'a [u8; { 3 }]) -> u8 { in_plain }
            async fn send(&self) { let a = "}"; in_send; }
            async unsafe extern "C" fn far() { in_far }
            fn declared(&self) -> u8;
            fn strings() { let q = ('"', '\'', b'{', b"}", r#"}"}"#, 'é'); in_strings }
        }
        fn outer() {
            let f = |x: u8| { in_closure };
            fn inner() { in_inner }
            let after: fn(u8) = in_outer;
        }
        macro_rules! made { ($name:ident) => { fn $name() { in_made } } }
        fn one() { in_one } fn two() { in_two }
        in_nothing
    "##;

    #[test]
    fn every_place_has_its_innermost_function() {
        let functions = FnItems::of(TEXT);
        for (mark, name, is_async) in [
            ("in_plain", "plain", false),
            ("in_send", "send", true),
            ("in_far", "far", true),
            ("in_strings", "strings", false),
            ("in_closure", "outer", false),
            ("in_inner", "inner", false),
            ("in_outer", "outer", false),
            ("in_one", "one", false),
            ("in_two", "two", false),
        ] {
            let found = at(&functions, TEXT, mark).unwrap_or_else(|| panic!("{mark}"));
            assert_eq!((found.name.as_str(), found.is_async), (name, is_async), "{mark}");
        }
        for mark in ["in_made", "in_nothing", "in_comment"] {
            assert_eq!(at(&functions, TEXT, mark), None, "{mark}");
        }
    }

    #[test]
    fn a_line_alone_tells_the_function_only_if_it_is_of_one() {
        let functions = FnItems::of("fn a() {\n  x\n}\nfn b() { y } fn c() { z }\n");
        assert_eq!(functions.around(2, 0).map(|it| it.name.as_str()), Some("a"));
        assert_eq!(functions.around(4, 0), None);
        assert_eq!(functions.around(0, 1), None);
        assert_eq!(functions.around(9, 1), None);
        assert_eq!(functions.around(2, 40), None, "beyond the line's end");
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for cut in 0..TEXT.len() {
            if let Some(text) = TEXT.get(..cut) {
                FnItems::of(text);
            }
            if let Some(text) = TEXT.get(cut..) {
                FnItems::of(text);
            }
        }
    }
}
