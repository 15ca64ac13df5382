//! The calling thread's stack, now: found, and named by a small number.
//!
//! Three ways, the first that serves:
//!
//! 1. **Frame pointers** (`pointers`), if the program keeps them: `-C force-frame-pointers=yes`.
//!    Whether it does is seen at the start, from how a function of this crate begins, which is
//!    compiled as all of the program is.
//! 2. **Unwind tables** (`tables`), by the crate framehop: always there. Five times slower, but
//!    walks that were made before need not be made again (`memory`), which is faster than any
//!    other way. Also for stacks whose chain of frame pointers does not lead to the thread's start.
//! 3. **The system's unwinder** (`system`), if the program has no index of its unwind tables: so
//!    slow that only every 64th stack is had.
//!
//! A stack is a list of addresses, innermost first, each of a calling instruction: return addresses
//! minus 1. The recorder's own frames are in it: readers know them by their names. At most
//! [`FRAMES_MAX`]; one that is deeper, or could not be followed to the thread's start, is marked
//! as cut. What memory is looked at is decided in `own`; `pool` has who walks by tables; which
//! regions have stacks, `sampled`; what the trace says of all this, `facility`; what is mapped
//! where, `modules`.
//!
//! Everything here but the preparation may run in signal handlers: no lock, no allocation, no
//! system call once a thread's stack is known.
//!
//! May contain `unsafe`: it reads registers and code.

pub(crate) mod modules;

mod facility;
mod memory;
mod own;
mod pointers;
mod pool;
mod sampled;
mod system;
mod tables;

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicU32, AtomicU64};
use crate::intern::STACKS;
use own::Bounds;
use std::mem::MaybeUninit;
use tables::Walker;

pub(crate) use facility::{StackSource, begin, prepare};
pub(crate) use own::prepare_thread;
pub(crate) use sampled::{for_async, for_region, regions_want, want_for_async, want_for_regions};

/// The most frames of a stack.
pub(crate) const FRAMES_MAX: usize = 64;

/// How stacks are found, as their flags say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Method {
    Pointers = 0,
    Tables = 1,
    System = 2,
    /// Not at all, until the first start.
    None = 0xff,
}

static METHOD: AtomicU32 = AtomicU32::new(Method::None as u32);

/// Stacks that could not be had because all walkers were walking.
static MISSED: AtomicU64 = AtomicU64::new(0);

/// Where a walk has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At the thread's start.
    Start,
    /// At the limit of frames.
    Limit,
    /// Nobody knows where.
    Lost,
}

/// What a walk begins with.
#[derive(Debug)]
struct Registers {
    pc: u64,
    sp: u64,
    fp: u64,
    #[cfg(target_arch = "aarch64")]
    lr: u64,
}

impl Registers {
    /// Those of the function this is inlined into.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn here() -> Self {
        let (pc, sp, fp): (u64, u64, u64);
        // SAFETY: it reads registers, and touches no memory and no flags.
        unsafe {
            std::arch::asm!(
                "lea {pc}, [rip]",
                "mov {sp}, rsp",
                "mov {fp}, rbp",
                pc = out(reg) pc,
                sp = out(reg) sp,
                fp = out(reg) fp,
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { pc, sp, fp }
    }

    /// Those of the function this is inlined into.
    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    fn here() -> Self {
        let (pc, sp, fp, lr): (u64, u64, u64, u64);
        // SAFETY: it reads registers, and touches no memory and no flags.
        unsafe {
            std::arch::asm!(
                "adr {pc}, .",
                "mov {sp}, sp",
                "mov {fp}, x29",
                "mov {lr}, x30",
                pc = out(reg) pc,
                sp = out(reg) sp,
                fp = out(reg) fp,
                lr = out(reg) lr,
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { pc, sp, fp, lr }
    }
}

/// A return address as it lies in memory, without what signs it.
#[inline(always)]
fn return_address(word: u64) -> u64 {
    if cfg!(target_arch = "aarch64") { word & ((1 << 48) - 1) } else { word }
}

/// A stack on its way into the table: its flags, and its addresses. Not cleared beforehand: that
/// would take as long as the walk.
#[derive(Debug)]
struct Frames {
    words: [MaybeUninit<u64>; 1 + FRAMES_MAX],
    count: usize,
}

impl Frames {
    #[inline(always)]
    fn new() -> Self {
        Self { words: [const { MaybeUninit::uninit() }; 1 + FRAMES_MAX], count: 0 }
    }

    /// Adds one. False if there is no room.
    #[inline(always)]
    fn push(&mut self, address: u64) -> bool {
        let place = self.words.get_mut(1 + self.count);
        let has_room = place.is_some();
        if let Some(place) = place {
            place.write(address);
            self.count += 1;
        }
        has_room
    }

    /// Its id.
    #[inline(always)]
    fn intern(&mut self, flags: u64) -> u32 {
        if self.count == 0 {
            return 0;
        }
        self.words[0].write(flags);
        let words = &self.words[..=self.count];
        // SAFETY: `from_raw_parts` wants so many words, initialised and borrowed: the first was
        // just now, and `push` counts those behind it.
        let words = unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) };
        STACKS.intern(words)
    }
}

impl Method {
    /// As the format has it, for a stack that is cut or not.
    const fn flags(self, is_cut: bool) -> u64 {
        (self as u64) << 1 | is_cut as u64
    }
}

/// The running trace names this stack; 0 is none. By who has attached to it, or its collector: who
/// is on the way from one trace to the next would have the wrong one define it.
#[inline(always)]
pub(crate) fn note_used(id: u32) {
    STACKS.note_used(id);
}

/// The id of the calling thread's stack; 0 if it can't be had.
#[inline(never)]
pub(crate) fn capture() -> u32 {
    let method = METHOD.load(Ordering::Relaxed);
    if method == Method::None as u32 {
        return 0;
    }
    let registers = Registers::here();
    let bounds = Bounds::at(registers.sp as usize);
    if !bounds.has_room() {
        return 0;
    }
    let mut frames = Frames::new();
    if method == Method::Pointers as u32 {
        match pointers::walk(&registers, bounds, &mut frames) {
            End::Lost => {}
            end => return frames.intern(Method::Pointers.flags(end == End::Limit)),
        }
    }
    capture_otherwise(&registers, bounds, &mut frames)
}

/// Where frame pointers do not serve.
#[inline(never)]
fn capture_otherwise(registers: &Registers, bounds: Bounds, frames: &mut Frames) -> u32 {
    let method = METHOD.load(Ordering::Relaxed);
    if method == Method::System as u32 {
        return system::walk(registers, frames);
    }
    frames.count = 0;
    let Some(mut walker) = Walker::take() else {
        MISSED.fetch_add(1, Ordering::Relaxed);
        return 0;
    };
    walker.capture(registers, bounds, frames)
}

/// Whether a function begins by making a frame: it saves the caller's frame pointer and sets its
/// own.
fn begins_with_frame(function: fn() -> u32) -> bool {
    /// Far enough for what may come before: a landing pad, room for the function's variables.
    const BYTES: usize = 32;
    let start = function as usize;
    // SAFETY: `from_raw_parts` wants readable memory that is not written: code, of a function that
    // is longer than that.
    let code: &[u8] =
        unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(start), BYTES) };
    if cfg!(target_arch = "x86_64") {
        // push rbp; mov rbp, rsp
        code.windows(4).any(|bytes| bytes == [0x55, 0x48, 0x89, 0xe5])
    } else {
        // add x29, sp, #n
        let words = code
            .chunks_exact(4)
            .map(|bytes| u32::from_le_bytes(*bytes.first_chunk().expect("chunks have four bytes")));
        words.into_iter().any(|word| word & 0xffc0_03ff == 0x9100_03fd)
    }
}

/// The id of a stack that somebody else has found: `flags` as the format has them, addresses of
/// instructions, innermost first.
#[cfg(feature = "sched")]
pub(crate) fn intern_frames(flags: u64, addresses: &[u64]) -> u32 {
    let mut frames = Frames::new();
    let is_whole = addresses.iter().all(|&address| frames.push(address));
    frames.intern(flags | u64::from(!is_whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;
    use std::hint::black_box;

    /// As a start of a trace does, without one.
    fn prepare() -> facility::StackSource {
        assert!(facility::prepare(), "there is memory");
        let mut source = StackSource::default();
        let sink = crate::output::sink::Sink::new(Box::new(std::io::sink()), Default::default());
        source.begin(&mut crate::output::Output::to_sink(sink));
        source
    }

    fn addresses(id: u32) -> Vec<u64> {
        STACKS.get(id).expect("a stack was captured")[1..].to_vec()
    }

    fn flags(id: u32) -> u64 {
        STACKS.get(id).expect("a stack was captured")[0]
    }

    #[inline(never)]
    fn deep(left: u32) -> u32 {
        if left == 0 { black_box(capture()) } else { black_box(deep(black_box(left - 1))) }
    }

    /// Whether an address lies in a function, which is shorter than that.
    fn is_in(function: usize, address: u64) -> bool {
        (function as u64..function as u64 + 300).contains(&address)
    }

    #[test]
    fn a_stack_has_its_callers_and_is_whole() {
        let _source = prepare();
        // Where functions keep frame pointers, a thread's first walk is by tables all the same, and
        // its stack is one of its own.
        black_box(capture());
        let ids: Vec<u32> = (0..black_box(2)).map(|_| deep(black_box(10))).collect();
        let id = ids[0];
        let found = addresses(id);
        let of_deep = found.iter().filter(|&&at| is_in(deep as fn(u32) -> u32 as usize, at));
        assert_eq!(of_deep.count(), 11, "{found:x?}");
        assert_eq!(flags(id) & 1, 0, "not whole: {found:x?}");
        assert_eq!(ids[1], id, "the same calls, another stack");
    }

    /// Captures as ever, and walks anew: both must come to the same.
    #[inline(never)]
    fn compare(misses: &mut u32) {
        let registers = Registers::here();
        let bounds = Bounds::at(registers.sp as usize);
        let mut walker = Walker::take().expect("there are more than threads here");
        let remembered = walker.capture(&registers, bounds, &mut Frames::new());
        let mut frames = Frames::new();
        let end = walker.walk(&registers, bounds, &mut frames);
        let walked = frames.intern(Method::Tables.flags(end != End::Start));
        assert_eq!(addresses(remembered), addresses(walked));
        *misses += u32::from(remembered != walked);
    }

    /// Three functions that call each other as the digits of `path` say, and keep this and that in
    /// registers and on the stack meanwhile.
    type Call = fn(u64, &mut u32) -> u64;
    const CALLS: [Call; 3] = [once, twice, with_buffer];

    fn next(path: u64, misses: &mut u32) -> u64 {
        if path == 0 {
            compare(misses);
            return 1;
        }
        black_box(CALLS)[(path % 3) as usize](path / 3, misses)
    }

    #[inline(never)]
    fn once(path: u64, misses: &mut u32) -> u64 {
        next(path, misses) + path
    }

    #[inline(never)]
    fn twice(path: u64, misses: &mut u32) -> u64 {
        (0..2).map(|round| next(path, misses) ^ round).sum()
    }

    #[inline(never)]
    fn with_buffer(path: u64, misses: &mut u32) -> u64 {
        let buffer = black_box([path; 20]);
        let inner = next(path, misses);
        black_box(buffer).iter().sum::<u64>() + inner
    }

    /// Signals that were handled, and of those the ones that were not on the thread's own stack.
    static HANDLED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

    extern "C" fn handle(_: libc::c_int) {
        let here = Registers::here().sp as usize;
        HANDLED[usize::from(!Bounds::at(here).is_own)].fetch_add(1, Ordering::Relaxed);
    }

    /// Walks, anew each time.
    fn walk_once() {
        let registers = Registers::here();
        let bounds = Bounds::at(registers.sp as usize);
        let mut walker = Walker::take().expect("there are more than threads here");
        black_box(walker.walk(&registers, bounds, &mut Frames::new()));
    }

    #[test]
    fn no_handler_runs_on_the_stack_of_a_walk() {
        const SIGNALS: u64 = 20_000;
        let _source = prepare();
        prepare_thread();
        let handler = handle as extern "C" fn(libc::c_int);
        // SAFETY: `signal` wants a handler that may come at any time: it counts.
        unsafe { libc::signal(libc::SIGUSR2, handler as libc::sighandler_t) };
        // A number, as some systems have a pointer here, which threads may not share.
        //
        // SAFETY: `pthread_self` takes nothing.
        let own = unsafe { libc::pthread_self() } as usize;
        let handled = || HANDLED.iter().map(|it| it.load(Ordering::Relaxed)).sum::<u64>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while handled() < SIGNALS {
                    // SAFETY: `pthread_kill` wants a live thread: it waits for this one.
                    unsafe { libc::pthread_kill(own as libc::pthread_t, libc::SIGUSR2) };
                }
            });
            while handled() < SIGNALS {
                walk_once();
            }
        });
        let strayed = HANDLED[1].load(Ordering::Relaxed);
        assert_eq!(strayed, 0, "of {SIGNALS} handlers ran on the walker's stack");
    }

    #[test]
    fn what_is_remembered_is_what_a_walk_would_find() {
        let _source = prepare();
        let mut misses = 0;
        let mut state = 1_u64;
        for _ in 0..3000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Few enough paths that most come again.
            black_box(next(state >> 40 & 0x1ff, &mut misses));
        }
        assert_eq!(misses, 0, "the same addresses, another id");
    }
}
