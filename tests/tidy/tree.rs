//! The project's files, read once, and the type of a fault in them.
//!
//! Follows git's lists of ignored files without calling git, so that an unpacked archive can be
//! checked, too. The checks' own tests make small trees from text.
//!
//! Elsewhere: what Rust sources consist of (`tokens`).

use crate::tokens::Tokens;
use std::fmt;
use std::fs;
use std::path::Path;

/// A fault in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    path: String,
    line: usize,
    what: String,
}

impl Fault {
    /// - `line`: from 1; 0 for a file as a whole.
    /// - `what`: the fault, and what to do about it.
    pub(crate) fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }

    /// The file it is in.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line.max(1), self.what)
    }
}

/// One file of the project.
#[derive(Debug)]
pub(crate) struct File {
    /// From the project's root, with `/`.
    pub(crate) path: String,
    /// Empty if the file is not text.
    pub(crate) text: String,
    /// The tokens of a Rust source.
    pub(crate) tokens: Option<Tokens>,
}

impl File {
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// The comment that opens the file, its `//!` lines.
    pub(crate) fn header(&self) -> String {
        let lines = self.text.lines().take_while(|line| line.starts_with("//!"));
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().expect("splitting gives at least one piece")
    }

    pub(crate) fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// Whether the whole file is for tests or examples, where a panic is the right report.
    pub(crate) fn is_test(&self) -> bool {
        let mut folders = self.path.split('/');
        folders.any(|folder| ["tests", "benches", "examples", "fuzz", "snapshot"].contains(&folder))
    }

    /// The first line that begins with `text`, 0 if there is none.
    pub(crate) fn line_of(&self, text: &str) -> usize {
        self.lines().find(|(_, line)| line.starts_with(text)).map_or(0, |(at, _)| at)
    }
}

/// Files by path.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    /// Sources that could not be read as tokens; other checks skip them.
    pub(crate) unreadable: Vec<Fault>,
}

impl Tree {
    pub(crate) fn of_this_project() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut walk = ignore::WalkBuilder::new(root);
        // Only the project's own lists count, not those of folders around it.
        walk.hidden(false).parents(false).git_global(false).git_exclude(false).require_git(false);
        walk.filter_entry(|entry| entry.file_name() != ".git");
        let mut files = Vec::new();
        for entry in walk.build() {
            let entry = entry.expect("the tree can be walked");
            if entry.file_type().is_some_and(|kind| kind.is_file()) {
                let path = entry.path().strip_prefix(root).expect("the walk stays in the tree");
                let path = path.to_str().expect("paths are text").replace('\\', "/");
                // A file may have been removed meanwhile.
                let Ok(bytes) = fs::read(entry.path()) else { continue };
                files.push((path, String::from_utf8(bytes).unwrap_or_default()));
            }
        }
        Self::new(files)
    }

    /// A tree of these paths and texts.
    pub(crate) fn sample(files: &[(&str, &str)]) -> Self {
        let tree = Self::new(files.iter().map(|(path, text)| ((*path).into(), (*text).into())));
        assert_eq!(tree.unreadable, [], "a sample is readable");
        tree
    }

    fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut tree = Self { files: Vec::new(), unreadable: Vec::new() };
        for (path, text) in files {
            let mut tokens = None;
            if path.ends_with(".rs") {
                match Tokens::of(&text) {
                    Ok(found) => tokens = Some(found),
                    Err((line, error)) => tree.unreadable.push(Fault::new(&path, line, error)),
                }
            }
            tree.files.push(File { path, text, tokens });
        }
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        tree
    }

    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust sources.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&File, &Tokens)> {
        self.files.iter().filter_map(|file| Some((file, file.tokens.as_ref()?)))
    }

    /// The files below a folder whose path ends in `/`.
    pub(crate) fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.path.starts_with(folder))
    }
}

/// Files that a check excuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exception {
    /// A file, or a folder with `/` at its end.
    pub(crate) path: &'static str,
    /// Why, for readers of the list.
    pub(crate) reason: &'static str,
}

impl Exception {
    pub(crate) fn covers(&self, path: &str) -> bool {
        path == self.path || self.path.ends_with('/') && path.starts_with(self.path)
    }
}

/// Removes excused faults. An exception that excuses none becomes a fault itself.
pub(crate) fn excuse(faults: Vec<Fault>, exceptions: &[Exception]) -> Vec<Fault> {
    let is_stale = |exception: &&Exception| !faults.iter().any(|it| exception.covers(&it.path));
    let stale = exceptions.iter().filter(is_stale).map(|exception| {
        let what = format!("an exception nobody needs (\"{}\"), take it out", exception.reason);
        Fault::new(exception.path, 0, what)
    });
    let stale: Vec<_> = stale.collect();
    let is_excused = |fault: &Fault| exceptions.iter().any(|it| it.covers(&fault.path));
    faults.into_iter().filter(|fault| !is_excused(fault)).chain(stale).collect()
}

mod tests {
    use super::*;

    const LIST: [Exception; 1] = [Exception { path: "a/", reason: "tried" }];

    #[test]
    fn what_is_excused_is_no_fault_elsewhere_it_stays_one() {
        let faults = vec![Fault::new("a/b.rs", 1, "x"), Fault::new("b.rs", 2, "x")];
        assert_eq!(excuse(faults, &LIST), [Fault::new("b.rs", 2, "x")]);
    }

    #[test]
    fn an_exception_nobody_needs_is_a_fault() {
        let left = excuse(vec![Fault::new("b.rs", 2, "x")], &LIST);
        assert_eq!(left.len(), 2);
        assert_eq!(left[1].path, "a/");
    }

    #[test]
    fn a_source_that_is_no_rust_is_told() {
        let tree = Tree::new([("a.rs".to_owned(), "fn f() {\n\n)".to_owned())]);
        assert_eq!(tree.unreadable.len(), 1);
    }
}
