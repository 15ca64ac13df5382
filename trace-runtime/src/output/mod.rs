//! The collector's one way out: what is to be written goes to every *outlet*, a file or the flight
//! recorder's ring.
//!
//! Outlets come and go while the session lasts; one that comes late is told what lasts: which
//! threads there are, what is mapped, what has been interned.
//!
//! - `beginning`: what every trace begins with.
//! - `outlet`: what a file and the ring make of it; `sink` is the writer behind them.
//! - `rotation`: a trace in parts; `names`: names of functions, when a trace ends.
//! - `interned`: stacks and resources, on their way into a trace.
//!
//! Elsewhere: when to write what (`collect`, and each `source`).

pub(crate) mod beginning;
#[cfg(stacks)]
pub(crate) mod interned;
#[cfg_attr(not(all(feature = "names", stacks)), path = "names/disabled.rs")]
pub(crate) mod names;
pub(crate) mod outlet;
pub(crate) mod rotation;
pub(crate) mod sink;

use crate::annotate::future::living;
use crate::buffer::losses::{Reported, Tally};
use crate::callsite::sites;
use crate::output::outlet::{File, Lasting, Names, Outlet, Ring, Snapshot};
use beginning::beginning;
#[cfg(os_hooks)]
use std::collections::HashSet;
use trace_format::batch::BatchInfo;
use trace_format::definition::Definition;
#[cfg(os_hooks)]
use trace_format::id::ResourceId;

/// Everything on its way out.
#[derive(Debug)]
pub(crate) struct Output {
    /// In which everything is written now.
    pub(crate) generation: u32,
    outlets: Vec<Outlet>,
    /// The part of the trace before the one that is written now: threads may have a few events left
    /// for it.
    leaving: Option<Box<File>>,
    /// It has got events since it was last asked.
    leaving_is_busy: bool,
    lasting: Lasting,
    #[cfg(stacks)]
    interned: crate::output::interned::Interned,
    /// Of those made while the program runs, so many are defined.
    sites: usize,
}

impl Output {
    /// An output in the first generation.
    pub(crate) fn new(outlet: Outlet) -> Self {
        Self {
            generation: 1,
            outlets: Vec::from([outlet]),
            leaving: None,
            leaving_is_busy: false,
            lasting: Lasting::default(),
            #[cfg(stacks)]
            interned: Default::default(),
            sites: 0,
        }
    }

    /// One that writes to a sink alone.
    #[cfg(all(test, stacks))]
    pub(crate) fn to_sink(sink: crate::output::sink::Sink) -> Self {
        Self::new(Outlet::File(Box::new(File::new(sink))))
    }

    /// Adds a definition. It is written before any event that comes after this call.
    pub(crate) fn define(&mut self, definition: &Definition<'_>) {
        self.lasting.note(definition);
        self.outlets.iter_mut().for_each(|outlet| outlet.define(definition));
        // The part before only gets what its last events need: generations and states are of the
        // part that is written now.
        let is_of_moment = matches!(
            definition,
            Definition::Generation { .. }
                | Definition::Clock(_)
                | Definition::ThreadState { .. }
                | Definition::TaskState { .. }
                | Definition::ThreadTime { .. }
                | Definition::FutureState { .. }
                | Definition::Heap { .. }
        );
        if let Some(leaving) = self.leaving.as_mut().filter(|_| !is_of_moment) {
            leaving.define(definition);
        }
    }

    /// Adds definitions of what has been interned since the last time, and of call sites that were
    /// made.
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
    /// may have events that use them.
    #[cfg(os_hooks)]
    pub(crate) fn turn_names(&mut self, held: &HashSet<ResourceId>) {
        use crate::intern::resources::RESOURCES;
        use crate::os::fd;
        self.define_interned();
        let is_held = |id, words: &[u64]| held.contains(&ResourceId(id)) || fd::is_known(id, words);
        let mut given_up = Vec::new();
        RESOURCES.turn(is_held, |id, words| {
            if let Some(ring) = self.ring_mut() {
                crate::output::interned::define_resource(id, words, |name| ring.keep_name(name));
            }
            given_up.push((id, words.get(..2).unwrap_or_default().to_vec()));
        });
        given_up.iter().for_each(|(id, words)| fd::note_given_up(*id, words));
    }

    /// Adds definitions of call sites that were made since the last time.
    pub(crate) fn define_sites(&mut self) {
        for site in sites::made_from(self.sites) {
            self.define(&site.definition());
            self.sites += 1;
        }
    }

    /// Writes a piece of events behind all definitions so far.
    pub(crate) fn events(&mut self, info: &BatchInfo, payload: &[u8], reported: Reported) {
        // What these events name was interned before they were committed.
        self.define_interned();
        for outlet in &mut self.outlets {
            let is_taken = outlet.events(info, payload, reported);
            if let (Outlet::File(file), false) = (outlet, is_taken) {
                // The last of a batch that was open when the next part began.
                let leaving = self.leaving.as_mut();
                if leaving.is_some_and(|leaving| leaving.events(info, payload)) {
                    self.leaving_is_busy = true;
                } else {
                    file.note_too_late(info);
                }
            }
        }
    }

    /// Writes the definitions that wait.
    pub(crate) fn write_definitions(&mut self) {
        self.outlets.iter_mut().for_each(Outlet::write_definitions);
    }

    /// Brings everything to where it goes.
    pub(crate) fn flush(&mut self) {
        self.outlets.iter_mut().for_each(Outlet::flush);
    }

    /// An outlet comes while the session lasts: it is told what lasts.
    ///
    /// - `beginning`: what every trace begins with.
    /// - `lost`: what the session has lost so far, as far as events that were handed out report it.
    pub(crate) fn attach(
        &mut self,
        mut outlet: Outlet,
        beginning: &[Definition<'static>],
        lost: &Tally,
    ) {
        if let Some(leaving) = &mut self.leaving {
            leaving.leave_at(lost);
        }
        outlet.come_late(lost);
        beginning.iter().for_each(|definition| outlet.define(definition));
        self.lasting.tell(|definition| outlet.define(definition));
        for site in sites::made_from(0).take(self.sites) {
            outlet.define(&site.definition());
        }
        #[cfg(stacks)]
        self.interned.define_old(|definition| outlet.define(definition));
        self.outlets.push(outlet);
    }

    /// Tells the outlet that has come last, and no other.
    pub(crate) fn tell_newest(&mut self, definition: &Definition<'_>) {
        if let Some(outlet) = self.outlets.last_mut() {
            outlet.define(definition);
        }
    }

    /// Tells the outlet that has come last of all futures that live: the others know them.
    pub(crate) fn define_futures(&mut self) {
        living::for_each(|future| {
            // It may have come just now, with a site that was made just before.
            self.define_sites();
            if let Some(outlet) = self.outlets.last_mut() {
                outlet.define(future);
            }
        });
    }

    /// The file, if there is one.
    pub(crate) fn file(&mut self) -> Option<&mut File> {
        self.outlets.iter_mut().find_map(|outlet| match outlet {
            Outlet::File(file) => Some(&mut **file),
            Outlet::Ring(_) => None,
        })
    }

    /// The ring, if there is one.
    pub(crate) fn ring(&self) -> Option<&Ring> {
        self.outlets.iter().find_map(|outlet| match outlet {
            Outlet::Ring(ring) => Some(&**ring),
            Outlet::File(_) => None,
        })
    }

    /// The next part of the trace, if there is to be one and it can be made. The part before is
    /// kept until [`Output::take_leaving`].
    pub(crate) fn next_part(&mut self) -> Option<Outlet> {
        let next = self.file()?.next()?;
        self.leaving = self.detach_file();
        Some(Outlet::File(Box::new(next)))
    }

    /// Whether the part before has got events since the last call: some thread that can't have
    /// another batch, for want of memory, still writes into the one it had.
    pub(crate) fn take_leaving_busy(&mut self) -> bool {
        std::mem::take(&mut self.leaving_is_busy)
    }

    /// The part of the trace before the one that is written now, if it has not ended yet.
    pub(crate) fn take_leaving(&mut self) -> Option<Box<File>> {
        self.leaving.take()
    }

    /// Takes the file off.
    pub(crate) fn detach_file(&mut self) -> Option<Box<File>> {
        let at = self.outlets.iter().position(|it| matches!(it, Outlet::File(_)))?;
        match self.outlets.remove(at) {
            Outlet::File(file) => Some(file),
            Outlet::Ring(_) => None,
        }
    }

    /// Takes the ring off.
    pub(crate) fn detach_ring(&mut self) {
        self.outlets.retain(|outlet| matches!(outlet, Outlet::File(_)));
    }

    /// What the ring has, as a trace that is yet to be written. `lost`: what the session has lost.
    pub(crate) fn snapshot(&self, lost: Tally) -> Option<Snapshot> {
        let ring = self.ring()?;
        let tell = |tell: &mut dyn FnMut(&Definition<'_>)| self.tell_names(tell);
        let beginning = beginning();
        let names = Names { beginning, lasting: &self.lasting, tell: &tell };
        Some(ring.snapshot(&names, lost))
    }

    /// Tells the ring's file the names anew, if it has become full of them.
    pub(crate) fn renew_names(&mut self) {
        let wants = |outlet: &Outlet| matches!(outlet, Outlet::Ring(ring) if ring.wants_names());
        let Some(at) = self.outlets.iter().position(wants) else { return };
        let mut outlet = self.outlets.remove(at);
        if let Outlet::Ring(ring) = &mut outlet {
            let tell = |tell: &mut dyn FnMut(&Definition<'_>)| self.tell_names(tell);
            let beginning = beginning();
            ring.renew_names(&Names { beginning, lasting: &self.lasting, tell: &tell });
        }
        self.outlets.insert(at, outlet);
    }

    /// What has been interned, and which futures live.
    fn tell_names(&self, tell: &mut dyn FnMut(&Definition<'_>)) {
        for site in sites::made_from(0).take(self.sites) {
            tell(&site.definition());
        }
        #[cfg(stacks)]
        self.interned.define_old(&mut *tell);
        living::for_each(tell);
    }

    /// The ring, to be told something that only it is to have.
    pub(crate) fn ring_mut(&mut self) -> Option<&mut Ring> {
        self.outlets.iter_mut().find_map(|outlet| match outlet {
            Outlet::Ring(ring) => Some(&mut **ring),
            Outlet::File(_) => None,
        })
    }
}
