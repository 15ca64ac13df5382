//! What the commands answer: the same of one trace in every verb, as text and as JSON.
//!
//! - `across`: all commands say the same of one trace: what two of them count, they count alike, on
//!   traces of a machine whose threads do anything, on damaged ones, and in windows.
//! - `agreement`: text and JSON of a verb show the same answer, on traces of all kinds, whole and
//!   damaged, with and without windows and limits.
//! - `async_choice`: what `async` says of a task that may wait for several things at once, and of
//!   one that blocks its thread inside `block_in_place`.
//! - `async_tasks`: what `async` and others say of async tasks, on a trace whose every time is
//!   known.
//! - `cut`: what was cut is seen to be cut, wherever it is shown.
//! - `faults`: traces with faults: the good part is shown, what is missing is said loudly, and the
//!   exit code is 1.
//! - `full_tables`: traces with more groups than there is room for: the commands say how much is in
//!   no group of its own.
//! - `futures`: what `exectrace events` says of futures: spawned, woken, ready, polled, lost,
//!   ended.
//! - `groups`: what commands put together: waits and calls that are one group, and how many are in
//!   it.
//! - `heap`: what `exectrace heap` says of a program whose allocations are known.
//! - `libtest`: what each test of a test program did, without annotations.
//! - `life`: what the commands say of the program's own life, on a trace whose every time is known.
//! - `lines`: lines of `events`: ends that were lost have lines, tasks have the names that other
//!   commands give them, and only threads that were asked for are shown.
//! - `made_files`: files that others have made, as text in `fixtures/made` or made here: every
//!   command says the same of them, sums are of what lies in the trace, and little memory is
//!   enough.
//! - `missing`: what is missing from a trace is said in the same lines by every command that reads
//!   one, and is the same exit code.
//! - `standstill`: what the commands say of a process that was stopped: all of them the same, and
//!   none that it slept.
//! - `sums`: what several verbs add up is the same sum in each.
//! - `verbs`: what each command says of a trace whose contents are known.
//! - `windows`: what commands say where there is nothing: that the window lies beyond the trace, or
//!   why nothing was recorded; nothing is blamed on the build that it did not cause.
//!
//! Shared with others: `common`, `executor`, `machine`.

mod across;
mod agreement;
mod async_choice;
mod async_tasks;
#[path = "../common/mod.rs"]
mod common;
mod cut;
#[path = "../../../trace-analysis/tests/executor/mod.rs"]
mod executor;
mod faults;
mod full_tables;
mod futures;
mod groups;
mod heap;
mod libtest;
mod life;
mod lines;
#[path = "../../../trace-analysis/tests/common/machine.rs"]
mod machine;
mod made_files;
mod missing;
mod standstill;
mod sums;
mod verbs;
mod windows;
