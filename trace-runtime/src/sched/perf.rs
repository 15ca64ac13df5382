//! Asking the kernel to watch: one descriptor per thread, CPU and kind, all of a CPU into one ring.
//!
//! With `perf_event_paranoid` at 2 or less this needs no privilege: the events are software events
//! of the process's own threads, without the kernel's part.
//!
//! May contain `unsafe`: system calls. Elsewhere: the rings' memory (`ring`), what the records say
//! (`record`).

use crate::stack::FRAMES_MAX;
use perf_event_open_sys as sys;
use std::fs;
use std::io;
use sys::bindings::{self as kernel, perf_event_attr};

/// What the kernel is asked to watch on a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchKind {
    /// Switches, and nothing else.
    Switches,
    /// Switches, and major page faults.
    SwitchesAndFaults,
    /// Samples of where the thread is, at equal distances of its CPU time.
    Samples {
        /// The distance; the kernel makes it at least 10 us.
        every_ns: u64,
    },
}

/// How the kernel is asked, the same for all events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Times on `CLOCK_MONOTONIC`, instead of the kernel's own clock, whose rate only the mapped
    /// page says.
    pub(super) monotonic: bool,
    /// New threads are watched like their parents, but new processes are not. Since Linux 5.13.
    pub(super) threads_only: bool,
    /// Maximum number of frames of a stack.
    chain_max: u16,
}

impl Manner {
    /// The kernel's own clock, new processes included, and one frame more than a stack keeps, so
    /// that a deeper stack is noticed; but no more than the kernel's setting, beyond which it
    /// refuses.
    pub(super) fn new() -> Self {
        let setting = setting("perf_event_max_stack").and_then(|text| text.parse().ok());
        let chain_max = setting.unwrap_or(u16::MAX).min(FRAMES_MAX as u16 + 1);
        Self { monotonic: false, threads_only: false, chain_max }
    }
}

/// A perf event: watches one thread on one CPU, and from then on the threads that it starts.
///
/// A program may close descriptors that it did not open, and get their numbers again. So a
/// descriptor is used only if it still has the event's id.
#[derive(Debug)]
pub(super) struct PerfEvent {
    descriptor: i32,
    id: u64,
}

impl PerfEvent {
    /// Sets up an event for `thread` (the system's id; 0 for the calling thread) while it runs on
    /// `cpu` (`None` for all).
    pub(super) fn open(
        kind: WatchKind,
        manner: Manner,
        thread: u32,
        cpu: Option<u32>,
    ) -> io::Result<Self> {
        let mut attr = attributes(kind, manner);
        // Events of all CPUs can't be both inherited and mapped; they only serve to read the page.
        attr.set_inherit(u64::from(cpu.is_some()));
        attr.set_inherit_thread(u64::from(cpu.is_some() && manner.threads_only));
        let cpu = cpu.map_or(-1, |cpu| cpu as i32);
        let flags = u64::from(kernel::PERF_FLAG_FD_CLOEXEC);
        // SAFETY: the call wants a whole attribute, into which it may write its size: `attr` is
        // one. Watching touches no memory of the program.
        let descriptor =
            unsafe { sys::perf_event_open(&raw mut attr, thread as i32, cpu, -1, flags) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        let id = id_of(descriptor).unwrap_or(0);
        Ok(Self { descriptor, id })
    }

    /// The descriptor by which its ring is mapped.
    pub(super) fn descriptor(&self) -> i32 {
        self.descriptor
    }

    /// Begins to watch. It is separate from `open`, so that no record comes before there is a ring.
    pub(super) fn enable(&self) -> io::Result<()> {
        // SAFETY: the call takes no memory, and fails for what is no event.
        let result = unsafe { sys::ioctls::ENABLE(self.descriptor, 0) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sends its records to the ring of `other`, which watches the same CPU.
    pub(super) fn write_to(&self, other: &Self) -> io::Result<()> {
        // SAFETY: the call wants two descriptors, and fails if they are not events'.
        let result = unsafe { sys::ioctls::SET_OUTPUT(self.descriptor, other.descriptor) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Whether the thread has run on this CPU since [`PerfEvent::enable`]; false if that is not
    /// known.
    pub(super) fn has_run(&self) -> bool {
        let mut told = [0_u64; 2];
        let bytes = size_of_val(&told);
        // SAFETY: the call wants room for this number of bytes: `told` has it. The event gives two
        // numbers, as `attributes` asks for no others.
        let read = unsafe { libc::read(self.descriptor, told.as_mut_ptr().cast(), bytes) };
        read == bytes as isize && told[1] > 0
    }
}

impl Drop for PerfEvent {
    fn drop(&mut self) {
        if id_of(self.descriptor) != Some(self.id) {
            return;
        }
        // A forked child may hold a copy, which would keep the event on. If this fails, it stays
        // on.
        // SAFETY: the call takes no memory, and fails for what is no event.
        let _ = unsafe { sys::ioctls::DISABLE(self.descriptor, 0) };
        // SAFETY: the call takes no memory. The descriptor is this event's own, as its id has just
        // shown, and is not used any more.
        let _ = unsafe { libc::close(self.descriptor) };
    }
}

/// The id of the event behind a descriptor, if there is one.
fn id_of(descriptor: i32) -> Option<u64> {
    let mut id = 0;
    // SAFETY: the call wants room for a number, `id`; it writes none if there is no event.
    let result = unsafe { sys::ioctls::ID(descriptor, &raw mut id) };
    (result == 0 && id != 0).then_some(id)
}

/// All kinds have the same fields in their records, so that a ring can be read without knowing
/// which event wrote a record. (Samples and faults differ by their period: see `record`.)
fn attributes(kind: WatchKind, manner: Manner) -> perf_event_attr {
    let fields = kernel::PERF_SAMPLE_TID
        | kernel::PERF_SAMPLE_TIME
        | kernel::PERF_SAMPLE_ADDR
        | kernel::PERF_SAMPLE_PERIOD;
    let mut attr = perf_event_attr {
        size: size_of::<perf_event_attr>() as u32,
        type_: kernel::PERF_TYPE_SOFTWARE,
        sample_type: u64::from(fields),
        read_format: u64::from(kernel::PERF_FORMAT_TOTAL_TIME_RUNNING),
        ..perf_event_attr::default()
    };
    let (config, period) = match kind {
        WatchKind::Switches => (kernel::PERF_COUNT_SW_DUMMY, 0),
        WatchKind::SwitchesAndFaults => (kernel::PERF_COUNT_SW_PAGE_FAULTS_MAJ, 1),
        WatchKind::Samples { every_ns } => (kernel::PERF_COUNT_SW_CPU_CLOCK, every_ns),
    };
    attr.config = u64::from(config);
    attr.sample_period = period;
    if period > 0 {
        attr.sample_type |= u64::from(kernel::PERF_SAMPLE_CALLCHAIN);
        attr.sample_max_stack = manner.chain_max;
    }
    // A thread that exits has no record of leaving its CPU, but one of its exit.
    let switches = u64::from(!matches!(kind, WatchKind::Samples { .. }));
    attr.set_context_switch(switches);
    attr.set_task(switches);
    attr.set_disabled(1);
    attr.set_sample_id_all(1);
    attr.set_exclude_kernel(1);
    attr.set_exclude_hv(1);
    attr.set_exclude_callchain_kernel(1);
    // No wake-ups: the ring is read often enough.
    attr.set_watermark(1);
    attr.wakeup_watermark = u32::MAX;
    if manner.monotonic {
        attr.set_use_clockid(1);
        attr.clockid = libc::CLOCK_MONOTONIC;
    }
    attr
}

/// Maximum number of descriptors that this program may have.
pub(super) fn descriptors_max() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call wants room for the limits: `limit` is that. If it fails, they stay 0.
    let _ = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// A setting of the kernel, as text.
fn setting(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
    Some(text.trim().to_owned())
}

/// The note for the trace: why the kernel does not let the program watch itself, and what to do.
pub(super) fn refusal(error: &io::Error) -> String {
    let paranoid = setting("perf_event_paranoid");
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            let level = paranoid.unwrap_or_else(|| "unknown".to_owned());
            let advice = if level.parse().is_ok_and(|level: i32| level > 2) {
                "2 or less lets programs watch themselves"
            } else {
                "so it is a filter of system calls, as containers have"
            };
            format!(
                "perf_event_open: permission denied (kernel.perf_event_paranoid is {level}; \
                 {advice})"
            )
        }
        Some(libc::ENOSYS | libc::ENOENT) => {
            "perf_event_open: not in this kernel, or hidden by a filter of system calls".to_owned()
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "perf_event_open: no descriptors left (ulimit -n)".to_owned()
        }
        _ => format!("perf_event_open: {error}"),
    }
}

/// The note for the trace: why there is no memory for a ring.
pub(super) fn refusal_of_memory(error: &io::Error) -> String {
    let allowed = setting("perf_event_mlock_kb").unwrap_or_else(|| "unknown".to_owned());
    format!(
        "no memory for the kernel's records: {error} (kernel.perf_event_mlock_kb is {allowed}; \
         ulimit -l counts, too)"
    )
}
