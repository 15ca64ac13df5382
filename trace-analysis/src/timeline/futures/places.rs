//! Where stacks are in the program, and what is awaited there: looked up once for each.

use std::collections::HashMap;

use trace_format::id::StackId;
use trace_format::read::Tables;

use crate::reason::{Await, Awaited, Driver, await_site, awaited, driver};
use crate::symbols::Symbols;
use crate::timeline::Place;

/// A trace has at most 2^24 stacks, and mostly some thousands; beyond so many they are looked up
/// anew.
const KNOWN_MAX: usize = 1 << 17;

/// What is known of the stacks.
#[derive(Debug)]
pub(crate) struct Places<'f> {
    tables: &'f Tables,
    symbols: &'f Symbols,
    known: HashMap<StackId, (StackId, Await)>,
    /// In which stacks runtimes wake tasks of themselves.
    drivers: HashMap<StackId, Option<Driver>>,
    /// Of each place in the program the first stack that was seen.
    first: HashMap<(Await, Place), StackId>,
}

impl<'f> Places<'f> {
    pub(crate) fn new(tables: &'f Tables, symbols: &'f Symbols) -> Self {
        let (known, drivers, first) = Default::default();
        Self { tables, symbols, known, drivers, first }
    }

    /// One stack for all in which the same is awaited at the same place of the program, and what
    /// that is.
    pub(crate) fn of(&mut self, stack: StackId) -> (StackId, Await) {
        if stack == StackId(0) {
            return (stack, Await::UNKNOWN);
        }
        if let Some(known) = self.known.get(&stack) {
            return *known;
        }
        let addresses = self.tables.stacks.get(&stack).map(|stack| &stack.addresses[..]);
        let frames = self.symbols.shown(addresses.unwrap_or_default());
        let found = match addresses {
            Some(_) => {
                let what = awaited(&frames);
                let place = (what, Place::of(await_site(&frames), &frames));
                (*self.first.entry(place).or_insert(stack), what)
            }
            None => (StackId(0), Await::UNKNOWN),
        };
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(stack, found);
        found
    }

    /// What a runtime saw to as it woke a task in this stack, if it was the runtime.
    pub(crate) fn driver(&mut self, stack: StackId) -> Option<Driver> {
        if let Some(known) = self.drivers.get(&stack) {
            return *known;
        }
        let addresses = &self.tables.stacks.get(&stack)?.addresses;
        let found = driver(&self.symbols.shown(addresses));
        if self.drivers.len() >= KNOWN_MAX {
            self.drivers.clear();
        }
        self.drivers.insert(stack, found);
        found
    }

    /// Whether another task holds what is awaited in a stack.
    pub(crate) fn is_lock(&mut self, stack: StackId) -> bool {
        Awaited::is_lock(self.of(stack).1.awaited)
    }
}
