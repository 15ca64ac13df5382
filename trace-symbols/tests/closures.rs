//! Inlined closures and async blocks keep the name of their function even if the program's debug
//! information has only line tables, which call them `{closure#0}`.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use common::program::{Built, build_of};
use trace_analysis::symbols::Symbols;
use trace_symbols::binaries::Binaries;
use trace_symbols::name;

/// The compiler inlines everything into `outer`.
const SOURCE: &str = "
use std::hint::black_box;
use std::task::{Context, Waker};

mod shop {
    pub struct Shelf(pub Vec<u8>);
    impl Shelf {
        #[inline(always)]
        pub fn find(&self) -> u32 {
            self.0.iter().map(|it| u32::from(std::hint::black_box(*it))).sum()
        }
    }
    #[inline(always)]
    pub async fn send(of: u8) -> u8 { std::hint::black_box(of) / std::hint::black_box(3) }
}

#[inline(always)]
async fn only_sends(of: u8) -> u8 { shop::send(of).await }

#[inline(never)]
pub fn outer(of: u8) -> u32 {
    let mut sent = std::pin::pin!(only_sends(of));
    let _ = black_box(sent.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    shop::Shelf(vec![black_box(of); 3]).find()
}

fn main() { println!(\"{}\", outer(std::env::args().count() as u8)); }
";

fn built(name: &str) -> Built {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("room");
    build_of(SOURCE, "outer", "line-tables-only", &folder)
}

static BUILT: LazyLock<Built> = LazyLock::new(|| built("closures"));

/// The names of all closures and async blocks in `outer`.
fn bodies(built: &Built) -> BTreeSet<String> {
    let mut symbols = Symbols::default();
    symbols.add_module(built.module.clone());
    name(&mut symbols, built.outer.iter().copied(), &Binaries::new(SystemTime::now()));
    let functions = symbols.iter().flat_map(|(_, functions)| functions);
    let names = functions.map(|function| function.name.clone());
    names.filter(|name| name.contains('{')).collect()
}

#[test]
fn bodies_are_named_by_their_functions() {
    let found = bodies(&BUILT);
    for name in ["only_sends::{async_fn#0}", "send::{async_fn#0}"] {
        assert!(found.contains(name), "{name}: {found:?}");
    }
    let closure = "program::shop::find::{closure#0}";
    assert!(found.contains(closure), "{found:?}");
    assert!(!found.iter().any(|name| name.starts_with('{')), "{found:?}");
}

#[test]
fn a_source_that_was_changed_since_names_nothing() {
    let built = built("closures_changed");
    let source = built.path.with_file_name("program.rs");
    let later = SystemTime::now() + Duration::from_secs(3600);
    let file = fs::File::options().append(true).open(source).expect("it is there");
    file.set_modified(later).expect("it is ours");
    let found = bodies(&built);
    assert!(found.contains("{async_fn#0}"), "{found:?}");
    // Names from debug information itself are unchanged.
    assert!(found.contains("program::shop::find::{closure#0}"), "{found:?}");
}
