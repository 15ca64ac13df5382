//! Keeps names that other crates lend us for the life of the process, because call sites need
//! theirs that long.
//!
//! Names are found by their text, without a lock. A kept name is never freed, so their number has a
//! limit; beyond it every new name becomes [`OTHER`].

use std::sync::OnceLock;

/// Maximum number of names kept. Somewhat fewer fit, because a name has only [`PROBES_MAX`] slots.
const NAMES_MAX: usize = 512;

/// Maximum number of bytes kept of a name.
const NAME_BYTES_MAX: usize = 256;

/// Number of slots in which a name is looked for.
const PROBES_MAX: usize = 16;

/// Stands for every name that found no slot.
const OTHER: &str = "(other)";

struct Names([OnceLock<Box<str>>; NAMES_MAX]);

static NAMES: Names = Names::new();

/// `name`, cut to 256 bytes, with a static lifetime.
pub(crate) fn kept(name: &str) -> &'static str {
    NAMES.kept(name)
}

/// The beginning of `text` that is at most `bytes_max` long and does not cut a character in two.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    // `str::floor_char_boundary` is newer than the oldest compiler we support.
    let end = (0..=bytes_max.min(text.len())).rfind(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

impl Names {
    const fn new() -> Self {
        Self([const { OnceLock::new() }; NAMES_MAX])
    }

    fn kept(&'static self, name: &str) -> &'static str {
        let name = cut(name, NAME_BYTES_MAX);
        // FNV-1a: short texts, no state; an attacker who provokes collisions only turns some names
        // into `OTHER`.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        for probe in 0..PROBES_MAX {
            let place = &self.0[(hash as usize).wrapping_add(probe) % NAMES_MAX];
            let there = place.get_or_init(|| name.into());
            if **there == *name {
                return there;
            }
        }
        OTHER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_their_number_is_bounded() {
        // A table of its own: this test fills it, and other tests keep names in the shared one.
        static NAMES: Names = Names::new();
        let (one, two) = (NAMES.kept("one"), NAMES.kept(&String::from("one")));
        assert!(std::ptr::eq(one, two));
        let long = "é".repeat(NAME_BYTES_MAX);
        assert_eq!(NAMES.kept(&long), &long[..NAME_BYTES_MAX]);
        let numbered = (0..2 * NAMES_MAX).map(|at| NAMES.kept(&format!("name {at}")));
        assert!(numbered.collect::<Vec<_>>().contains(&OTHER));
        assert_eq!(NAMES.kept("one"), "one", "what is kept stays");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let cases = [("aé", 3, "aé"), ("aé", 2, "a"), ("aé", 9, "aé"), ("é", 1, ""), ("", 0, "")];
        for (text, bytes_max, wanted) in cases {
            assert_eq!(cut(text, bytes_max), wanted, "{text} {bytes_max}");
        }
    }
}
