//! Call sites that are made while the program runs: for futures that are named where they are
//! spawned, for spans and log messages of other crates. No macro makes statics for those.
//!
//! A site is found by the addresses of its texts, without a lock: a place in the source has the
//! same texts each time. If the addresses differ (generic code is compiled more than once), the
//! texts are compared, and the site is the same. A site stays for the life of the process, so their
//! number is limited; beyond that, all share one site, named [`OTHER`].
//!
//! Elsewhere: what a site is (`callsite`), how the trace learns of new ones (`output`).

use crate::callsite::{ArgumentName, Callsite, CallsiteKind};
use crate::session::process;
use crate::thread::local;
use std::sync::OnceLock;

/// Maximum number of sites, the one named [`OTHER`] included.
pub(crate) const SITES_MAX: usize = 4096;

/// Slots of the hash table that leads to the sites.
const SLOTS: usize = 4 * SITES_MAX;

/// Maximum length of a search; beyond it, the table counts as full.
const PROBES_MAX: usize = 32;

static SITES: [OnceLock<Callsite>; SITES_MAX] = [const { OnceLock::new() }; SITES_MAX];

static WAYS: [OnceLock<KeyedSite>; SLOTS] = [const { OnceLock::new() }; SLOTS];

/// The name of the site that stands for all beyond the limit; it has the last place.
const OTHER: &str = "(other call sites)";

/// A place in the source, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SitePlace {
    /// What kind of events it emits.
    pub kind: CallsiteKind,
    /// A name for people.
    pub name: &'static str,
    /// The module, or something else that groups such sites; may be empty.
    pub module: &'static str,
    /// The source file; may be empty.
    pub file: &'static str,
    /// From 1; 0 if unknown.
    pub line: u32,
    /// From 1; 0 if unknown.
    pub column: u32,
}

/// The addresses of a place's texts, and its numbers: they identify it.
type PlaceKey = [u64; 4];

/// A key that was seen, and its site.
#[derive(Debug)]
struct KeyedSite {
    key: PlaceKey,
    site: &'static Callsite,
}

impl SitePlace {
    /// A place named `name`, at the caller of a `#[track_caller]` function.
    #[must_use]
    pub fn of_caller(
        kind: CallsiteKind,
        name: &'static str,
        caller: &'static std::panic::Location<'static>,
    ) -> Self {
        let (file, line, column) = (caller.file(), caller.line(), caller.column());
        Self { kind, name, module: "", file, line, column }
    }

    /// Its call site, made if there is none yet; `arguments` are those of a new one.
    #[must_use]
    pub fn callsite(&self, arguments: &[ArgumentName]) -> &'static Callsite {
        let key = self.key();
        let hash = key.iter().fold(0_u64, |hash, part| {
            (hash.rotate_left(5) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        // The low bits of a product depend only on the low bits of its factors.
        let hash = (hash >> 20) as usize;
        for probe in 0..PROBES_MAX {
            match WAYS[hash.wrapping_add(probe) % SLOTS].get() {
                Some(way) if way.key == key => return way.site,
                Some(_) => {}
                None => return self.learn(key, hash, arguments),
            }
        }
        self.learn(key, hash, arguments)
    }

    fn key(&self) -> PlaceKey {
        // 64 bits also on 32-bit systems: two places must not have the same key.
        let [line, column] = [self.line, self.column].map(u64::from);
        let place = line << 12 ^ column ^ (self.kind as u64) << 52;
        let [name, file] = [self.name, self.file].map(|text| text.as_ptr() as u64);
        // A name may be the beginning of another that lies at the same address.
        [name, file, place, self.name.len() as u64]
    }

    /// The site of a key that is new: a site with the same texts, or a new one.
    #[cold]
    #[inline(never)]
    fn learn(&self, key: PlaceKey, hash: usize, arguments: &[ArgumentName]) -> &'static Callsite {
        // What this allocates is the recorder's, not the program's.
        let _suppressed = local::suppress();
        let known = made().find(|site| self.is_of(site));
        let site = known.unwrap_or_else(|| self.make(arguments));
        for probe in 0..PROBES_MAX {
            let way = KeyedSite { key, site };
            if WAYS[hash.wrapping_add(probe) % SLOTS].set(way).is_ok() {
                break;
            }
        }
        site
    }

    fn is_of(&self, site: &Callsite) -> bool {
        let place = (site.kind(), site.line(), site.column());
        place == (self.kind, self.line, self.column)
            && (site.name(), site.module_path()) == (self.name, self.module)
            && site.file() == self.file
    }

    fn make(&self, arguments: &[ArgumentName]) -> &'static Callsite {
        let Self { kind, name, module, file, line, column } = *self;
        let id = process::next_site();
        let arguments: &'static [ArgumentName] = match arguments {
            [] => &[],
            arguments => Vec::leak(arguments.to_vec()),
        };
        let mut site = Callsite::new(kind, name, module, file, line, column, 0, arguments);
        // Before it is in the list, so that all who see it see its id.
        site.prepare(id);
        let (last, places) = SITES.split_last().expect("there are places");
        for place in places.iter().filter(|place| place.get().is_none()) {
            match place.set(site) {
                Ok(()) => return enliven(place),
                Err(back) => site = back,
            }
        }
        let other = Callsite::new(kind, OTHER, "", "", 0, 0, 0, &[]);
        other.prepare(id);
        // If that site is there already, it stays.
        let _ = last.set(other);
        enliven(last)
    }
}

/// Makes a site that was just put into the list live, if a trace runs.
fn enliven(place: &'static OnceLock<Callsite>) -> &'static Callsite {
    let site = place.get().expect("it was just put there");
    site.set_live(process::is_enabled());
    if !process::is_enabled() {
        // The trace was stopped between the two looks.
        site.set_live(false);
    }
    site
}

/// All sites that were made so far, in that order.
pub(crate) fn made() -> impl Iterator<Item = &'static Callsite> {
    made_from(0)
}

/// The same, without the first `at`.
pub(crate) fn made_from(at: usize) -> impl Iterator<Item = &'static Callsite> {
    // The list has no gaps: each is put into the first free place.
    SITES[at.min(SITES_MAX)..].iter().map_while(OnceLock::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &'static str, line: u32) -> SitePlace {
        let (kind, file) = (CallsiteKind::Future, "src/a.rs");
        SitePlace { kind, name, module: "m", file, line, column: 1 }
    }

    #[test]
    fn a_place_has_one_site_wherever_its_texts_lie() {
        let site = place("one", 1).callsite(&[]);
        let copy: &'static str = Box::leak("one".to_owned().into_boxed_str());
        assert!(std::ptr::eq(site, place(copy, 1).callsite(&[])));
        assert!(std::ptr::eq(site, place("one", 1).callsite(&[])));
        assert!(!std::ptr::eq(site, place("one", 2).callsite(&[])));
        assert!(!std::ptr::eq(site, place("two", 1).callsite(&[])));
        let prefix: &'static str = &"onerous"[..3];
        assert!(std::ptr::eq(site, place(prefix, 1).callsite(&[])));
        assert!(!std::ptr::eq(site, place("onerous", 1).callsite(&[])));
    }

    #[test]
    fn threads_that_ask_at_once_get_the_same_site() {
        for line in 100..110 {
            let ask = || std::ptr::from_ref(place("shared", line).callsite(&[])) as usize;
            let found: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            // Two may be made in a race; in the end all get the same one.
            let last = ask();
            assert!(found.contains(&last));
            let ids: Vec<_> = made().map(Callsite::id).collect();
            let mut unique = ids.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), ids.len(), "ids are given once");
        }
    }

    #[test]
    fn a_new_site_keeps_its_arguments() {
        let names = [ArgumentName::new("id", trace_format::definition::ArgumentKind::Typed)];
        let site = place("with arguments", 7).callsite(&names);
        assert_eq!(site.arguments(), names);
        assert!(!site.is_live(), "no trace runs");
    }
}
