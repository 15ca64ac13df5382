//! Makes text from a trace safe to print: whatever a program recorded, the terminal gets no control
//! character, only valid UTF-8, and a limited length.
//!
//! Control characters, and those that change the direction of text, become `\n`, `\t`, `\u{1b}` and
//! so on. Bytes that are not UTF-8 become `\xff`. A backslash stays as it is, except inside quotes,
//! where it and the quote get a backslash in front.

use std::fmt::Write;

use trace_format::value::{Text, is_shown};

/// Appends `bytes`, at most `chars_max` characters of them; `…` stands for the rest.
pub fn push(out: &mut String, bytes: &[u8], chars_max: usize) {
    push_with(out, bytes, chars_max, false);
}

/// Escapes a text that is valid UTF-8 already.
#[must_use]
pub fn plain(text: &str, chars_max: usize) -> String {
    let mut out = String::with_capacity(text.len());
    push(&mut out, text.as_bytes(), chars_max);
    out
}

/// Appends a text in quotes, and how much of it is not shown or was not recorded.
pub fn push_quoted(out: &mut String, text: Text<'_>, chars_max: usize) {
    out.push('"');
    let shown = push_with(out, text.bytes, chars_max, true);
    out.push('"');
    push_hidden(out, text, shown);
}

/// Appends a text without quotes, and how much of it is not shown or was not recorded.
pub fn push_text(out: &mut String, text: Text<'_>, chars_max: usize) {
    let shown = push_with(out, text.bytes, chars_max, false);
    push_hidden(out, text, shown);
}

fn push_hidden(out: &mut String, text: Text<'_>, shown: usize) {
    let hidden = text.missing().saturating_add((text.bytes.len() - shown) as u64);
    if hidden > 0 {
        let _ = write!(out, "(+{hidden} bytes)");
    }
}

/// Returns how many of the bytes were shown.
fn push_with(out: &mut String, bytes: &[u8], chars_max: usize, quoted: bool) -> usize {
    let (mut chars, mut shown) = (0, 0);
    for piece in bytes.utf8_chunks() {
        for character in piece.valid().chars() {
            if chars == chars_max {
                out.push('…');
                return shown;
            }
            push_char(out, character, quoted);
            chars += 1;
            shown += character.len_utf8();
        }
        for byte in piece.invalid() {
            if chars == chars_max {
                out.push('…');
                return shown;
            }
            let _ = write!(out, "\\x{byte:02x}");
            chars += 1;
            shown += 1;
        }
    }
    shown
}

fn push_char(out: &mut String, character: char, quoted: bool) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '"' | '\\' if quoted => {
            out.push('\\');
            out.push(character);
        }
        _ if !is_shown(character) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        }
        _ => out.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let mut out = String::new();
        push(&mut out, bytes, 20);
        assert_eq!(out, expected);
    }

    #[test]
    fn nothing_that_moves_the_cursor_gets_through() {
        check(b"a\x1b[2Jb", "a\\u{1b}[2Jb");
        check(b"\r\n\t\0", "\\r\\n\\t\\u{0}");
        check("\u{202e}abc\u{9b}".as_bytes(), "\\u{202e}abc\\u{9b}");
        check(b"caf\xc3\xa9 \xff\xc3", "caf\u{e9} \\xff\\xc3");
    }

    #[test]
    fn long_text_is_cut_and_says_by_how_much() {
        let mut out = String::new();
        let text = vec![b'x'; 1000];
        let text = Text { bytes: &text, bytes_before: 5000 };
        push_quoted(&mut out, text, 4);
        assert_eq!(out, "\"xxxx…\"(+4996 bytes)");
        out.clear();
        push_text(&mut out, text, 1000);
        assert_eq!(out.len(), 1000 + "(+4000 bytes)".len());
    }

    #[test]
    fn quotes_inside_quotes_are_told_apart() {
        let mut out = String::new();
        push_quoted(&mut out, Text::cut(b"a\"b\\", 100), 100);
        assert_eq!(out, r#""a\"b\\""#);
    }
}
