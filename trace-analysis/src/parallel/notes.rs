//! What happened to tasks and futures, on its way from the threads to one place.
//!
//! Regions end on the thread they began on, so each thread's are summed alone. Tasks and futures
//! move between threads, and a thread's batches lie in the file later than they happened. So each
//! reader takes notes; they are sorted, and told up to the time at which the earliest of all
//! batches begins that have not been read yet: before it, nothing is missing any more.

use trace_format::event::{Event, EventKind, Outcome};
use trace_format::id::{FutureId, SiteId, TaskId, ThreadId};

/// One step in the life of a task or a future; times are in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    /// When; of what has a begin and an end, the begin.
    pub(crate) at: u64,
    pub(crate) thread: ThreadId,
    pub(crate) kind: NoteKind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum NoteKind {
    TaskBegin {
        task: TaskId,
        parent: TaskId,
        name: Name,
    },
    TaskEnd {
        task: TaskId,
    },
    TaskRun {
        task: TaskId,
        /// What of it lies in the window.
        inside: u64,
    },
    FutureBegin {
        future: FutureId,
        site: SiteId,
    },
    FutureEnd {
        future: FutureId,
        outcome: Outcome,
    },
    Poll {
        future: FutureId,
        /// When it ended, if it did so in the window.
        end: Option<u64>,
        /// What of it lies in the window.
        inside: u64,
    },
}

/// What a task is called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name {
    /// As its call site.
    Site(SiteId),
    /// By these of the notes' bytes.
    Text { at: u32, bytes: u32 },
}

/// Notes, and the texts they refer to.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) notes: Vec<Note>,
    texts: Vec<u8>,
}

/// So many notes wait for what may have come before them; then all are told, and the few of a
/// thread that is read late come late. A trace of ordinary programs has fewer in a second, which is
/// the longest that a thread's events stay out of the file.
pub(crate) const NOTES_MAX: usize = 1 << 20;

impl Notes {
    pub(crate) fn add(&mut self, at: u64, thread: ThreadId, kind: NoteKind) {
        self.notes.push(Note { at, thread, kind });
    }

    /// Notes what an event says of a task or a future, if it says anything.
    pub(crate) fn step(&mut self, thread: ThreadId, event: &Event<'_>) {
        let kind = match event.kind {
            EventKind::TaskBegin { task, parent, name } => {
                let name = match name.missing() {
                    0 => self.name(name.bytes),
                    _ => self.name(name.readable().as_bytes()),
                };
                NoteKind::TaskBegin { task, parent, name }
            }
            EventKind::TaskBeginSite { task, parent, site, .. } => {
                NoteKind::TaskBegin { task, parent, name: Name::Site(site) }
            }
            EventKind::TaskEnd { task } => NoteKind::TaskEnd { task },
            EventKind::FutureBegin { future, site, .. }
            | EventKind::FutureSpawn { future, site, .. } => NoteKind::FutureBegin { future, site },
            EventKind::FutureEnd { future, outcome, .. } => NoteKind::FutureEnd { future, outcome },
            _ => return,
        };
        self.add(event.ticks.0, thread, kind);
    }

    fn name(&mut self, text: &[u8]) -> Name {
        let (Ok(at), Ok(bytes)) = (u32::try_from(self.texts.len()), u32::try_from(text.len()))
        else {
            return Name::Text { at: 0, bytes: 0 };
        };
        self.texts.extend_from_slice(text);
        Name::Text { at, bytes }
    }

    pub(crate) fn text(&self, at: u32, bytes: u32) -> &[u8] {
        self.texts.get(at as usize..at as usize + bytes as usize).unwrap_or(&[])
    }

    /// Moves all of another's notes here.
    pub(crate) fn append(&mut self, other: &mut Self) {
        for note in other.notes.drain(..) {
            self.carry(note, &other.texts);
        }
        other.texts.clear();
    }

    /// Hands out what happened before `until`, in order, and keeps the rest.
    pub(crate) fn take_until(&mut self, until: u64) -> Self {
        // Each thread's notes are in order already: a sort that sees that is nearly free.
        self.notes.sort_by_key(|note| note.at);
        let until = if self.notes.len() > NOTES_MAX { u64::MAX } else { until };
        let at = self.notes.partition_point(|note| note.at < until);
        let mut taken = std::mem::take(self);
        for note in taken.notes.drain(at..) {
            self.carry(note, &taken.texts);
        }
        taken
    }

    /// Adds a note whose text lies in `texts`.
    fn carry(&mut self, mut note: Note, texts: &[u8]) {
        if let NoteKind::TaskBegin { name, .. } = &mut note.kind
            && let Name::Text { at, bytes } = *name
        {
            let text = texts.get(at as usize..at as usize + bytes as usize);
            *name = self.name(text.unwrap_or(&[]));
        }
        self.notes.push(note);
    }
}
