//! The stack of the calling thread, as of now: walking it, and giving it a small number.
//!
//! There are three ways; the first one that works is taken:
//!
//! 1. **Frame pointers** (`pointers`), if the program keeps them: `-C force-frame-pointers=yes`.
//!    Whether it does is found out at the start, by looking at the first instructions of a function
//!    of this crate, which is compiled with the same flags as the program.
//! 2. **Unwind tables** (`tables`), by the crate framehop. They are always there. Walking is five
//!    times slower, but a walk that was made before is remembered (`memory`), which is faster than
//!    any walk. Also for stacks whose chain of frame pointers does not lead to the thread's start.
//! 3. **The system's unwinder** (`system`), if the program has no index of its unwind tables: it is
//!    so slow that only every 64th stack is taken.
//!
//! A stack is a list of addresses, innermost first, each of a calling instruction: return addresses
//! minus 1. It includes the recorder's own frames, which readers recognise by their names. It has
//! at most [`FRAMES_MAX`] frames; a deeper one, or one that could not be followed to the thread's
//! start, is marked as cut. Other files: which memory is read (`own`), the registers that a walk
//! begins with (`registers`), the pool of walkers (`pool`) and the stacks that they walk on
//! (`walk_stack`), which annotations have stacks (`sampled`), what the trace says about stacks
//! (`facility`), which modules are mapped (`modules`).
//!
//! Except for the preparation, everything here may run in signal handlers: no lock, no allocation,
//! no system call once the bounds of a thread's stack are known.
//!
//! May contain `unsafe`: it reads code.

pub(crate) mod modules;

mod facility;
mod memory;
mod own;
mod pointers;
mod pool;
mod registers;
mod sampled;
mod system;
mod tables;
mod walk_stack;

use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicU32, AtomicU64};
use crate::intern::STACKS;
use own::Bounds;
use registers::Registers;
use std::mem::MaybeUninit;
use tables::Walker;

pub(crate) use facility::{StackSource, begin, prepare};
pub(crate) use own::prepare_thread;
pub(crate) use sampled::{for_async, for_region, regions_want, want_for_async, want_for_regions};

/// Maximum number of frames of a stack.
pub(crate) const FRAMES_MAX: usize = 64;

/// How stacks are walked; the numbers are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Method {
    Pointers = 0,
    Tables = 1,
    System = 2,
    /// Not at all: before the first start.
    None = 0xff,
}

static METHOD: AtomicU32 = AtomicU32::new(Method::None as u32);

/// Number of stacks that were not taken because all walkers were in use.
static MISSED: AtomicU64 = AtomicU64::new(0);

/// Why a walk has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has reached the thread's start.
    Start,
    /// It has reached the limit of frames.
    Limit,
    /// It could not go on.
    Lost,
}

/// A return address from memory, without its pointer authentication code.
#[inline(always)]
fn return_address(word: u64) -> u64 {
    if cfg!(target_arch = "aarch64") { word & ((1 << 48) - 1) } else { word }
}

/// A stack while it is walked: room for its flags, and its addresses. Not cleared beforehand, which
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

    /// Adds an address. Returns false if there is no room.
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

    /// Puts it into the table. Returns its id; 0 if it is empty, or has no room there.
    #[inline(always)]
    fn intern(&mut self, flags: u64) -> u32 {
        if self.count == 0 {
            return 0;
        }
        self.words[0].write(flags);
        let words = &self.words[..=self.count];
        // SAFETY: `from_raw_parts` wants this many initialised words, borrowed: the first was
        // written just now, and `push` counts those behind it.
        let words = unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) };
        STACKS.intern(words)
    }
}

impl Method {
    /// The flags of the format, for a stack that is cut or not.
    const fn flags(self, is_cut: bool) -> u64 {
        (self as u64) << 1 | is_cut as u64
    }
}

/// Marks a stack as used by the running trace; 0 stands for no stack. To be called by an attached
/// thread, or by the collector: a thread between two traces might have the wrong trace define it.
#[inline(always)]
pub(crate) fn note_used(id: u32) {
    STACKS.note_used(id);
}

/// The id of the calling thread's stack; 0 if it can't be walked.
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

/// Without frame pointers, or where they do not lead to the thread's start.
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

/// Whether a function begins with a frame: it saves the caller's frame pointer and sets its own.
fn begins_with_frame(function: fn() -> u32) -> bool {
    /// Enough for what may come first: a landing pad, room for the function's variables.
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

/// The id of a stack that the kernel has walked: `flags` of the format, addresses of instructions,
/// innermost first.
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
        source.begin(&mut crate::output::Outputs::to_sink(sink));
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
        // Even with frame pointers a thread's first walk is by tables, and its stack has another
        // id.
        black_box(capture());
        let ids: Vec<u32> = (0..black_box(2)).map(|_| deep(black_box(10))).collect();
        let id = ids[0];
        let found = addresses(id);
        let of_deep = found.iter().filter(|&&at| is_in(deep as fn(u32) -> u32 as usize, at));
        assert_eq!(of_deep.count(), 11, "{found:x?}");
        assert_eq!(flags(id) & 1, 0, "not whole: {found:x?}");
        assert_eq!(ids[1], id, "the same calls, another stack");
    }

    /// Captures as usual, and walks again: both must find the same.
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

    /// Three functions that call each other as the digits of `path` say, and meanwhile keep values
    /// in registers and on the stack.
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

    /// Signals that were handled: on the thread's own stack, and on another one.
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
