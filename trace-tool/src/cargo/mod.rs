//! `cargo exectrace test|bench|run|nextest`: cargo's own command, traced, and what came of it.
//!
//! The feature `auto` of exectrace is switched on for this build, and `EXECTRACE` says where each
//! process writes its trace. Nothing of the project is changed, and the exit code is cargo's.
//!
//! Of tests, the feature `os` is switched on, too: it records each test's thread, which has the
//! test's name, so that they are ranked without annotations.
//!
//! - `project`: which packages are meant, and how exectrace's features are switched on there.
//! - `outcome`: the traces that were written, and what is printed about them.

mod outcome;
mod project;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::Failure;
use crate::label;
use crate::output::{Output, say};
use outcome::{Ask, Kind};
use project::{Plan, Project};

/// Builds and runs with cargo, traces every process, and ranks what they did.
///
/// exectrace's feature `auto` is switched on for the packages that are meant, and with it whatever
/// features of theirs switch exectrace on; for tests `os` as well. Each process that links
/// exectrace writes a trace of its own, from before `main` to its exit. Options of this command
/// stand before cargo's; all that follows is cargo's, as it is.
#[derive(Debug, Parser)]
#[command(
    name = "cargo exectrace",
    bin_name = "cargo exectrace",
    version,
    max_term_width = crate::cli::HELP_WIDTH_MAX,
    subcommand_value_name = "test|bench|run|nextest",
    override_usage = "cargo exectrace [OPTIONS] <test|bench|run|nextest> [CARGO'S ARGUMENTS]...",
    disable_help_subcommand = true,
    after_help = "Examples:\n  \
        cargo exectrace test -p parser -- --nocapture\n  \
        cargo exectrace --record os,sched run --release -- input.txt\n  \
        cargo exectrace nextest run\n\n\
        A package needs exectrace among its dependencies, and a use of it:\n\
        `use exectrace as _;` in lib.rs or main.rs is enough. Tests are ranked without\n\
        more; #[exectrace::test] in place of #[test] makes a task of each.\n\n\
        Exit code: cargo's; 2 if it was not started."
)]
struct CommandLine {
    /// Where the traces go [default: a new folder in the target folder].
    #[arg(short, long, alias = "out", value_name = "DIR")]
    output: Option<PathBuf>,
    /// More features of exectrace: os (always on for tests), sched, heap, names, full, lz4.
    #[arg(long, value_name = "FEATURES", value_delimiter = ',')]
    record: Vec<String>,
    /// How to record, as EXECTRACE has it behind the name: os=off,memory=256M.
    #[arg(long, value_name = "OPTIONS")]
    options: Option<String>,
    /// Maximum number of rows in each table; 0 for all.
    #[arg(long, alias = "limit", value_name = "N", default_value_t = 20)]
    top: usize,
    /// Print the summary of every trace, and not only of a single one.
    #[arg(long)]
    summary: bool,
    /// Print JSON instead; its fields: trace-tool/JSON.md in exectrace's repository. What cargo and
    /// its programs print goes to standard error then.
    #[arg(long, conflicts_with = "summary")]
    json: bool,
    #[command(subcommand)]
    cargo: Cargo,
}

#[derive(Debug, Subcommand)]
enum Cargo {
    #[command(external_subcommand)]
    Words(Vec<OsString>),
}

/// Cargo's command: the words that name it, and those that follow.
#[derive(Clone, Copy, Debug)]
struct Call<'a> {
    verb: &'a [OsString],
    rest: &'a [OsString],
}

impl<'a> Call<'a> {
    fn read(words: &'a [OsString]) -> Result<Self, Failure> {
        let is = |at: usize, word: &str| words.get(at).is_some_and(|it| it == OsStr::new(word));
        let count = match () {
            () if ["test", "t", "bench", "run", "r"].iter().any(|verb| is(0, verb)) => 1,
            () if is(0, "nextest") && ["run", "r"].iter().any(|verb| is(1, verb)) => 2,
            () => {
                let words: Vec<_> = words.iter().take(2).map(|it| it.to_string_lossy()).collect();
                let known = "test, bench, run and nextest run are known";
                let what = format!("can't trace `cargo {}`: {known}", words.join(" "));
                return Err(Failure::Usage(what));
            }
        };
        let (verb, rest) = words.split_at(count);
        Ok(Self { verb, rest })
    }

    /// What it runs.
    fn kind(&self) -> Kind {
        match &*self.verb[0].to_string_lossy() {
            "run" | "r" => Kind::Program,
            "bench" => Kind::Benches,
            _ => Kind::Tests,
        }
    }

    /// Those of the words that are for cargo and not for the program.
    fn own(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let is_program = self.kind() == Kind::Program;
        let end = if is_program { program_words(self.rest) } else { self.rest.len() };
        let own = self.rest[..end].iter().take_while(|word| *word != OsStr::new("--"));
        own.filter_map(|word| word.to_str())
    }
}

/// Options of `cargo run` whose value is the next word.
const WITH_VALUE: [&str; 18] = [
    "-p",
    "--package",
    "--bin",
    "--example",
    "-F",
    "--features",
    "--profile",
    "--target",
    "--target-dir",
    "--manifest-path",
    "--lockfile-path",
    "-j",
    "--jobs",
    "--config",
    "--color",
    "--message-format",
    "-Z",
    "-C",
];

/// Where the program's own words begin behind `cargo run`: all from the first one on that is no
/// option of cargo's and no value of one.
fn program_words(words: &[OsString]) -> usize {
    let mut is_value = false;
    let is_of_cargo = |word: &&OsString| {
        let word = word.to_string_lossy();
        let is_option = !is_value && word.starts_with('-');
        let is_one = is_value || is_option;
        is_value = is_option && WITH_VALUE.contains(&&*word);
        is_one
    };
    words.iter().take_while(is_of_cargo).count()
}

/// Runs one command line: the program's name first, then, if cargo has started it, `exectrace`.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut words: Vec<_> = arguments.into_iter().collect();
    if words.get(1).is_some_and(|word| word == OsStr::new("exectrace")) {
        words.remove(1);
    }
    let line = match CommandLine::try_parse_from(words) {
        Ok(line) => line,
        Err(error) => return refuse(&error),
    };
    match execute(&line) {
        Ok(code) => code,
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::from(2)
        }
    }
}

/// The command line, for a page about it. A page's name has no space.
pub(crate) fn command_line() -> clap::Command {
    CommandLine::command().name("cargo-exectrace").display_name("cargo-exectrace")
}

fn execute(line: &CommandLine) -> Result<ExitCode, Failure> {
    let Cargo::Words(words) = &line.cargo;
    let call = Call::read(words)?;
    let project = Project::read(call.own())?;
    let mut features = line.record.clone();
    features.extend((call.kind() == Kind::Tests).then(|| "os".to_owned()));
    let plan = project.plan(call.own(), &features)?;
    let folder = folder(line.output.as_deref(), &project)?;
    let variable = variable(&folder, line.options.as_deref())?;
    let status = start(&plan, call, &variable, line.json)?;
    let mut out = Output::stdout();
    // Whatever can't be shown: cargo's answer is the one that counts.
    let ask = Ask { top: line.top, every: line.summary, json: line.json, kind: call.kind() };
    match outcome::show(&folder, ask, status, &mut out) {
        Err(failure) if failure.is_closed_pipe() => {
            // What is still in the buffer has no reader: writing it again would only fail again.
            std::process::exit(code(status).into());
        }
        Err(failure) => say(&failure.to_string()),
        Ok(()) => {}
    }
    Ok(code(status).into())
}

fn folder(out: Option<&Path>, project: &Project) -> Result<PathBuf, Failure> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let fresh = format!("exectrace/{seconds}-{}", std::process::id());
    let folder = out.map_or_else(|| project.target_directory.join(fresh), Path::to_path_buf);
    let fail = |error| Failure::Open(folder.clone(), error);
    std::fs::create_dir_all(&folder).map_err(fail)?;
    // Tests run in their packages' folders.
    let folder = folder.canonicalize().map_err(fail)?;
    if outcome::traces(&folder)?.is_empty() {
        return Ok(folder);
    }
    let why = "has traces already, of another run; name an empty folder";
    Err(Failure::Usage(format!("{} {why}", label::path(&folder))))
}

/// What `EXECTRACE` says.
fn variable(folder: &Path, options: Option<&str>) -> Result<String, Failure> {
    let text = folder.to_str().filter(|text| !text.contains(','));
    let wrong = || {
        let path = label::path(folder);
        Failure::Usage(format!(
            "{path}: traces go where a path is UTF-8 without commas; see --output"
        ))
    };
    let name = format!("{}/%e-%p.trace", text.ok_or_else(wrong)?.replace('%', "%%"));
    Ok(options.map_or(name.clone(), |options| format!("{name},{options}")))
}

/// - `is_aside`: standard output is not for cargo and its programs.
fn start(
    plan: &Plan,
    call: Call<'_>,
    variable: &str,
    is_aside: bool,
) -> Result<ExitStatus, Failure> {
    let cargo = project::cargo();
    let mut command = Command::new(&cargo);
    // In front: what stands behind may be the program's.
    command.args(call.verb).args(["--features", &plan.features.join(",")]).args(call.rest);
    command.env("EXECTRACE", variable);
    if is_aside {
        command.stdout(std::io::stderr());
    }
    outlive_interrupts();
    command.status().map_err(|error| Failure::Open(cargo.into(), error))
}

/// An interrupt from the terminal goes to the program as well, and ends that: what it has left is
/// what the user wants to see.
fn outlive_interrupts() {
    let signal = signal_hook::consts::SIGINT;
    // If it can't be had, an interrupt ends this as it would have.
    let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
}

/// Cargo's exit code; of one that a signal has ended that of a shell.
fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    let code = status.code().or_else(|| signal.map(|signal: i32| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Help is printed as clap made it; a fault is one line.
fn refuse(error: &clap::Error) -> ExitCode {
    let of_cargo = "a command of cargo's is needed: one of test, bench, run, nextest";
    crate::cli::refuse(error, of_cargo, "cargo exectrace --help")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_first_word_of_a_program_s_own_is_the_program_s() {
        for (line, own) in [
            ("run input.txt -p 3 --workspace", ""),
            ("run -p app --release input.txt --manifest-path x", "-p app --release"),
            ("run --features=a -j 2 -- -p 3", "--features=a -j 2"),
            ("test name -p app", "name -p app"),
            ("nextest run name -p app -- -p 3", "name -p app"),
        ] {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            let call = Call::read(&words).expect("a command of cargo's");
            assert_eq!(call.own().collect::<Vec<_>>().join(" "), own, "{line}");
        }
    }
}
