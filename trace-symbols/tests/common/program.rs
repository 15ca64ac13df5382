//! A program that the tests compile, and then change with `objcopy`, which is installed wherever a
//! linker is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use object::read::{Object, ObjectSymbol};
use tempfile::TempDir;
use trace_format::read::Module;
use trace_symbols::program::Program;

/// Line 3 is inlined into line 7.
const SOURCE: &str = "
#[inline(always)]
fn inner(n: u64) -> u64 { std::hint::black_box(n) / std::hint::black_box(3) }

pub mod work {
    #[inline(never)]
    pub fn outer(n: u64) -> u64 { super::inner(n) + std::hint::black_box(1) }
}

fn main() { println!(\"{}\", work::outer(std::env::args().count() as u64)); }
";

/// Where the traced program had its code.
pub(crate) const BIAS: u64 = 0x5555_5555_4000;

/// The program as it was built, once for all tests.
pub(crate) struct Built {
    pub(crate) path: PathBuf,
    pub(crate) module: Module,
    /// All addresses of `work::outer`, in memory.
    pub(crate) outer: Vec<u64>,
}

pub(crate) static BUILT: LazyLock<Built> = LazyLock::new(|| {
    // Not in a temporary folder: statics are never dropped, so nothing would remove it.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("built");
    fs::create_dir_all(&folder).expect("room");
    build("full", &folder)
});

pub(crate) fn build(debug_information: &str, folder: &Path) -> Built {
    build_of(SOURCE, "outer", debug_information, folder)
}

/// Builds a program from another source; `outer` is the function whose name contains `function`.
pub(crate) fn build_of(
    text: &str,
    function: &str,
    debug_information: &str,
    folder: &Path,
) -> Built {
    let (source, path) = (folder.join("program.rs"), folder.join("program"));
    // Renamed into place, because these tests may run twice at a time; equal sources give equal
    // programs.
    let fresh = TempDir::new_in(folder).expect("room");
    let (new_source, new) = (fresh.path().join("program.rs"), fresh.path().join("program"));
    fs::write(&new_source, text).expect("room");
    fs::rename(new_source, &source).expect("the same disk");
    let mut rustc = Command::new("rustc");
    rustc.arg(format!("-Cdebuginfo={debug_information}")).arg(&source).arg("-o").arg(&new);
    run(rustc.args(["--edition=2024", "-O", "-Clink-arg=-Wl,--build-id"]).current_dir(folder));
    fs::rename(new, &path).expect("the same disk");
    let bytes = fs::read(&path).expect("the program");
    let file = object::File::parse(bytes.as_slice()).expect("a program");
    let mut symbols = file.symbols();
    let outer = symbols.find(|symbol| symbol.name().is_ok_and(|name| name.contains(function)));
    let outer = outer.expect("a function that is never inlined");
    let outer = (outer.address()..outer.address() + outer.size()).map(|at| at + BIAS).collect();
    let build_id = Program::open(&path).expect("a program").build_id;
    assert!(!build_id.is_empty());
    let module = module(&path, build_id);
    Built { path, module, outer }
}

pub(crate) fn module(path: &Path, build_id: Vec<u8>) -> Module {
    let path = path.to_str().expect("a path of letters").to_owned();
    Module { first: BIAS, last: BIAS + (1 << 24), bias: BIAS, build_id, path }
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().expect("it is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A copy of the program that `objcopy` has changed.
pub(crate) fn objcopy(options: &[&str], from: &Path, to: &Path) {
    run(Command::new("objcopy").args(options).arg(from).arg(to));
}
