//! Walking by unwind tables, which compilers make for every function: no frame pointers needed.
//!
//! Everything is prepared while a trace starts: a few *walkers*, each with its knowledge of the
//! modules and its cache. A capture takes one and gives it back; nothing is allocated on the way.
//! The tables of the program are read where they are mapped; those of libraries, which may be
//! unmapped at any time, are copied. Libraries that are loaded while a trace runs are known from
//! the next cut on.
//!
//! A walker walks on a stack of its own, while no signal comes: reading tables takes more room than
//! a small thread or a signal handler may have left.
//!
//! May contain `unsafe`: it changes stacks.

use super::memory::{Memory, Reads};
use super::own::Bounds;
use super::pointers::Chain;
use super::pool::{Pool, Taken};
use super::{End, Frames, Method, Registers};
use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr};
use crate::stack::modules::{self, Module, Version};
use crate::sys::headroom;
use crate::sys::signals::Blocked;
use framehop::{
    CacheNative, ExplicitModuleSectionInfo, FrameAddress, MustNotAllocateDuringUnwind,
    UnwindRegsNative, Unwinder, UnwinderNative,
};
use std::cell::{Cell, OnceCell};
use std::ffi::c_void;
use std::ops::{Deref, Range};
use std::ptr;
use std::sync::Arc;

/// So many threads can walk by tables at once; others that come meanwhile have no stack.
const WALKERS: usize = 16;

type Tables = UnwinderNative<Bytes, MustNotAllocateDuringUnwind>;

static POOL: Pool<Walker, WALKERS> = Pool::new();

thread_local! {
    /// Where this thread has found a walker last.
    static LAST: Cell<usize> = const { Cell::new(0) };
}

/// Whether the walkers are in the pool.
static IS_FILLED: AtomicBool = AtomicBool::new(false);

/// What a walker takes at most of the program's memory: what it remembers of tables and walks.
const WALKER_BYTES: usize = 128 << 10;

/// The stack of a walker: unoptimised code needs most of it.
const STACK_BYTES: usize = 256 << 10;

/// Fills the pool, once. Whether the system gives the memory. One trace starts at a time.
pub(super) fn prepare() -> bool {
    if IS_FILLED.load(Ordering::Acquire) {
        return true;
    }
    let stacks = [(); WALKERS].map(|()| map_stack());
    // Asked when they are mapped: a limit of all memory is one for both.
    if stacks.contains(&ptr::null_mut()) || !headroom::has_beside_start(WALKER_BYTES * WALKERS) {
        stacks.into_iter().filter(|stack| !stack.is_null()).for_each(unmap_stack);
        return false;
    }
    for (at, stack) in stacks.into_iter().enumerate() {
        POOL.put(at, Box::new(Walker::new(stack)));
    }
    IS_FILLED.store(true, Ordering::Release);
    true
}

/// One that walks.
pub(super) struct Walker {
    /// The end of its stack.
    stack: AtomicPtr<c_void>,
    tables: Tables,
    /// Where there is code that tables may be about, in order.
    ranges: Arc<[Range<u64>]>,
    cache: CacheNative<MustNotAllocateDuringUnwind>,
    version: Version,
    memory: Memory,
    /// Of the walk that is being made.
    reads: Reads,
}

/// A module's tables: of the program, mapped for good, or a copy.
#[derive(Clone)]
enum Bytes {
    Mapped(&'static [u8]),
    Copied(Arc<Vec<u8>>),
}

impl Default for Bytes {
    fn default() -> Self {
        Self::Mapped(&[])
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

/// What is mapped, with its tables.
#[derive(Default)]
pub(super) struct Known {
    version: Version,
    modules: Vec<(Module, Option<Sections>)>,
}

/// Where a module's tables lie.
#[derive(Clone)]
struct Sections {
    /// The index of functions.
    header: (Range<u64>, Bytes),
    /// What it points into.
    frames: (Range<u64>, Bytes),
}

impl Known {
    /// Looks what is mapped. Whether that has changed since the last time. Allocates.
    pub(super) fn refresh(&mut self) -> bool {
        let version = modules::version();
        let changed = self.version != version;
        if changed {
            let old = std::mem::take(&mut self.modules);
            self.modules = modules::read(|module| {
                let same = old.iter().find(|(other, _)| *other == module);
                let sections = same.map_or_else(|| sections(&module), |same| same.1.clone());
                (module, sections)
            });
            self.version = version;
        }
        // Also those that were walking when it was done last.
        self.tell();
        changed
    }

    pub(super) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.iter().map(|(module, _)| module)
    }

    /// Libraries that have tables, of which there is no copy.
    pub(super) fn lacking(&self) -> usize {
        let has_some = |module: &Module| module.segment.is_some() && module.eh_frame_hdr.is_some();
        let is_lacking = |(module, sections): &&(Module, Option<Sections>)| {
            has_some(module) && sections.is_none()
        };
        self.modules.iter().filter(is_lacking).count()
    }

    /// Whether there are tables for the program itself.
    pub(super) fn serves(&self) -> bool {
        self.modules.iter().any(|(module, sections)| module.is_program && sections.is_some())
    }

    fn tell(&self) {
        let tables = OnceCell::new();
        let mut ranges: Vec<_> = self.modules().map(|module| module.range.clone()).collect();
        ranges.sort_by_key(|range| range.start);
        let ranges: Arc<[_]> = Arc::from(ranges);
        for mut walker in (0..WALKERS).filter_map(|at| POOL.take_at(at)) {
            if walker.version != self.version {
                walker.tables = tables.get_or_init(|| self.tables()).clone();
                walker.ranges = Arc::clone(&ranges);
                walker.version = self.version;
                walker.memory.forget();
            }
        }
    }

    fn tables(&self) -> Tables {
        let mut tables = Tables::new();
        for (module, sections) in &self.modules {
            let Some(sections) = sections else { continue };
            let in_file = |range: &Range<u64>| {
                range.start.wrapping_sub(module.bias)..range.end.wrapping_sub(module.bias)
            };
            let info = ExplicitModuleSectionInfo {
                eh_frame_hdr_svma: Some(in_file(&sections.header.0)),
                eh_frame_hdr: Some(sections.header.1.clone()),
                eh_frame_svma: Some(in_file(&sections.frames.0)),
                eh_frame: Some(sections.frames.1.clone()),
                ..Default::default()
            };
            let range = module.range.clone();
            let module = framehop::Module::new(String::new(), range, module.bias, info);
            tables.add_module(module);
        }
        tables
    }
}

/// The tables of a module. Only while it can't be unmapped.
fn sections(module: &Module) -> Option<Sections> {
    let (segment, header) = (module.segment.clone()?, module.eh_frame_hdr.clone()?);
    let all = module.tables()?;
    let part = |range: &Range<u64>| {
        let [from, to] = [range.start, range.end].map(|at| (at - segment.start) as usize);
        let bytes = all.get(from..to)?;
        if module.is_program {
            return Some(Bytes::Mapped(bytes));
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).ok()?;
        copy.extend_from_slice(bytes);
        Some(Bytes::Copied(Arc::new(copy)))
    };
    let index = part(&header)?;
    let frames = frames_at(header.start, &index).filter(|at| segment.contains(at))?..segment.end;
    Some(Sections { frames: (frames.clone(), part(&frames)?), header: (header, index) })
}

/// Where the frames lie that an index at `start` is for. Every linker writes the distance as four
/// bytes.
fn frames_at(start: u64, index: &[u8]) -> Option<u64> {
    const VERSION: u8 = 1;
    const RELATIVE_FOUR_BYTES: u8 = 0x1b;
    let distance = i32::from_ne_bytes(*index.get(4..)?.first_chunk()?);
    let known = index[0] == VERSION && index[1] == RELATIVE_FOUR_BYTES;
    known.then(|| start.wrapping_add(4).wrapping_add_signed(distance.into()))
}

impl Walker {
    fn new(stack: *mut c_void) -> Self {
        let stack = AtomicPtr::new(stack);
        let (tables, cache) = (Tables::new(), CacheNative::new_in());
        let (memory, reads) = (Memory::new(), Reads::new());
        Self { stack, tables, ranges: Arc::from([]), cache, version: (0, 0), memory, reads }
    }

    /// Any that has time, best the one this thread had last.
    pub(super) fn take() -> Option<Taken<'static, Self>> {
        let taken = POOL.take(LAST.get())?;
        LAST.set(taken.at);
        Some(taken)
    }

    /// The id of the stack from `registers` on; 0 if there is none to be had.
    pub(super) fn capture(
        &mut self,
        registers: &Registers,
        bounds: Bounds,
        frames: &mut Frames,
    ) -> u32 {
        if let Some(id) = self.memory.find(registers, bounds) {
            return id;
        }
        let end = self.walk(registers, bounds, frames);
        let id = frames.intern(Method::Tables.flags(end != End::Start));
        if bounds.is_own {
            self.memory.keep(registers, &self.reads, id);
        }
        id
    }

    /// Walks from `registers` to the thread's start, and learns where that is by frame pointers.
    pub(super) fn walk(
        &mut self,
        registers: &Registers,
        bounds: Bounds,
        frames: &mut Frames,
    ) -> End {
        extern "C" fn work(job: *mut Job<'_>) {
            // SAFETY: a unique reference wants the job, lent to nobody else: `walk` lends it for
            // the time of its call.
            let job = unsafe { &mut *job };
            job.end = job.walker.walk_here(job.registers, job.bounds, job.frames);
        }
        let top = *self.stack.get_mut();
        // A handler that came meanwhile would run on the walker's stack, which has no room for it,
        // and is not where it looks for its thread's. Worse, if this is a handler on a stack of its
        // own: the system would take that one for free, and run the other handler over it.
        let _blocked = Blocked::all();
        let mut job = Job { walker: self, registers, bounds, frames, end: End::Lost };
        // SAFETY: `call_on` wants the end of a stack that nobody uses, and a function that comes
        // back: the walker's own, and we are its owner; `work` does not unwind, it would abort.
        unsafe { call_on(top, work, &mut job) };
        job.end
    }

    fn walk_here(&mut self, registers: &Registers, bounds: Bounds, frames: &mut Frames) -> End {
        self.reads.clear();
        let end = self.steps(registers, bounds, frames);
        self.reads.end();
        end
    }

    fn steps(&mut self, registers: &Registers, bounds: Bounds, frames: &mut Frames) -> End {
        let mut native = native(registers);
        let mut address = FrameAddress::from_instruction_pointer(registers.pc);
        let mut chain = Chain::new(registers, bounds);
        let mut range = 0..0;
        loop {
            let before = frame_pointer(&native);
            let reads = &mut self.reads;
            let mut read = |address: u64| reads.read(bounds, address);
            let step = self.tables.unwind_frame(address, &mut native, &mut self.cache, &mut read);
            let next = match step {
                Ok(Some(next)) => next,
                Ok(None) => {
                    chain.keep();
                    break End::Start;
                }
                Err(_) if is_outermost(&native) => {
                    chain.keep();
                    break End::Start;
                }
                Err(_) => break End::Lost,
            };
            self.reads.step((before, frame_pointer(&native)), native.sp(), next);
            let caller = next.wrapping_sub(1);
            if !range.contains(&caller) {
                // Most callers are where the callee is.
                match range_of(&self.ranges, caller) {
                    Some(found) => range = found,
                    // Nothing is known of this code: what follows would be guessed.
                    None => break End::Lost,
                }
            }
            if !frames.push(caller) {
                break End::Limit;
            }
            chain.follow(native.sp(), next);
            let Some(behind) = FrameAddress::from_return_address(next) else { break End::Lost };
            address = behind;
        }
    }
}

/// Whether the function that a walk came to, and that has no tables, is a thread's first.
///
/// musl is C without tables, so with it a walk ends in the function that calls a thread's own, and
/// on the main thread in the one that calls `main`. The frame pointer that a thread begins with is
/// 0 (System V ABI for x86_64, section 3.4.1; AAPCS64, section 6.4.6). A function in between that
/// keeps no frame pointer and has a 0 in that register would be taken for the first.
fn is_outermost(native: &UnwindRegsNative) -> bool {
    cfg!(target_env = "musl") && frame_pointer(native) == 0
}

fn range_of(ranges: &[Range<u64>], address: u64) -> Option<Range<u64>> {
    let behind = ranges.partition_point(|range| range.start <= address);
    let range = ranges.get(behind.checked_sub(1)?)?;
    range.contains(&address).then(|| range.clone())
}

/// What goes to the other stack and comes back.
struct Job<'a> {
    walker: &'a mut Walker,
    registers: &'a Registers,
    bounds: Bounds,
    frames: &'a mut Frames,
    end: End,
}

/// The end of a new stack with a page that nobody may touch before it; null if there is none.
fn map_stack() -> *mut c_void {
    const GUARD_BYTES: usize = 64 << 10;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: `mmap` wants nothing of a fresh anonymous mapping at an address it chooses.
    let start = unsafe { libc::mmap(ptr::null_mut(), STACK_BYTES, access, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return ptr::null_mut();
    }
    // SAFETY: `mprotect` wants pages of ours. If it fails there is no guard, and none is needed
    // unless there is a fault in here.
    unsafe { libc::mprotect(start, GUARD_BYTES, libc::PROT_NONE) };
    start.wrapping_byte_add(STACK_BYTES)
}

/// Takes a stack back, of which this is the end.
fn unmap_stack(end: *mut c_void) {
    // SAFETY: `munmap` wants a mapping that nobody uses: `map_stack` made it, and nobody else has
    // been given it.
    unsafe { libc::munmap(end.wrapping_byte_sub(STACK_BYTES), STACK_BYTES) };
}

/// Calls `work` on another stack.
///
/// # Safety
/// `top` is the end of a stack that nobody uses; `work` may be called with `job`, and returns.
#[cfg(target_arch = "x86_64")]
unsafe fn call_on(top: *mut c_void, work: extern "C" fn(*mut Job<'_>), job: &mut Job<'_>) {
    // SAFETY: the stack pointer is kept where calls keep it, and restored; the other one is as a
    // call wants it, the end of a mapping; what a call may change is said to be.
    unsafe {
        std::arch::asm!(
            "mov r12, rsp",
            "mov rsp, {top}",
            "call {work}",
            "mov rsp, r12",
            top = in(reg) top,
            work = in(reg) work,
            in("rdi") job,
            out("r12") _,
            clobber_abi("C"),
        );
    }
}

/// Calls `work` on another stack.
///
/// # Safety
/// `top` is the end of a stack that nobody uses; `work` may be called with `job`, and returns.
#[cfg(target_arch = "aarch64")]
unsafe fn call_on(top: *mut c_void, work: extern "C" fn(*mut Job<'_>), job: &mut Job<'_>) {
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "mov x20, sp",
            "mov sp, {top}",
            "blr {work}",
            "mov sp, x20",
            top = in(reg) top,
            work = in(reg) work,
            in("x0") job,
            out("x20") _,
            clobber_abi("C"),
        );
    }
}

#[cfg(target_arch = "x86_64")]
fn native(registers: &Registers) -> UnwindRegsNative {
    UnwindRegsNative::new(registers.pc, registers.sp, registers.fp)
}

#[cfg(target_arch = "x86_64")]
fn frame_pointer(native: &UnwindRegsNative) -> u64 {
    native.bp()
}

#[cfg(target_arch = "aarch64")]
fn frame_pointer(native: &UnwindRegsNative) -> u64 {
    native.fp()
}

#[cfg(target_arch = "aarch64")]
fn native(registers: &Registers) -> UnwindRegsNative {
    let mask = framehop::aarch64::PtrAuthMask::new_24_40();
    UnwindRegsNative::new_with_ptr_auth_mask(mask, registers.lr, registers.sp, registers.fp)
}
