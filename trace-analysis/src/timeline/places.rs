//! Why and where calls wait: told by their stacks, looked up once for each.

use std::collections::HashMap;

use trace_format::definition::ResourceKind;
use trace_format::id::{CallId, OpenCall, ResourceId, StackId};
use trace_format::read::Tables;

use crate::hash::FastMap;
use crate::reason::{Reason, Why, site, why};
use crate::symbols::{Frame, Symbols};

/// Maximum number of calls that are remembered with their reasons.
const WHYS_MAX: usize = 1 << 17;

/// A place in the program: what people see of it, as one line of a generic function has many
/// addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A function, its file, a line.
    Line(String, String, u32),
    /// Code without a name.
    Address(u64),
    /// None of the program's code is in the stack: its functions and lines, innermost first. What
    /// two such stacks have in common says nothing.
    Outside(Vec<(String, u32)>),
}

impl Place {
    /// The place of a stack.
    ///
    /// - `site`: the frame of the program's own code, if there is one.
    pub(crate) fn of(site: Option<&Frame<'_>>, frames: &[Frame<'_>]) -> Self {
        match site {
            Some(site) if site.named => {
                Self::Line(site.name.to_string(), site.file.to_owned(), site.line)
            }
            Some(site) => Self::Address(site.address),
            None => {
                let all = frames.iter().map(|frame| (frame.name.to_string(), frame.line));
                Self::Outside(all.collect())
            }
        }
    }
}

/// What is known of the stacks.
#[derive(Debug)]
pub(super) struct Places<'f> {
    tables: &'f Tables,
    symbols: &'f Symbols,
    /// By the call, the kind of resource and the stack: nothing else tells why.
    whys: FastMap<(CallId, Option<ResourceKind>, StackId), (Why, StackId)>,
    /// Of each place in the program where threads wait, the first stack that was seen.
    places: HashMap<(Reason, Place), StackId>,
    resources: Resources,
    /// Calls that were looked up lately, by the low bits of what they are about.
    recent: Vec<Option<(OpenCall, Meaning)>>,
}

/// Number of calls that are found without a search; a power of two.
const RECENT_MAX: usize = 64;

/// What is known of a call: why it waits, one stack for its place, one resource for all that mean
/// the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning {
    pub(super) why: Why,
    pub(super) place: StackId,
    pub(super) resource: ResourceId,
}

impl<'f> Places<'f> {
    pub(super) fn new(tables: &'f Tables, symbols: &'f Symbols) -> Self {
        let (whys, recent) = (FastMap::default(), vec![None; RECENT_MAX]);
        let resources = Resources::new(tables);
        Self { tables, symbols, whys, places: HashMap::new(), resources, recent }
    }

    /// What is known of a call.
    #[inline]
    pub(super) fn meaning(&mut self, open: OpenCall) -> Meaning {
        let slot = open.resource.0 ^ open.stack.0 ^ u32::from(open.call.0);
        let slot = slot as usize % RECENT_MAX;
        match self.recent[slot] {
            Some((recent, meaning)) if recent == open => meaning,
            _ => self.look_up(open, slot),
        }
    }

    #[inline(never)]
    fn look_up(&mut self, open: OpenCall, slot: usize) -> Meaning {
        let (kind, resource) = match self.resources.get(open.resource) {
            Some((kind, same)) => (Some(kind), same),
            None => (None, open.resource),
        };
        let (why, place) = self.why(open, kind);
        let meaning = Meaning { why, place, resource };
        self.recent[slot] = Some((open, meaning));
        meaning
    }

    /// Why a thread waits in a call, and one stack for all that wait at the same place of the
    /// program for the same reason.
    ///
    /// - `kind`: of what the call is about; `None` if the trace does not say.
    fn why(&mut self, open: OpenCall, kind: Option<ResourceKind>) -> (Why, StackId) {
        let key = (open.call, kind, open.stack);
        if let Some(known) = self.whys.get(&key) {
            return *known;
        }
        let stack = self.tables.stacks.get(&open.stack);
        let frames = stack.map(|stack| self.symbols.shown(&stack.addresses)).unwrap_or_default();
        let mut why = why(open.call, kind, &frames);
        // Begun before the trace: an address alone tells nobody anything, so these are together.
        why.named &= stack.is_some() || why.reason != Reason::Futex;
        let place = match stack {
            Some(_) => {
                let place = (why.reason, Place::of(site(&frames), &frames));
                *self.places.entry(place).or_insert(open.stack)
            }
            None => open.stack,
        };
        if self.whys.len() >= WHYS_MAX {
            self.whys.clear();
        }
        self.whys.insert(key, (why, place));
        (why, place)
    }
}

/// What is looked up with every call about what it is about: its kind, and one for all that mean
/// the same, such as a file that was opened again.
#[derive(Debug)]
struct Resources {
    /// By id, while ids are not much more than there are resources.
    dense: Vec<Option<(ResourceKind, ResourceId)>>,
    /// The others.
    sparse: FastMap<ResourceId, (ResourceKind, ResourceId)>,
}

impl Resources {
    fn new(tables: &Tables) -> Self {
        let same = same_resources(tables);
        let dense_max = (4 * tables.resources.len() + 1024) as u32;
        let (mut dense, mut sparse) = (Vec::new(), FastMap::default());
        for (&id, resource) in &tables.resources {
            let told = (resource.kind, same.get(&id).copied().unwrap_or(id));
            if id.0 >= dense_max {
                sparse.insert(id, told);
                continue;
            }
            if dense.len() <= id.0 as usize {
                dense.resize(id.0 as usize + 1, None);
            }
            dense[id.0 as usize] = Some(told);
        }
        Self { dense, sparse }
    }

    fn get(&self, id: ResourceId) -> Option<(ResourceKind, ResourceId)> {
        match self.dense.get(id.0 as usize) {
            Some(told) => *told,
            None => self.sparse.get(&id).copied(),
        }
    }
}

/// Of resources that mean the same the first one: of a file that was opened again, and of what had
/// been given up and was named anew.
fn same_resources(tables: &Tables) -> FastMap<ResourceId, ResourceId> {
    let mut all: Vec<_> = tables
        .resources
        .iter()
        .map(|(id, resource)| {
            let is_file = resource.kind == ResourceKind::File && !resource.name.is_empty();
            // A file has another descriptor each time.
            let value = if is_file { 0 } else { resource.value };
            ((resource.kind, value, resource.name.as_str()), *id)
        })
        .collect();
    all.sort_unstable();
    let mut same = FastMap::default();
    for pair in all.chunk_by(|a, b| a.0 == b.0) {
        let [(_, first), later @ ..] = pair else { continue };
        same.extend(later.iter().map(|(_, id)| (*id, *first)));
    }
    same
}
