//! Walking by unwind tables, which compilers make for every function, so no frame pointers are
//! needed.
//!
//! Everything is prepared while a trace starts: a few *walkers*, each with the modules' tables and
//! a cache. A capture takes one and gives it back; it allocates nothing. The tables of the program
//! are read where they are mapped; those of libraries, which may be unmapped at any time, are
//! copied. Libraries that are loaded while a trace runs are known from the next generation on.
//!
//! A walker walks on a stack of its own, with signals blocked: reading tables takes more room than
//! a small thread or a signal handler may have left.
//!
//! May contain `unsafe`: it calls on another stack.

use super::memory::{Reads, WalkMemory};
use super::own::Bounds;
use super::pointers::PointerChain;
use super::pool::{Pool, PoolGuard};
use super::walk_stack::{call_on, map_stack, unmap_stack};
use super::{End, Frames, Method, Registers};
use crate::base::primitive::Ordering;
use crate::base::primitive::global::{AtomicBool, AtomicPtr};
use crate::stack::modules::{self, MappedModule, Version};
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

/// Number of threads that can walk by tables at once; a further one gets no stack.
const WALKERS: usize = 16;

type Tables = UnwinderNative<TableBytes, MustNotAllocateDuringUnwind>;

static POOL: Pool<Walker, WALKERS> = Pool::new();

thread_local! {
    /// The place where this thread found a walker last.
    static LAST: Cell<usize> = const { Cell::new(0) };
}

/// Whether the walkers are in the pool.
static IS_FILLED: AtomicBool = AtomicBool::new(false);

/// Maximum memory of a walker: its cache of tables, and the walks that it remembers.
const WALKER_BYTES: usize = 128 << 10;

/// Fills the pool, once. Returns false if the system has no memory. By one thread at a time.
pub(super) fn prepare() -> bool {
    if IS_FILLED.load(Ordering::Acquire) {
        return true;
    }
    let stacks = [(); WALKERS].map(|()| map_stack());
    // After the stacks are mapped, as a limit of all memory applies to both.
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

/// A walker: it walks for one thread at a time.
pub(super) struct Walker {
    /// The end of its stack.
    stack: AtomicPtr<c_void>,
    tables: Tables,
    /// The addresses of all modules, in order.
    ranges: Arc<[Range<u64>]>,
    cache: CacheNative<MustNotAllocateDuringUnwind>,
    version: Version,
    memory: WalkMemory,
    /// The words that the present walk reads.
    reads: Reads,
}

/// A module's tables: the program's, mapped for good, or a copy.
#[derive(Clone)]
enum TableBytes {
    Mapped(&'static [u8]),
    Copied(Arc<Vec<u8>>),
}

impl Default for TableBytes {
    fn default() -> Self {
        Self::Mapped(&[])
    }
}

impl Deref for TableBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

/// The modules that are mapped, with their tables.
#[derive(Default)]
pub(super) struct MappedModules {
    version: Version,
    modules: Vec<(MappedModule, Option<Sections>)>,
}

/// Where a module's tables lie.
#[derive(Clone)]
struct Sections {
    /// The index of functions.
    header: (Range<u64>, TableBytes),
    /// The tables that the index points into.
    frames: (Range<u64>, TableBytes),
}

impl MappedModules {
    /// Lists what is mapped. Returns whether that has changed since the last time. Allocates.
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
        // Also for walkers that were in use the last time.
        self.update_walkers();
        changed
    }

    pub(super) fn modules(&self) -> impl Iterator<Item = &MappedModule> {
        self.modules.iter().map(|(module, _)| module)
    }

    /// Number of libraries with tables of which there is no copy.
    pub(super) fn lacking(&self) -> usize {
        let has_some =
            |module: &MappedModule| module.segment.is_some() && module.eh_frame_hdr.is_some();
        let is_lacking = |(module, sections): &&(MappedModule, Option<Sections>)| {
            has_some(module) && sections.is_none()
        };
        self.modules.iter().filter(is_lacking).count()
    }

    /// Whether the program itself has tables.
    pub(super) fn serves(&self) -> bool {
        self.modules.iter().any(|(module, sections)| module.is_program && sections.is_some())
    }

    /// Gives all free walkers the present tables.
    fn update_walkers(&self) {
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

/// The tables of a module. To be called only while it can't be unmapped.
fn sections(module: &MappedModule) -> Option<Sections> {
    let (segment, header) = (module.segment.clone()?, module.eh_frame_hdr.clone()?);
    let all = module.tables()?;
    let part = |range: &Range<u64>| {
        let [from, to] = [range.start, range.end].map(|at| (at - segment.start) as usize);
        let bytes = all.get(from..to)?;
        if module.is_program {
            return Some(TableBytes::Mapped(bytes));
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).ok()?;
        copy.extend_from_slice(bytes);
        Some(TableBytes::Copied(Arc::new(copy)))
    };
    let index = part(&header)?;
    let frames = frames_at(header.start, &index).filter(|at| segment.contains(at))?..segment.end;
    Some(Sections { frames: (frames.clone(), part(&frames)?), header: (header, index) })
}

/// Where the frames lie to which an index at `start` belongs. Every linker writes the distance as
/// four bytes.
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
        let (memory, reads) = (WalkMemory::new(), Reads::new());
        Self { stack, tables, ranges: Arc::from([]), cache, version: (0, 0), memory, reads }
    }

    /// Takes any free walker, preferably the one that this thread had last.
    pub(super) fn take() -> Option<PoolGuard<'static, Self>> {
        let taken = POOL.take(LAST.get())?;
        LAST.set(taken.at);
        Some(taken)
    }

    /// The id of the stack from `registers` on; 0 if it has no room in the table.
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

    /// Walks from `registers` to the thread's start, and finds the root for frame pointers.
    pub(super) fn walk(
        &mut self,
        registers: &Registers,
        bounds: Bounds,
        frames: &mut Frames,
    ) -> End {
        extern "C" fn work(job: *mut WalkJob<'_>) {
            // SAFETY: a unique reference wants the job, lent to no other code: `walk` lends it for
            // the time of its call.
            let job = unsafe { &mut *job };
            job.end = job.walker.walk_here(job.registers, job.bounds, job.frames);
        }
        let top = *self.stack.get_mut();
        // A signal handler that came meanwhile would run on the walker's stack, which has no room
        // for it, and where it would not find its thread's stack. It is worse if this is a handler
        // on a stack of its own: the system would take that stack for unused, and run the second
        // handler over it.
        let _blocked = Blocked::all();
        let mut job = WalkJob { walker: self, registers, bounds, frames, end: End::Lost };
        // SAFETY: `call_on` wants the end of an unused stack, and a function that returns: the
        // stack is the walker's, which this thread owns; `work` does not unwind, it would abort.
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
        let mut chain = PointerChain::new(registers, bounds);
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
                // Most callers are in the same module as the callee.
                match range_of(&self.ranges, caller) {
                    Some(found) => range = found,
                    // This code is in no known module: what follows would be guessed.
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

/// Whether the function without tables in which a walk has ended is a thread's first.
///
/// musl is compiled without tables, so a walk ends in its function that calls the thread's
/// function, or `main`. The frame pointer that a thread begins with is 0 (System V ABI for x86_64,
/// section 3.4.1; AAPCS64, section 6.4.6). A function in between that keeps no frame pointer and
/// has a 0 in that register would be taken for the first.
fn is_outermost(native: &UnwindRegsNative) -> bool {
    cfg!(target_env = "musl") && frame_pointer(native) == 0
}

fn range_of(ranges: &[Range<u64>], address: u64) -> Option<Range<u64>> {
    let behind = ranges.partition_point(|range| range.start <= address);
    let range = ranges.get(behind.checked_sub(1)?)?;
    range.contains(&address).then(|| range.clone())
}

/// The arguments and the result of a walk on another stack.
struct WalkJob<'a> {
    walker: &'a mut Walker,
    registers: &'a Registers,
    bounds: Bounds,
    frames: &'a mut Frames,
    end: End,
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
