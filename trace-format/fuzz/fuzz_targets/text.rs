//! Any text: no panic; and what is understood is written the same way again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trace_format::text::{from_text, to_text};

fuzz_target!(|text: &str| {
    let Ok(bytes) = from_text(text) else {
        return;
    };
    let again = to_text(&bytes);
    // A text may describe what a reader refuses: then there is a comment, and no way back.
    if again.starts_with("file") && !again.contains('#') {
        assert!(from_text(&again).expect("own text") == bytes, "{again}");
    }
});
