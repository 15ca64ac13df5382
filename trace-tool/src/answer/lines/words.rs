//! What call sites, threads and resources are called, made once each: to make a name safe to print
//! costs more than all else that a line needs.

use std::collections::HashMap;
use std::rc::Rc;

use trace_export::label::escape;
use trace_format::id::{ResourceId, SiteId, ThreadId};

use super::{MESSAGE_CHARS_MAX, NAMES_MAX};
use crate::label::call;
use crate::label::names::Names;

/// The names of one trace, as lines have them.
#[derive(Debug)]
pub(super) struct Words<'t> {
    names: &'t Names<'t>,
    /// The first is of the call site that was asked for last and that the trace does not define.
    sites: Vec<SiteWords>,
    /// Where each is that the trace defines.
    places: HashMap<SiteId, usize>,
    threads: HashMap<ThreadId, Rc<str>>,
    resources: HashMap<ResourceId, String>,
}

/// What a call site is called.
#[derive(Debug, Default)]
pub(super) struct SiteWords {
    /// For people: its path.
    pub(super) shown: String,
    /// For people: its name alone.
    pub(super) short: String,
    /// For programs: its path as the trace has it, if that defines it.
    pub(super) name: Option<Rc<str>>,
    /// For programs: all that the trace does not define is one, as in every sum.
    pub(super) id: SiteId,
}

/// What a task is called.
#[derive(Clone, Debug)]
pub(super) struct TaskWords {
    /// For people.
    pub(super) shown: Rc<str>,
    /// For programs: as the trace has it.
    pub(super) name: Rc<str>,
}

impl<'t> Words<'t> {
    pub(super) fn new(names: &'t Names<'t>) -> Self {
        let (places, threads, resources) = Default::default();
        Self { names, sites: vec![SiteWords::default()], places, threads, resources }
    }

    pub(super) fn site(&mut self, site: SiteId) -> &SiteWords {
        let known = self.places.get(&site).copied();
        let at = known.unwrap_or_else(|| self.add_site(site));
        &self.sites[at]
    }

    #[cold]
    fn add_site(&mut self, site: SiteId) -> usize {
        let words = SiteWords::of(self.names, site);
        if words.name.is_none() {
            self.sites[0] = words;
            return 0;
        }
        self.sites.push(words);
        self.places.insert(site, self.sites.len() - 1);
        self.sites.len() - 1
    }

    /// A thread's name as the trace has it.
    pub(super) fn thread(&mut self, thread: ThreadId) -> Rc<str> {
        let names = self.names;
        let name = || names.thread_name(thread).into();
        Rc::clone(self.threads.entry(thread).or_insert_with(name))
    }

    /// Appends what a call is about, behind a space; nothing if it is about nothing.
    pub(super) fn push_resource(&mut self, out: &mut String, id: ResourceId) {
        if id == ResourceId(0) {
            return;
        }
        out.push(' ');
        if let Some(known) = self.resources.get(&id) {
            return out.push_str(known);
        }
        let shown = call::resource(self.names.tables(), id).unwrap_or_default();
        out.push_str(&shown);
        if self.resources.len() < NAMES_MAX {
            self.resources.insert(id, shown);
        }
    }
}

impl SiteWords {
    fn of(names: &Names<'_>, site: SiteId) -> Self {
        let defined = names.callsite(site);
        let name: Option<Rc<str>> = defined.map(|site| match site.module.as_str() {
            "" => Rc::from(site.name.as_str()),
            module => Rc::from(format!("{module}::{}", site.name)),
        });
        let id = if defined.is_some() { site } else { SiteId(0) };
        Self { shown: names.site(site), short: names.short_site(site), name, id }
    }
}

impl TaskWords {
    pub(super) fn new(name: &str) -> Self {
        let shown = escape::plain(name, MESSAGE_CHARS_MAX);
        let raw: Rc<str> = name.into();
        let shown = if shown == name { Rc::clone(&raw) } else { shown.into() };
        Self { shown, name: raw }
    }
}
