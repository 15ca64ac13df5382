//! A process that the system kills because memory is used up, or that replaces itself by `exec`:
//! everything that it had recorded by then is there.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/limits.rs"]
mod limits;

use common::crashed::{check, count_steps, live_of, recovered, reported, wait_for_steps};
use common::decoded::Decoded;
use common::waiting::{tables_of, wait_until};
use common::{annotated, checks, loudly};
use exectrace::{FlightRecorder, instant, start_file_with};
use std::fs;
use std::io::BufReader;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Tells this program what to do, and where to write.
const ROLE: &str = "EXECTRACE_TEST_CRASH_SYSTEM";

/// The control group that it joins, if there is one.
const GROUP: &str = "EXECTRACE_TEST_GROUP";

const MIB: usize = 1 << 20;

/// A control group with a memory limit; removed when dropped.
struct Group(PathBuf);

impl Group {
    /// Makes a group inside this process's group, so that the limits of that apply, too. `None`
    /// where groups cannot be made.
    fn new(bytes: usize) -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        // Version 1 has a hierarchy for memory, version 2 one for everything.
        let [first, second] = [":memory:", "0::"].map(|which| {
            groups.lines().find_map(|line| line.split_once(which).map(|it| it.1.to_owned()))
        });
        let kinds = [
            (first, "/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            (second.clone(), "/sys/fs/cgroup", "memory.max"),
            (second, "/sys/fs/cgroup/unified", "memory.max"),
        ];
        kinds.into_iter().find_map(|(own, root, limit)| {
            let own = own?;
            let name = format!("exectrace-test-{}", std::process::id());
            let path = Path::new(root).join(own.trim_start_matches('/')).join(name);
            fs::create_dir(&path).ok()?;
            let group = Self(path);
            fs::write(group.0.join(limit), bytes.to_string()).ok().map(|()| group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group whose last process has just ended may be busy for a moment.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        loudly(&format!("{} could not be removed", self.0.display()));
    }
}

/// Not a test: what runs in processes of its own.
#[test]
fn one_that_ends() {
    let Ok(told) = std::env::var(ROLE) else { return };
    let (what, path) = told.split_once(' ').expect("what and where");
    match what {
        "fill" => fill_memory(Path::new(path)),
        "little" => little_memory(Path::new(path)),
        "replace" => replace(Path::new(path), |path| role("replaced", path).exec()),
        "replaced" => replace(Path::new(path), |_| Command::new("true").exec()),
        _ => panic!("{what} is nothing to do"),
    }
}

fn role(what: &str, path: &Path) -> Command {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args(["one_that_ends", "--exact", "--nocapture"]);
    command.env(ROLE, format!("{what} {}", path.display())).stdout(Stdio::null());
    command
}

/// Starts two threads that record steps, and print them.
fn begin_work() {
    for thread in 0..2 {
        let builder = std::thread::Builder::new().name(format!("worker-{thread}"));
        builder.spawn(move || count_steps(thread, &AtomicBool::new(false))).expect("a thread");
    }
    wait_for_steps(1_000);
}

/// Uses up the memory.
fn fill_memory(path: &Path) {
    match std::env::var(GROUP) {
        Ok(group) => {
            let procs = Path::new(&group).join("cgroup.procs");
            fs::write(procs, std::process::id().to_string()).expect("it is ours");
        }
        Err(_) => limits::set(libc::RLIMIT_AS, limits::address_space() + (400 << 20)),
    }
    let options = annotated().memory_max(8 * MIB);
    let trace = start_file_with(options, path).expect("the folder is there");
    begin_work();
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1_u8; MIB]);
        std::hint::black_box(&mut taken);
        std::hint::black_box(&trace);
    }
}

#[test]
fn one_that_the_kernel_kills_for_want_of_memory_leaves_all_that_it_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..3 {
        let path = folder.path().join(format!("{round}.trace"));
        let group = Group::new(64 * MIB);
        let mut command = role("fill", &path);
        match &group {
            Some(group) => _ = command.env(GROUP, &group.0),
            None if round == 0 => loudly(
                "SKIPPED: no memory can be limited here by a group of processes: instead of being \
                 killed by the kernel, the program aborts when an allocation fails",
            ),
            None => {}
        }
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it can be started");
        let far = reported(BufReader::new(child.stderr.take().expect("it is piped")));
        let ended: ExitStatus = child.wait().expect("it has ended");
        let signal = if group.is_some() { libc::SIGKILL } else { libc::SIGABRT };
        assert_eq!(ended.signal(), Some(signal), "{ended:?}");
        assert_eq!(far.len(), 2, "both threads have worked");
        check(&path, &far);
    }
}

/// Records more than fits into memory.
fn little_memory(path: &Path) {
    limits::one_arena();
    for recorder in [false, true] {
        let options = annotated().memory_max(64 * MIB);
        let mut bytes = Vec::with_capacity(256 * MIB);
        let (file, kept) = if recorder {
            let builder = FlightRecorder::builder().max_bytes(200 * MIB).options(options);
            (None, Some(builder.start().expect("none is running")))
        } else {
            let file = fs::File::create(path).expect("the folder is there");
            (Some(exectrace::start_with(options, file).expect("none is running")), None)
        };
        instant!("first");
        if !recorder {
            limits::set(libc::RLIMIT_AS, limits::address_space() + 4 * MIB as u64);
        }
        // Each event has a number, and a text that uses up the memory.
        let text = "x".repeat(1_000);
        for n in 0..200_000_u64 {
            instant!("step", n, text = text.as_str());
        }
        if let Some(trace) = file {
            trace.stop().expect("the disk takes it");
        }
        if let Some(recorder) = kept {
            recorder.snapshot(&mut bytes).expect("memory was taken before");
            fs::write(path.with_extension("snapshot"), &bytes).expect("the disk takes it");
        }
    }
}

#[test]
fn a_recorder_that_gets_no_memory_drops_and_does_not_end_the_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("little.trace");
    let output = role("little", &path).output().expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{:?}", output.status);
    let trace = Decoded::new(&fs::read(&path).expect("it was written"));
    checks::check(&trace);
    assert!(trace.complete);
    let stop = trace.tables.stop.expect("it is complete");
    assert!(stop.memory_max < 32 * MIB as u64, "it was the system that had no more: {stop:?}");
    assert!(stop.dropped_events + trace.events_told() as u64 > 200_000, "{stop:?}");
    let kept = Decoded::new(&fs::read(path.with_extension("snapshot")).expect("it was written"));
    checks::check(&kept);
    assert!(kept.complete && kept.events_told() > 1_000, "the last of it is there");
}

/// Records, and then replaces itself by another program.
fn replace(path: &Path, next: impl FnOnce(&Path) -> std::io::Error) {
    let trace = start_file_with(annotated().memory_max(MIB), path).expect("the folder is there");
    begin_work();
    // The collector writes the names of threads.
    wait_until("both have names", || {
        let tables = tables_of(&fs::read(path).expect("it is there"));
        let named = tables.threads.values().filter(|thread| thread.name.starts_with("worker-"));
        named.count() == 2
    });
    std::mem::forget(trace);
    panic!("{}", next(path));
}

#[test]
fn a_process_that_becomes_another_program_leaves_what_it_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("replaced.trace");
    let mut child = role("replace", &path).stderr(Stdio::piped()).spawn().expect("it starts");
    let said = BufReader::new(child.stderr.take().expect("it is piped"));
    // Both programs print their steps: the second one fewer than the first, or more.
    let far = reported(said);
    assert!(child.wait().expect("it has ended").success());
    assert_eq!(far.len(), 2, "both threads have worked");
    // The second program has found the first one's trace, and kept it.
    let old = folder.path().join("replaced.trace.old");
    assert!(live_of(&old).exists());
    for path in [&old, &path] {
        let trace = Decoded::new(&recovered(path));
        let names: Vec<_> = trace.tables.threads.values().map(|it| it.name.as_str()).collect();
        assert!(names.contains(&"worker-0") && names.contains(&"worker-1"), "{names:?}");
    }
    check(&path, &far);
}
