//! Names that are written once and then referred to by number.
//!
//! Every table has a limit: call sites that of the trace's own table, texts in events a named
//! limit, beyond which each text is written in full.
//!
//! Elsewhere: how new names get into the file (`packet`).

use trace_analysis::sources;
use trace_format::definition::CallsiteKind;
use trace_format::id::SiteId;
use trace_format::read::{Callsite, Tables};

use super::message::{Interned, InternedData, SourceLocation, TrackEvent};
use crate::hash::FastMap;

/// Maximum number of names of tasks, call sites and the exporter's own that are kept. The format
/// limits each to a few hundred bytes.
const NAMES_MAX: usize = 1 << 16;
/// Maximum number of different texts of arguments that are remembered, to see which come again.
const TEXTS_MAX: usize = 1 << 12;
/// Maximum length of a text of an argument that gets a number; longer ones are written in full.
const TEXT_BYTES_MAX: usize = 128;

/// The label of an event: its name, its category, its place in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) name: Name,
    pub(super) category: Option<u64>,
    pub(super) location: Option<u64>,
}

impl Heading {
    /// Sets the heading of `event`.
    pub(super) fn put(&self, event: &mut TrackEvent) {
        match &self.name {
            Name::Interned(iid) => event.name_iid = Some(*iid),
            Name::Text(text) => event.name = Some(text.to_string()),
        }
        event.category_iids.extend(self.category);
        event.source_location_iid = self.location;
    }
}

/// A name, by number if there was room for one more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    /// Written before.
    Interned(u64),
    /// Written in full.
    Text(Box<str>),
}

impl Default for Name {
    fn default() -> Self {
        Self::Text(Box::default())
    }
}

/// A call site, in the numbers of the sequence.
#[derive(Debug, Default)]
pub(super) struct Site {
    pub(super) heading: Heading,
    /// The numbers of its arguments' names, in order.
    pub(super) arguments: Vec<u64>,
}

/// Texts with numbers, from 1.
#[derive(Debug)]
pub(super) struct Numbered {
    numbers: FastMap<Box<str>, u64>,
    count_max: usize,
}

impl Numbered {
    pub(super) fn new(count_max: usize) -> Self {
        Self { numbers: FastMap::default(), count_max }
    }

    /// The number of `text`; `None` if it is new and the table is full.
    pub(super) fn number(&mut self, text: &str, fresh: &mut Vec<Interned>) -> Option<u64> {
        if let Some(&number) = self.numbers.get(text) {
            return Some(number);
        }
        if self.numbers.len() >= self.count_max {
            return None;
        }
        let number = self.numbers.len() as u64 + 1;
        self.numbers.insert(text.into(), number);
        fresh.push(Interned { iid: Some(number), text: Some(text.to_owned()) });
        Some(number)
    }
}

/// Texts of arguments. The first time, a text is written in full; if it comes again, it gets a
/// number.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    /// 0 for a text that was seen once.
    numbers: FastMap<Box<str>, u64>,
    count: u64,
}

impl Repeated {
    /// The number of `text`, if it came before.
    pub(super) fn number(&mut self, text: &str, fresh: &mut InternedData) -> Option<u64> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        match self.numbers.get_mut(text) {
            Some(0) => {
                self.count += 1;
                let number = self.count;
                self.numbers.insert(text.into(), number);
                let interned = Interned { iid: Some(number), text: Some(text.to_owned()) };
                fresh.debug_annotation_string_values.push(interned);
                Some(number)
            }
            Some(number) => Some(*number),
            None => {
                if self.numbers.len() < TEXTS_MAX {
                    self.numbers.insert(text.into(), 0);
                }
                None
            }
        }
    }
}

/// All tables of the sequence.
#[derive(Debug)]
pub(super) struct Interner<'t> {
    tables: &'t Tables,
    sites: FastMap<SiteId, Site>,
    /// Stands for every id that the trace does not define, so that huge ids need no memory.
    unknown: Site,
    names: Numbered,
    categories: Numbered,
    arguments: Numbered,
    locations: u64,
    pub(super) repeated: Repeated,
    /// Names numbered since the last packet, to be written with the next one.
    pub(super) fresh: InternedData,
}

impl<'t> Interner<'t> {
    pub(super) fn new(tables: &'t Tables) -> Self {
        let mut interner = Self {
            tables,
            sites: FastMap::default(),
            unknown: Site::default(),
            names: Numbered::new(NAMES_MAX),
            categories: Numbered::new(usize::MAX),
            arguments: Numbered::new(usize::MAX),
            locations: 0,
            repeated: Repeated::default(),
            fresh: InternedData::default(),
        };
        interner.unknown.heading.name = Name::Text("unknown call site".into());
        interner
    }

    /// The call site `id`.
    pub(super) fn site(&mut self, id: SiteId) -> &Site {
        self.resolve(id);
        self.sites.get(&id).unwrap_or(&self.unknown)
    }

    /// The call site `id`, the table of argument texts, and where their numbers go.
    pub(super) fn site_and_texts(
        &mut self,
        id: SiteId,
    ) -> (&Site, &mut Repeated, &mut InternedData) {
        self.resolve(id);
        let site = self.sites.get(&id).unwrap_or(&self.unknown);
        (site, &mut self.repeated, &mut self.fresh)
    }

    /// A name that does not come from a call site.
    pub(super) fn name(&mut self, text: &str) -> Name {
        match self.names.number(text, &mut self.fresh.event_names) {
            Some(number) => Name::Interned(number),
            None => Name::Text(text.into()),
        }
    }

    /// A heading that does not come from a call site. Categories are the exporter's own words or
    /// names of call sites, so there are few.
    pub(super) fn heading(&mut self, name: &str, category: &str) -> Heading {
        Heading { name: self.name(name), category: self.category(category), location: None }
    }

    /// The number of an annotation's name: one of the exporter's own words, or the name of a call
    /// site's argument. The trace's tables hold all of those anyway, so this table has no limit of
    /// its own.
    pub(super) fn argument(&mut self, name: &str) -> u64 {
        let fresh = &mut self.fresh.debug_annotation_names;
        self.arguments.number(name, fresh).expect("this table has no limit")
    }

    pub(super) fn category(&mut self, name: &str) -> Option<u64> {
        self.categories.number(name, &mut self.fresh.event_categories)
    }

    #[inline]
    fn resolve(&mut self, id: SiteId) {
        if !self.sites.contains_key(&id)
            && let Some(callsite) = self.tables.callsite(id)
        {
            self.add(callsite);
        }
    }

    #[cold]
    fn add(&mut self, callsite: &Callsite) {
        let name = self.name(&callsite.name);
        let category = self.category(&callsite.module);
        let location = Some(self.location(callsite));
        let arguments = callsite.arguments.iter().map(|(name, _)| self.argument(name)).collect();
        let heading = Heading { name, category, location };
        self.sites.insert(callsite.id, Site { heading, arguments });
    }

    fn location(&mut self, callsite: &Callsite) -> u64 {
        self.locations += 1;
        // For other call sites only the module is known, not the function around them.
        let is_function = matches!(
            callsite.kind,
            CallsiteKind::Function | CallsiteKind::Future | CallsiteKind::Task
        );
        let function = is_function.then(|| format!("{}::{}", callsite.module, callsite.name));
        self.fresh.source_locations.push(SourceLocation {
            iid: Some(self.locations),
            file_name: Some(sources::normal(&callsite.file).into_owned()),
            function_name: function,
            line_number: Some(callsite.line),
        });
        self.locations
    }
}
