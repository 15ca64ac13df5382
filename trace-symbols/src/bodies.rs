//! Names inlined closures and async blocks whose function the callers do not show. The source text
//! says which function the body's line and column are in, if the file exists and is not younger
//! than the program.
//!
//! Elsewhere: what callers show, and how functions are named (`trace_format::function`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

use trace_format::function::Nameless;

use crate::source_text::FnItems;

/// Maximum number of source files whose functions are remembered.
const FILES_MAX: usize = 1 << 12;

/// The functions of source files, read once each.
#[derive(Debug)]
pub(crate) struct Sources {
    files: RefCell<HashMap<String, Option<FnItems>>>,
    /// The program was built at this time or earlier: younger files are not what it was built from.
    built: Option<SystemTime>,
}

impl Sources {
    pub(crate) fn new(built: Option<SystemTime>) -> Self {
        Self { files: RefCell::default(), built }
    }

    /// The function that a body at this place of a file is in, by the file's text.
    pub(crate) fn function(
        &self,
        body: Nameless<'_>,
        file: &str,
        line: u32,
        column: u32,
    ) -> Option<String> {
        let mut files = self.files.borrow_mut();
        if files.len() >= FILES_MAX && !files.contains_key(file) {
            files.clear();
        }
        let read = || FnItems::read(Path::new(file), self.built?);
        let functions = files.entry(file.to_owned()).or_insert_with(read).as_ref()?;
        let function = functions.around(line, column)?;
        body.may_be_in(function.is_async).then(|| function.name.clone())
    }
}
