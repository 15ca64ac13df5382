//! Walks that were made before. A program mostly asks for the stacks it has asked for already.
//!
//! A walk by tables follows from the registers it begins with, from the tables, and from the words
//! of the stack that it reads, and from nothing else. So if it is known which words one has read,
//! and they all are as they were, another one would find the same: looking is ten times faster than
//! walking.

use super::Registers;
use super::own::Bounds;

/// So many walks are remembered; the one remembered longest ago goes first.
const WALKS: usize = 16;

/// Walks that read more are not remembered.
const READS_MAX: usize = 96;

/// What a walker remembers.
#[derive(Debug)]
pub(super) struct Memory {
    /// The first registers of walks, together so that a look at all is short.
    begins: [Begin; WALKS],
    walks: Vec<Walk>,
    next: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Begin {
    /// First, for it is what differs most.
    sp: u64,
    fp: u64,
    pc: u64,
    lr: u64,
}

impl Begin {
    #[inline(always)]
    fn new(registers: &Registers) -> Self {
        #[cfg(target_arch = "aarch64")]
        let lr = registers.lr;
        #[cfg(target_arch = "x86_64")]
        let lr = 0;
        Self { pc: registers.pc, sp: registers.sp, fp: registers.fp, lr }
    }
}

#[derive(Debug)]
struct Walk {
    reads: Reads,
    /// What it came to.
    id: u32,
}

/// What a walk has read, and where.
#[derive(Clone, Debug)]
pub(super) struct Reads {
    words: [(usize, u64); READS_MAX],
    count: usize,
    /// Some could not be kept, or not be read.
    is_lacking: bool,
}

impl Reads {
    pub(super) const fn new() -> Self {
        Self { words: [(0, 0); READS_MAX], count: 0, is_lacking: false }
    }

    pub(super) fn clear(&mut self) {
        (self.count, self.is_lacking) = (0, false);
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

    #[inline(always)]
    fn are_as_before(&self, bounds: Bounds) -> bool {
        let words = self.words.get(..self.count).unwrap_or_default();
        words.iter().all(|&(address, word)| bounds.read(address) == Some(word))
    }
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { begins: [Begin::default(); WALKS], walks: Vec::with_capacity(WALKS), next: 0 }
    }

    /// The tables are others now.
    pub(super) fn forget(&mut self) {
        self.begins = [Begin::default(); WALKS];
        self.walks.clear();
        self.next = 0;
    }

    /// The id that a walk from here would come to, if there was one like it.
    #[inline]
    pub(super) fn find(&self, registers: &Registers, bounds: Bounds) -> Option<u32> {
        let begin = Begin::new(registers);
        let walks = self.begins.iter().zip(&self.walks);
        let mut alike = walks.filter(|(other, _)| **other == begin).map(|(_, walk)| walk);
        alike.find(|walk| walk.reads.are_as_before(bounds)).map(|walk| walk.id)
    }

    /// Remembers a walk that came to `id`. Does not allocate: there is room for so many.
    pub(super) fn keep(&mut self, registers: &Registers, reads: &Reads, id: u32) {
        if reads.is_lacking || id == 0 {
            return;
        }
        let at = self.next % WALKS;
        self.next = at + 1;
        if let (Some(begin), true) = (self.begins.get_mut(at), at <= self.walks.len()) {
            *begin = Begin::new(registers);
            let walk = Walk { reads: reads.clone(), id };
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
        Registers { sp, ..Registers::here() }
    }

    #[test]
    fn a_walk_is_found_again_only_while_its_words_are_the_same() {
        let words = [1_u64, 2, 3].map(std::cell::Cell::new);
        let place = words.as_ptr().expose_provenance();
        let begin = registers(place as u64);
        let bounds = Bounds::at(place);
        let (mut memory, mut reads) = (Memory::new(), Reads::new());
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
    fn the_oldest_goes_first_and_what_was_not_all_read_is_not_kept() {
        let words = [5_u64; 4];
        let place = words.as_ptr().expose_provenance();
        let bounds = Bounds::at(place);
        let (mut memory, mut reads) = (Memory::new(), Reads::new());
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
