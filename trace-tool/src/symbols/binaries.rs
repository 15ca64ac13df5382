//! Files with names that somebody has given on the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use trace_format::read::{Module, ReadAt, TraceFile};
use trace_symbols::binaries::Binaries;
use trace_symbols::cache::Cache;
use trace_symbols::program::hex;

use crate::error::Failure;
use crate::label;
use crate::output::say;

/// Where names may come from, besides the files that ran.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Take names from this file: the program, a library, or debug information. Any number of them.
    #[arg(long, value_name = "PATH")]
    pub binary: Vec<PathBuf>,
    /// Look for separate debug information here, before /usr/lib/debug. Any number of them.
    #[arg(long, value_name = "DIR")]
    pub debug_dir: Vec<PathBuf>,
    /// Do not keep names in the user's cache, nor take any from there: they outlive a rebuild in
    /// XDG_CACHE_HOME/exectrace/names, by build id, 64 MB at most.
    #[arg(long)]
    pub no_cache: bool,
}

impl Options {
    /// The files to look into for a trace. Says which of them are of no module of it.
    ///
    /// # Errors
    /// If a file that was given is no program.
    pub fn open<S: ReadAt>(&self, file: &TraceFile<S>) -> Result<Binaries, Failure> {
        let tables = file.tables();
        let began = Duration::from_nanos(tables.clock.origin().wall.0);
        let mut binaries = Binaries::new(SystemTime::UNIX_EPOCH + began);
        for path in &self.binary {
            binaries.give(path).map_err(|error| Failure::Open(path.clone(), error))?;
        }
        self.debug_dir.iter().for_each(|directory| binaries.look_in(directory));
        if let Some(cache) = Cache::of_user().filter(|_| !self.no_cache) {
            binaries.remember_in(cache);
        }
        say_unused(&binaries, &tables.modules);
        Ok(binaries)
    }
}

/// Reports files that were given in vain, as typing errors are.
fn say_unused(binaries: &Binaries, modules: &BTreeMap<u64, Module>) {
    for program in binaries.unused(modules) {
        let path = label::path(&program.path);
        let id = match hex(&program.build_id) {
            id if id.is_empty() => "no build id".to_owned(),
            id => format!("build id {id}"),
        };
        say(&format!("{path}: is no module of this trace ({id})"));
    }
}
