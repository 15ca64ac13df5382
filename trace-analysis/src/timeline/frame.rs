//! What is open on a thread.

use trace_format::id::{Open, SiteId, StackId};

use super::activity::Account;
use super::futures::Link;
use super::spent::{Known, Spent};

/// Something open on a thread.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) open: Open,
    pub(crate) begin: u64,
    /// How long it had been open before what is read: `begin` is its first moment then.
    pub(crate) older: u64,
    /// What was known to be spent when it began.
    pub(super) before: Known,
    /// What the thread does in it, of polls and task runs, if that is wanted.
    pub(super) account: Option<Box<Account>>,
    /// What took longest inside, and in that, and so on; empty unless polls are followed.
    pub(crate) chain: Chain,
    /// Of a complete poll: where its future waits.
    pub(crate) waits_at: StackId,
    /// Whether something was recorded inside.
    pub(crate) is_full: bool,
}

impl Frame {
    /// The window begins then: what it has been before is older.
    pub(super) fn begin_window(&mut self, at: u64) {
        let older = at.saturating_sub(self.begin);
        (self.begin, self.older) = (self.begin + older, self.older.saturating_add(older));
        self.before = Known::default();
        if let Some(account) = &mut self.account {
            **account = Account::new(Spent::default());
        }
    }
}

/// Links, mostly none.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "most frames have none, and each word of a frame costs")]
pub(crate) struct Chain(Option<Box<Vec<Link>>>);

impl Chain {
    pub(crate) fn links(&self) -> &[Link] {
        self.0.as_ref().map_or(&[], |links| links.as_slice())
    }

    /// Something is over inside, see [`super::futures::add_link`].
    pub(super) fn add(&mut self, link: Option<Link>, inner: Self) {
        let inner = inner.0.map_or(Vec::new(), |links| *links);
        let links = self.0.get_or_insert_default();
        super::futures::add_link(links, link, inner);
    }
}

/// A complete region that tells nothing but its times, as most do: it is no frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    pub(super) site: SiteId,
    pub(super) begin: u64,
}
