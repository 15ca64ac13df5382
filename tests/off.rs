//! `enabled` off: nothing is compiled in, nothing is evaluated, nothing warns, and the machine code
//! is that of the code without annotations. A library without features records if its binary
//! enables it.
//!
//! `common/workspace.rs` builds the sources in `fixtures/off`.

#[path = "common/workspace.rs"]
mod workspace;

use std::fs::{self, File};
use trace_format::read::TraceFile;
use workspace::Fixture;

impl Fixture {
    /// The assembly of `shapes`, function by function, without parts that vary: labels, directives,
    /// hashes. The files stay, because a second run builds nothing anew.
    fn assembly(&self, name: &str, cfg: &[&str]) -> Vec<(String, Vec<String>)> {
        let path = self.folder.join(name).with_extension("s");
        let emit = format!("--emit=asm={}", path.display());
        let front = ["rustc", "--release", "-p", "shapes", "--lib", "--"];
        let back = ["-C", "codegen-units=1", &emit];
        self.cargo_prints(&[front.as_slice(), back.as_slice(), cfg].concat());
        functions(&fs::read_to_string(path).expect("assembly was asked for"))
    }
}

/// The functions `shape_..` with their instructions.
fn functions(assembly: &str) -> Vec<(String, Vec<String>)> {
    let mut functions: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in assembly.lines() {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        let label = line.strip_suffix(':').filter(|label| !label.starts_with('.'));
        if let Some(at) = label.and_then(|label| label.find("shape_")) {
            let name = line[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_');
            functions.push((name.collect(), Vec::new()));
            inside = true;
        } else if line.starts_with(".Lfunc_end") || line.trim_start().starts_with(".size") {
            inside = false;
        } else if inside && line.starts_with(char::is_whitespace) {
            let instruction = line.trim();
            if !instruction.starts_with('.') && !instruction.is_empty() {
                let (_, body) = functions.last_mut().expect("inside one");
                body.push(without_hashes(instruction));
            }
        }
    }
    functions.sort();
    functions
}

/// Removes hashes of the crate's settings from constants and mangled names.
fn without_hashes(instruction: &str) -> String {
    let is_hash = |word: &&str| word.len() >= 16 && word.bytes().all(|b| b.is_ascii_alphanumeric());
    let words = instruction.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    words
        .map(|word| {
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let hash = Some(bare).filter(is_hash).is_some();
            if hash { word.replacen(bare, "HASH", 1) } else { word.to_owned() }
        })
        .collect()
}

#[test]
fn annotated_functions_have_the_machine_code_of_plain_ones() {
    let fixture = Fixture::new("off-assembly");
    let plain = fixture.assembly("plain", &[]);
    let annotated = fixture.assembly("annotated", &["--cfg", "annotated"]);
    assert_eq!(plain.len(), 7, "every shape is there");
    assert!(plain.iter().all(|(_, body)| !body.is_empty()), "every shape has a body: {plain:?}");
    for (plain, annotated) in plain.iter().zip(&annotated) {
        assert_eq!(plain, annotated);
    }
    assert_eq!(plain.len(), annotated.len());
}

#[test]
fn everything_compiles_without_a_warning_and_does_nothing() {
    let fixture = Fixture::new("off-program");
    let out = fixture.trace();
    let out = out.to_str().expect("a plain path");
    let printed = fixture.cargo_prints(&["run", "-p", "program", "--", out]);
    assert_eq!(printed, "compiled in: false, events: 0\n");
    assert_eq!(fs::metadata(out).expect("it was created").len(), 0, "nothing was written");
    fs::remove_file(out).expect("it is there");
    let tree = fixture.cargo_prints(&["tree", "-e", "normal,build", "-p", "program"]);
    assert!(tree.contains("trace-macros"), "{tree}");
    for crate_name in ["trace-runtime", "trace-format", "syn ", "quote", "inventory", "libc"] {
        assert!(!tree.contains(crate_name), "{crate_name} is built for nothing:\n{tree}");
    }
}

#[test]
fn a_test_is_a_test_and_no_more() {
    let fixture = Fixture::new("off-program");
    let printed = fixture.cargo_prints(&["test", "-p", "library", "--lib"]);
    let passed = "test result: ok. 2 passed; 0 failed";
    assert!(printed.contains(passed), "{printed}");
    assert!(printed.contains("tests::a_test_is_a_test ... ok"), "{printed}");
}

#[test]
fn a_library_without_features_records_if_its_binary_says_so() {
    let fixture = Fixture::new("off-enabled");
    let out = fixture.trace();
    let words = ["run", "-p", "program", "--features", "trace", "--"];
    let out_word = out.to_str().expect("a plain path");
    let printed = fixture.cargo_prints(&[&words, [out_word].as_slice()].concat());
    assert!(printed.starts_with("compiled in: true, events: "), "{printed}");
    let file = TraceFile::open(File::open(&out).expect("it was written")).expect("it is a trace");
    assert!(file.is_complete() && file.faults().is_empty());
    let sites = &file.tables().callsites;
    let double = sites.iter().find(|site| site.name == "double").expect("the library's site");
    assert_eq!(double.module, "library");
    let events: u64 = file.index().iter().map(|entry| u64::from(entry.events)).sum();
    assert!(events > 20, "{events} events and definitions");
    fs::remove_file(out).expect("it is there");
}

#[test]
fn clippy_has_nothing_to_say_either_way() {
    let fixture = Fixture::new("off-clippy");
    if !fixture.cargo(&["clippy", "--version"]).status.success() {
        eprintln!("no clippy here: not checked");
        return;
    }
    let packages = ["clippy", "-p", "program", "-p", "library"];
    fixture.cargo_prints(&packages);
    fixture.cargo_prints(&[&packages, ["--features", "program/trace"].as_slice()].concat());
}
