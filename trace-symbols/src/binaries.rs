//! Which files have the names of a module: the program or library itself, files given by the user,
//! and separate debug information where systems keep it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use trace_analysis::symbols::file_name;
use trace_format::read::Module;

use crate::cache::Cache;
use crate::program::{Program, hex};

/// Where systems keep separate debug information.
const DEBUG_DIRECTORY: &str = "/usr/lib/debug";

/// Why a module's addresses have no names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// The module is no file: the kernel made it.
    File,
    /// Its files were read and do not name these addresses.
    Names,
    /// The file is the right one, but its names were stripped.
    Stripped {
        /// Which.
        path: PathBuf,
    },
    /// The addresses are in no module that the trace knows.
    Module,
    /// The module's file does not exist, or cannot be read.
    Missing {
        /// Where the file was.
        path: PathBuf,
        /// Why it can't be read.
        why: String,
    },
    /// The file now at the path is another build than the one that ran.
    OtherBuild {
        /// Which.
        path: PathBuf,
        /// Its build id; may be empty.
        found: String,
        /// The build id of the file that ran.
        wanted: String,
    },
    /// The file has no build id to compare, and is younger than the trace.
    Changed {
        /// Which.
        path: PathBuf,
    },
}

impl Lacking {
    /// Whether the user can do something about it.
    #[must_use]
    pub fn is_news(&self) -> bool {
        !matches!(self, Self::File | Self::Names | Self::Module)
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => write!(f, "it is no file"),
            Self::Names => write!(f, "its files do not name them"),
            Self::Stripped { path } => {
                write!(f, "{} was stripped of its names", path.display())?;
                write!(f, "; give one that was not, or its debug information, with --binary")
            }
            Self::Module => write!(f, "they are in no module of the trace"),
            Self::Missing { path, why } => {
                write!(f, "{}: {why}; give the file with --binary", path.display())
            }
            Self::OtherBuild { path, found, wanted } => {
                let found = if found.is_empty() { "none" } else { found };
                let path = path.display();
                write!(
                    f,
                    "{path} is another build (build id {found}, the traced one has {wanted})"
                )?;
                write!(f, "; give the right one with --binary")
            }
            Self::Changed { path } => {
                let path = path.display();
                write!(f, "{path} has no build id and is younger than the trace")?;
                write!(f, "; if it is the right one, give it with --binary")
            }
        }
    }
}

/// The files to look into.
#[derive(Clone, Debug)]
pub struct Binaries {
    given: Vec<Program>,
    debug_directories: Vec<PathBuf>,
    began: SystemTime,
    cache: Option<Cache>,
}

impl Binaries {
    /// The files that ran, and separate debug information in `/usr/lib/debug`.
    ///
    /// - `began`: when the trace began.
    #[must_use]
    pub fn new(began: SystemTime) -> Self {
        Self { given: Vec::new(), debug_directories: Vec::new(), began, cache: None }
    }

    /// Adds a file that is read before the one that ran: the program, a library, or debug
    /// information.
    ///
    /// # Errors
    /// If the file cannot be read, or is no program.
    pub fn give(&mut self, path: &Path) -> io::Result<()> {
        self.given.push(Program::open(path)?);
        Ok(())
    }

    /// Adds a folder that is searched for separate debug information before `/usr/lib/debug`.
    pub fn look_in(&mut self, directory: &Path) {
        self.debug_directories.push(directory.to_path_buf());
    }

    /// Keeps the names that are found in `cache`, and looks up the others there.
    pub fn remember_in(&mut self, cache: Cache) {
        self.cache = Some(cache);
    }

    /// The cache, if there is one.
    #[must_use]
    pub fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// Files that the user gave and that belong to no module.
    pub fn unused<'a>(
        &'a self,
        modules: &'a BTreeMap<u64, Module>,
    ) -> impl Iterator<Item = &'a Program> {
        let is_of_none = |program: &&Program| {
            !modules.values().any(|module| Self::is_given_for(program, module))
        };
        self.given.iter().filter(is_of_none)
    }

    /// The files with a module's names, the most detailed first.
    ///
    /// # Errors
    /// Why there is none.
    pub fn of(&self, module: &Module) -> Result<Vec<Program>, Lacking> {
        let mut files = self.given.clone();
        files.retain(|program| Self::is_given_for(program, module));
        let mut lacking = None;
        if files.is_empty() {
            match self.of_path(module) {
                Ok(program) => files.push(program),
                Err(why) => lacking = Some(why),
            }
        }
        if !files.iter().any(|program| program.has_lines) {
            files.extend(self.debug_of(module, files.first()));
        }
        files.sort_by_key(|program| !program.has_lines);
        match lacking {
            Some(why) if files.is_empty() => Err(why),
            _ => Ok(files),
        }
    }

    /// Whether a given file belongs to a module: by build id, or by name if the module has no build
    /// id, because the user vouches for the file.
    fn is_given_for(program: &Program, module: &Module) -> bool {
        if module.build_id.is_empty() {
            is_named(&program.path, file_name(module))
        } else {
            program.build_id == module.build_id
        }
    }

    /// The file that ran, if it is still there.
    fn of_path(&self, module: &Module) -> Result<Program, Lacking> {
        let path = PathBuf::from(module.path.strip_suffix(" (deleted)").unwrap_or(&module.path));
        if !path.has_root() {
            // Such as "linux-vdso.so.1", which the kernel makes.
            return Err(Lacking::File);
        }
        let program = Program::open(&path);
        // If the user gave a file of this name that does not fit, the error is about that file.
        let other = self.given.iter().find(|program| is_named(&program.path, file_name(module)));
        let program = match (program, other) {
            (Ok(program), _) if program.build_id == module.build_id => program,
            (_, Some(other)) => other.clone(),
            (Ok(program), None) => program,
            (Err(error), None) => return Err(Lacking::Missing { path, why: error.to_string() }),
        };
        if program.build_id != module.build_id && !module.build_id.is_empty() {
            let (found, wanted) = (hex(&program.build_id), hex(&module.build_id));
            return Err(Lacking::OtherBuild { path: program.path, found, wanted });
        }
        if module.build_id.is_empty() && program.changed.is_none_or(|changed| changed > self.began)
        {
            return Err(Lacking::Changed { path: program.path });
        }
        Ok(program)
    }

    /// Separate debug information, by build id or by the link in the program.
    fn debug_of(&self, module: &Module, program: Option<&Program>) -> Option<Program> {
        let by_id = self.debug_by_id(&module.build_id);
        by_id.or_else(|| self.debug_by_link(module, program?))
    }

    fn debug_folders(&self) -> impl Iterator<Item = &Path> {
        let given = self.debug_directories.iter().map(PathBuf::as_path);
        given.chain([Path::new(DEBUG_DIRECTORY)])
    }

    fn debug_by_id(&self, id: &[u8]) -> Option<Program> {
        let (first, rest) = id.split_first()?;
        let below = format!(".build-id/{first:02x}/{}.debug", hex(rest));
        let candidates = self.debug_folders().map(|directory| directory.join(&below));
        let mut programs = candidates.filter_map(|path| Program::open(&path).ok());
        programs.find(|program| program.build_id == id)
    }

    fn debug_by_link(&self, module: &Module, program: &Program) -> Option<Program> {
        let (name, sum) = program.debug_link.as_ref()?;
        let home = program.path.parent().unwrap_or(Path::new(""));
        let below = home.strip_prefix("/").unwrap_or(home);
        let mut candidates = vec![home.join(name), home.join(".debug").join(name)];
        for directory in self.debug_folders() {
            candidates.extend([directory.join(below).join(name), directory.join(name)]);
        }
        candidates.retain(|candidate| *candidate != program.path);
        let mut programs = candidates.iter().filter_map(|path| Program::open(path).ok());
        programs.find(|found| {
            let same = !found.build_id.is_empty() && found.build_id == module.build_id;
            same || found.has_checksum(*sum)
        })
    }
}

/// Whether `path` is the file of this name, or its separate debug information.
fn is_named(path: &Path, name: &str) -> bool {
    let file = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    file == name || file.strip_suffix(".debug") == Some(name)
}
