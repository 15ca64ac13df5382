//! Walks that are remembered: most stacks that a program takes were taken before.
//!
//! The result of a walk by tables depends only on the registers it begins with, on the tables, and
//! on the words of the stack that it reads. So if all words that an earlier walk read are
//! unchanged, another walk would find the same: comparing them is ten times faster than walking.
//!
//! Code without frame pointers uses their register for other values, such as a loop's counter, so
//! the register is hardly ever unchanged. Functions save it on the stack, and walks read it from
//! there; but unless a walk finds a frame by it, its value does not matter.

use super::own::Bounds;
use super::{Registers, return_address};

/// Number of walks that are remembered; a new one replaces the oldest.
const WALKS: usize = 16;

/// Maximum number of words that a remembered walk has read.
const READS_MAX: usize = 96;

/// A frame that was found by the frame pointer ends within this distance behind it.
const FRAME_BYTES_MAX: u64 = 1 << 20;

/// The walks that a walker remembers.
#[derive(Debug)]
pub(super) struct WalkMemory {
    /// The first registers of the walks, close together, so that searching all is fast.
    begins: [Begin; WALKS],
    walks: Vec<RememberedWalk>,
    next: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Begin {
    sp: u64,
    pc: u64,
    lr: u64,
    fp: u64,
    fp_matters: bool,
}

impl Begin {
    #[inline(always)]
    fn new(registers: &Registers, fp_matters: bool) -> Self {
        #[cfg(target_arch = "aarch64")]
        let lr = registers.lr;
        #[cfg(target_arch = "x86_64")]
        let lr = 0;
        Self { sp: registers.sp, pc: registers.pc, lr, fp: registers.fp, fp_matters }
    }

    /// Whether a walk that began with these registers would be the same as one from `begin`.
    #[inline(always)]
    fn is_like(&self, begin: &Self) -> bool {
        let is_same_fp = !self.fp_matters || self.fp == begin.fp;
        (self.sp, self.pc, self.lr) == (begin.sp, begin.pc, begin.lr) && is_same_fp
    }
}

#[derive(Debug)]
struct RememberedWalk {
    reads: Reads,
    /// The id of the stack that it found.
    id: u32,
}

/// The words that a walk has read, and their addresses.
#[derive(Clone, Debug)]
pub(super) struct Reads {
    words: [(usize, u64); READS_MAX],
    count: usize,
    /// Some words did not fit, or could not be read.
    is_lacking: bool,
    /// A bit for each word that does not matter.
    idle: u128,
    /// `count` before this step.
    before: usize,
    pointer: Pointer,
    fp_matters: bool,
}

/// Where the frame pointer's value comes from.
#[derive(Clone, Copy, Debug)]
enum Pointer {
    Begin,
    Read(usize),
    /// From a word that matters in any case.
    Known,
}

impl Reads {
    pub(super) const fn new() -> Self {
        Self {
            words: [(0, 0); READS_MAX],
            count: 0,
            is_lacking: false,
            idle: 0,
            before: 0,
            pointer: Pointer::Begin,
            fp_matters: false,
        }
    }

    pub(super) fn clear(&mut self) {
        (self.count, self.before, self.idle) = (0, 0, 0);
        (self.is_lacking, self.fp_matters) = (false, false);
        self.pointer = Pointer::Begin;
    }

    /// Reads a word and keeps it.
    #[inline(always)]
    pub(super) fn read(&mut self, bounds: Bounds, address: u64) -> Result<u64, ()> {
        let word = bounds.read(address as usize);
        match (word, self.words.get_mut(self.count)) {
            (Some(word), Some(place)) => {
                *place = (address as usize, word);
                self.count += 1;
            }
            _ => self.is_lacking = true,
        }
        word.ok_or(())
    }

    /// The walk has made a step, to a frame that ends at `end` and returns to `back`; the frame
    /// pointer has changed from the first to the second of `fp`.
    pub(super) fn step(&mut self, fp: (u64, u64), end: u64, back: u64) {
        let is_found_by_it = end.wrapping_sub(fp.0) <= FRAME_BYTES_MAX;
        let (mut pointers, mut others) = (0, 0);
        let before = self.pointer;
        for at in self.before..self.count {
            let word = self.words[at].1;
            if return_address(word) == back {
                continue;
            } else if word == fp.1 {
                pointers += 1;
                self.pointer = Pointer::Read(at);
            } else {
                others += 1;
            }
        }
        self.before = self.count;
        let is_unclear = pointers > 1 || others > 0 || pointers == 0 && fp.0 != fp.1;
        if is_found_by_it || is_unclear {
            self.matters(before);
        }
        match self.pointer {
            _ if is_unclear => self.pointer = Pointer::Known,
            Pointer::Read(at) if pointers == 1 => self.idle |= 1 << at,
            _ => {}
        }
    }

    /// The walk ends. The frame pointer may have decided how.
    pub(super) fn end(&mut self) {
        self.matters(self.pointer);
    }

    fn matters(&mut self, pointer: Pointer) {
        match pointer {
            Pointer::Begin => self.fp_matters = true,
            Pointer::Read(at) => self.idle &= !(1 << at),
            Pointer::Known => {}
        }
    }

    /// A copy with only the words that matter.
    fn kept(&self) -> Self {
        let mut kept = Self::new();
        let words = self.words.iter().take(self.count).enumerate();
        let mattering = words.filter(|(at, _)| self.idle >> at & 1 == 0);
        for (place, (_, word)) in kept.words.iter_mut().zip(mattering) {
            *place = *word;
            kept.count += 1;
        }
        kept
    }

    #[inline(always)]
    fn are_as_before(&self, bounds: Bounds) -> bool {
        let words = self.words.get(..self.count).unwrap_or_default();
        words.iter().all(|&(address, word)| bounds.read(address) == Some(word))
    }
}

impl WalkMemory {
    pub(super) fn new() -> Self {
        Self { begins: [Begin::default(); WALKS], walks: Vec::with_capacity(WALKS), next: 0 }
    }

    /// Forgets all walks: the tables have changed.
    pub(super) fn forget(&mut self) {
        self.begins = [Begin::default(); WALKS];
        self.walks.clear();
        self.next = 0;
    }

    /// The id that a walk from here would find, if the same walk was made before.
    #[inline]
    pub(super) fn find(&self, registers: &Registers, bounds: Bounds) -> Option<u32> {
        let begin = Begin::new(registers, true);
        let walks = self.begins.iter().zip(&self.walks);
        let mut alike = walks.filter(|(other, _)| other.is_like(&begin)).map(|(_, walk)| walk);
        alike.find(|walk| walk.reads.are_as_before(bounds)).map(|walk| walk.id)
    }

    /// Remembers a walk that found `id`. Does not allocate: the room is there.
    pub(super) fn keep(&mut self, registers: &Registers, reads: &Reads, id: u32) {
        if reads.is_lacking || id == 0 {
            return;
        }
        let at = self.next % WALKS;
        self.next = at + 1;
        if let (Some(begin), true) = (self.begins.get_mut(at), at <= self.walks.len()) {
            *begin = Begin::new(registers, reads.fp_matters);
            let walk = RememberedWalk { reads: reads.kept(), id };
            match self.walks.get_mut(at) {
                Some(before) => *before = walk,
                None => self.walks.push(walk),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(sp: u64) -> Registers {
        let mut registers = Registers::here();
        (registers.pc, registers.sp, registers.fp) = (7, sp, 0);
        #[cfg(target_arch = "aarch64")]
        {
            // What is there depends on where this was called from.
            registers.lr = 0;
        }
        registers
    }

    #[test]
    fn a_walk_is_found_again_only_while_its_words_are_the_same() {
        let words = [1_u64, 2, 3].map(std::cell::Cell::new);
        let place = words.as_ptr().expose_provenance();
        let begin = registers(place as u64);
        let bounds = Bounds::at(place);
        let (mut memory, mut reads) = (WalkMemory::new(), Reads::new());
        for at in 0..2 {
            assert!(reads.read(bounds, (place + at * 8) as u64).is_ok());
        }
        memory.keep(&begin, &reads, 7);
        assert_eq!(memory.find(&begin, bounds), Some(7));
        words[2].set(9);
        assert_eq!(memory.find(&begin, bounds), Some(7), "that one was not read");
        words[1].set(9);
        assert_eq!(memory.find(&begin, bounds), None);
        words[1].set(2);
        assert_eq!(memory.find(&registers(place as u64 + 16), bounds), None);
        assert_eq!(memory.find(&begin, bounds), Some(7));
        memory.forget();
        assert_eq!(memory.find(&begin, bounds), None);
    }

    #[test]
    fn a_saved_frame_pointer_matters_only_if_a_frame_is_found_by_it() {
        let words = [100_u64, 1, 200, 2, 300, 3].map(std::cell::Cell::new);
        let place = words.as_ptr().expose_provenance();
        let (at, bounds) = (place as u64, Bounds::at(place));
        let begin = Registers { fp: 50, ..registers(at) };
        let (mut memory, mut reads) = (WalkMemory::new(), Reads::new());
        let read = |reads: &mut Reads, frame: u64| {
            for word in [0, 8] {
                assert!(reads.read(bounds, at + frame * 16 + word).is_ok());
            }
        };
        read(&mut reads, 0);
        reads.step((50, 100), at + 16, 1);
        read(&mut reads, 1);
        reads.step((100, 200), at + 32, 2);
        read(&mut reads, 2);
        // This frame ends close behind the frame pointer.
        reads.step((200, 300), 216, 3);
        reads.end();
        memory.keep(&begin, &reads, 7);
        assert_eq!(memory.find(&Registers { pc: 1, ..registers(at) }, bounds), None, "other code");
        let other = Registers { fp: 51, ..begin };
        assert_eq!(memory.find(&other, bounds), Some(7));
        for (word, matters) in [(0, false), (1, true), (2, true), (3, true), (4, true), (5, true)] {
            let before = words[word].replace(9);
            assert_eq!(memory.find(&other, bounds).is_none(), matters, "word {word}");
            words[word].set(before);
        }
    }

    #[test]
    fn the_oldest_goes_first_and_what_was_not_all_read_is_not_kept() {
        let words = [5_u64; 4];
        let place = words.as_ptr().expose_provenance();
        let bounds = Bounds::at(place);
        let (mut memory, mut reads) = (WalkMemory::new(), Reads::new());
        assert!(reads.read(bounds, place as u64).is_ok());
        for id in 1..=WALKS as u32 + 3 {
            memory.keep(&registers(u64::from(id)), &reads, id);
        }
        let found = |id: u32| memory.find(&registers(u64::from(id)), bounds);
        let kept: Vec<u32> = (1..=WALKS as u32 + 3).filter(|&id| found(id) == Some(id)).collect();
        assert_eq!(kept, (4..=WALKS as u32 + 3).collect::<Vec<_>>());
        assert!(reads.read(bounds, 3).is_err());
        memory.keep(&registers(1000), &reads, 1000);
        assert_eq!(memory.find(&registers(1000), bounds), None);
        reads.clear();
        for _ in 0..=READS_MAX {
            assert!(reads.read(bounds, place as u64).is_ok());
        }
        memory.keep(&registers(1001), &reads, 1001);
        assert_eq!(memory.find(&registers(1001), bounds), None);
    }
}
