//! All outputs of a session: the collector passes everything to this type, which passes it to each
//! output.
//!
//! Outputs come and go while the session lasts. One that comes late first gets the definitions that
//! still hold: of threads, of modules, of what has been interned.
//!
//! Elsewhere: a single output (the parent of this module), when to write what (`collect`, and each
//! `source`).

use crate::annotate::future::registry;
use crate::buffer::losses::{Reported, Tally};
use crate::callsite::sites;
use crate::output::beginning::beginning;
use crate::output::{CurrentDefinitions, FileOutput, Output, Ring, SessionNames, Snapshot};
#[cfg(os_hooks)]
use std::collections::HashSet;
use trace_format::batch::BatchInfo;
use trace_format::definition::Definition;
#[cfg(os_hooks)]
use trace_format::id::ResourceId;

/// The outputs, and the definitions for one that comes late.
#[derive(Debug)]
pub(crate) struct Outputs {
    /// The current generation, in which everything is written.
    pub(crate) generation: u32,
    outputs: Vec<Output>,
    /// The part of the trace before the one that is written now: threads may still have a few
    /// events for it.
    previous_part: Option<Box<FileOutput>>,
    /// Whether it has got events since the last look.
    previous_part_grew: bool,
    definitions: CurrentDefinitions,
    #[cfg(stacks)]
    interned: crate::output::interned::InternedDefinitions,
    /// How many call sites of those that the program made while it ran are defined.
    sites: usize,
}

impl Outputs {
    /// One output, in the first generation.
    pub(crate) fn new(output: Output) -> Self {
        Self {
            generation: 1,
            outputs: Vec::from([output]),
            previous_part: None,
            previous_part_grew: false,
            definitions: CurrentDefinitions::default(),
            #[cfg(stacks)]
            interned: Default::default(),
            sites: 0,
        }
    }

    /// One output that writes to a sink.
    #[cfg(all(test, stacks))]
    pub(crate) fn to_sink(sink: crate::output::sink::Sink) -> Self {
        Self::new(Output::File(Box::new(FileOutput::new(sink))))
    }

    /// Adds a definition. It is written before any event that comes after this call.
    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        self.definitions.note(definition);
        self.outputs.iter_mut().for_each(|output| output.define(definition));
        // The previous part only gets what its last events need, and what explains them:
        // generations and states belong to the part that is written now.
        let is_of_both = match definition {
            Definition::Switch { .. }
            | Definition::ThreadEnd { .. }
            | Definition::Stopped { .. }
            | Definition::Stop { .. } => true,
            Definition::FutureState { .. } => false,
            _ => !definition.is_of_moment(),
        };
        if let Some(previous) = self.previous_part.as_mut().filter(|_| is_of_both) {
            previous.define(definition);
        }
    }

    /// Adds definitions of what has been interned, and of call sites that were made, since the last
    /// call.
    pub(crate) fn define_interned(&mut self) {
        self.define_sites();
        #[cfg(stacks)]
        {
            let mut interned = std::mem::take(&mut self.interned);
            interned.define_new(|definition| self.define(definition));
            self.interned = interned;
        }
    }

    /// Gives up the names of resources that are not used any more, unless they are `held`. The ring
    /// keeps their definitions, as its events may use them.
    #[cfg(os_hooks)]
    pub(crate) fn give_up_idle_names(&mut self, held: &HashSet<ResourceId>) {
        use crate::intern::resources::RESOURCES;
        use crate::os::fd;
        self.define_interned();
        let is_held = |id, words: &[u64]| held.contains(&ResourceId(id)) || fd::is_known(id, words);
        let mut given_up = Vec::new();
        RESOURCES.give_up_idle(is_held, |id, words| {
            if let Some(ring) = self.ring_mut() {
                crate::output::interned::define_resource(id, words, |name| ring.keep_name(name));
            }
            given_up.push((id, words.get(..2).unwrap_or_default().to_vec()));
        });
        given_up.iter().for_each(|(id, words)| fd::note_given_up(*id, words));
    }

    /// Adds definitions of call sites that were made since the last call.
    pub(crate) fn define_sites(&mut self) {
        for site in sites::made_from(self.sites) {
            self.define(&site.definition());
            self.sites += 1;
        }
    }

    /// Writes a piece of events behind all definitions so far.
    pub(crate) fn events(&mut self, info: &BatchInfo, payload: &[u8], reported: Reported) {
        // What these events refer to was interned before they were committed.
        self.define_interned();
        for output in &mut self.outputs {
            let is_taken = output.events(info, payload, reported);
            if let (Output::File(file), false) = (output, is_taken) {
                // The rest of a batch that was open when the next part began.
                let previous = self.previous_part.as_mut();
                if previous.is_some_and(|previous| previous.events(info, payload)) {
                    self.previous_part_grew = true;
                } else {
                    file.note_too_late(info);
                }
            }
        }
    }

    /// Writes the gathered definitions.
    pub(crate) fn write_definitions(&mut self) {
        self.outputs.iter_mut().for_each(Output::write_definitions);
    }

    /// Passes everything on to files.
    pub(crate) fn flush(&mut self) {
        self.outputs.iter_mut().for_each(Output::flush);
    }

    /// Adds an output while the session lasts, and gives it the definitions that still hold.
    ///
    /// - `beginning`: what every trace begins with.
    /// - `lost`: what the session has lost so far, as far as the events report it that have been
    ///   passed on.
    pub(crate) fn attach(
        &mut self,
        mut output: Output,
        beginning: &[Definition<'static>],
        lost: &Tally,
    ) {
        if let Some(previous) = &mut self.previous_part {
            previous.end_losses_at(lost);
        }
        output.begin_late(lost);
        beginning.iter().for_each(|definition| output.define(definition));
        self.definitions.for_each(|definition| output.define(definition));
        for site in sites::made_from(0).take(self.sites) {
            output.define(&site.definition());
        }
        #[cfg(stacks)]
        self.interned.define_old(|definition| output.define(definition));
        self.outputs.push(output);
    }

    /// Adds a definition to the output that was added last, and to no other.
    pub(crate) fn define_in_newest(&mut self, definition: &Definition<'_>) {
        if let Some(output) = self.outputs.last_mut() {
            output.define(definition);
        }
    }

    /// Defines all live futures in the output that was added last: the others have them.
    pub(crate) fn define_futures_in_newest(&mut self) {
        registry::for_each(|future| {
            // A future may be new, with a site that was made just before.
            self.define_sites();
            if let Some(output) = self.outputs.last_mut() {
                output.define(future);
            }
        });
    }

    /// The file, if there is one.
    pub(crate) fn file(&mut self) -> Option<&mut FileOutput> {
        self.outputs.iter_mut().find_map(|output| match output {
            Output::File(file) => Some(&mut **file),
            Output::Ring(_) => None,
        })
    }

    /// The ring, if there is one.
    pub(crate) fn ring(&self) -> Option<&Ring> {
        self.outputs.iter().find_map(|output| match output {
            Output::Ring(ring) => Some(&**ring),
            Output::File(_) => None,
        })
    }

    /// Begins the next part of the trace, if the trace has parts and the file can be made. The
    /// previous part is kept until [`Outputs::take_previous_part`].
    pub(crate) fn next_part(&mut self) -> Option<Output> {
        let next = self.file()?.next()?;
        self.previous_part = self.detach_file();
        Some(Output::File(Box::new(next)))
    }

    /// Whether the previous part has got events since the last call. Then a thread that got no
    /// memory for another batch still writes to the one that it had.
    pub(crate) fn take_previous_part_grew(&mut self) -> bool {
        std::mem::take(&mut self.previous_part_grew)
    }

    /// The part of the trace before the one that is written now, if it has not ended yet.
    pub(crate) fn take_previous_part(&mut self) -> Option<Box<FileOutput>> {
        self.previous_part.take()
    }

    /// Removes the file.
    pub(crate) fn detach_file(&mut self) -> Option<Box<FileOutput>> {
        let at = self.outputs.iter().position(|it| matches!(it, Output::File(_)))?;
        match self.outputs.remove(at) {
            Output::File(file) => Some(file),
            Output::Ring(_) => None,
        }
    }

    /// Removes the ring.
    pub(crate) fn detach_ring(&mut self) {
        self.outputs.retain(|output| matches!(output, Output::File(_)));
    }

    /// What the ring holds, as a trace that is yet to be written. `lost`: what the session has
    /// lost.
    pub(crate) fn snapshot(&self, lost: Tally) -> Option<Snapshot> {
        let ring = self.ring()?;
        let for_each = |act: &mut dyn FnMut(&Definition<'_>)| self.for_each_name(act);
        let (beginning, definitions) = (beginning(), &self.definitions);
        let names = SessionNames { beginning, definitions, for_each: &for_each };
        Some(ring.snapshot(&names, lost))
    }

    /// Writes the names anew to the ring's file, if its table of names is full.
    pub(crate) fn renew_names(&mut self) {
        let wants = |output: &Output| matches!(output, Output::Ring(ring) if ring.wants_names());
        let Some(at) = self.outputs.iter().position(wants) else { return };
        let mut output = self.outputs.remove(at);
        if let Output::Ring(ring) = &mut output {
            let for_each = |act: &mut dyn FnMut(&Definition<'_>)| self.for_each_name(act);
            let (beginning, definitions) = (beginning(), &self.definitions);
            ring.renew_names(&SessionNames { beginning, definitions, for_each: &for_each });
        }
        self.outputs.insert(at, output);
    }

    /// Hands out definitions of call sites, of what has been interned, and of live futures.
    fn for_each_name(&self, act: &mut dyn FnMut(&Definition<'_>)) {
        for site in sites::made_from(0).take(self.sites) {
            act(&site.definition());
        }
        #[cfg(stacks)]
        self.interned.define_old(&mut *act);
        registry::for_each(act);
    }

    /// The ring, to add what only the ring has.
    pub(crate) fn ring_mut(&mut self) -> Option<&mut Ring> {
        self.outputs.iter_mut().find_map(|output| match output {
            Output::Ring(ring) => Some(&mut **ring),
            Output::File(_) => None,
        })
    }
}
