//! One reading of a catalog, page by page.

use super::LiveCatalog;
use super::page::{Page, Query};
use crate::catalog::{Builder, Built};
use crate::host::{SharedData, UnixMillis, millis};
use crate::http::{Call, Reply};
use crate::shared_record::Lease;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// Most pages of one reading.
const MAX_PAGES: u32 = 10_000;

/// What a reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadResult {
    /// A catalog, whether or not it has changed.
    Fetched,
    /// No answer.
    NoAnswer,
    /// The service token is not taken.
    Unauthorized,
    /// The service token may not read the catalog.
    Forbidden,
    /// Another status than 200.
    Status(u16),
    /// What is no page of a catalog, or no end of pages.
    Unusable,
    /// A catalog without an entity, which is also what a token without the permission to read gets; the last good one stays.
    Empty,
    /// A catalog that has lost more than half of its entities; it is believed when it says so again.
    Doubtful,
    /// Another worker reads: this one was too slow.
    Overtaken,
    /// It takes longer than a request can wait; ticks go on with it.
    LeftToTicks,
}

impl ReadResult {
    /// The word for it in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::NoAnswer => "no_answer",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Status(_) => "status",
            Self::Unusable => "unusable",
            Self::Empty => "empty",
            Self::Doubtful => "doubtful",
            Self::Overtaken => "overtaken",
            Self::LeftToTicks => "left_to_ticks",
        }
    }
}

impl fmt::Display for ReadResult {
    /// What an operator should know of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetched => f.write_str("fetched"),
            Self::NoAnswer => f.write_str("no answer within `catalog.timeout_ms`"),
            Self::Unauthorized => f.write_str("Backstage does not take `catalog.token` (401)"),
            Self::Forbidden => f.write_str("`catalog.token` may not read the catalog (403)"),
            Self::Status(status) => write!(f, "the answer has status {status}"),
            Self::Unusable => f.write_str("the answer is no page of a catalog, or is too large, or the pages do not end"),
            Self::Empty => f.write_str(
                "the catalog has no entity, or `catalog.token` lacks the permission catalog.entity.read; the last good one stays",
            ),
            Self::Doubtful => {
                f.write_str("the catalog has lost more than half of its entities; it is believed when it says so again")
            }
            Self::Overtaken => f.write_str("another worker reads by now"),
            Self::LeftToTicks => f.write_str("reading it takes longer than a request can wait; it goes on beside requests"),
        }
    }
}

/// Leave to read a catalog. Dropping it gives it back.
pub struct CatalogRead {
    catalog: Rc<LiveCatalog>,
    lease: Lease,
    begun: UnixMillis,
    /// How long whoever began it can wait.
    patience: Option<Duration>,
    builder: Builder,
    query: Query,
    cursor: Option<String>,
    pages: u32,
}

/// How a reading goes on.
pub enum ReadProgress {
    /// Another page.
    Next(Box<CatalogRead>),
    /// It is over.
    Done(ReadResult, Option<Summary>),
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Entities that can be called.
    pub entities: usize,
    /// Groups.
    pub groups: usize,
    /// Pages.
    pub pages: u32,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// Whether anything has changed.
    pub changed: bool,
    /// What the catalog's authors should mend.
    pub faults: Vec<crate::catalog::Fault>,
}

impl CatalogRead {
    pub(super) fn new(
        catalog: Rc<LiveCatalog>,
        lease: Lease,
        begun: UnixMillis,
        patience: Option<Duration>,
    ) -> Box<Self> {
        let source = catalog.source();
        let builder = Builder::new(source.consumers, source.system_consumers, &source.group_annotations);
        Box::new(Self { catalog, lease, begun, patience, builder, query: Query::Groups, cursor: None, pages: 0 })
    }

    /// The catalog that is read.
    pub fn catalog(&self) -> &Rc<LiveCatalog> {
        &self.catalog
    }

    /// What to ask now.
    pub fn call(&self) -> Call {
        self.query.call(self.catalog.source(), self.cursor.as_deref())
    }

    /// Takes the answer, `None` where none came. What comes of it in the end is told to every worker of the node.
    pub fn answered(
        mut self: Box<Self>,
        store: &dyn SharedData,
        now: UnixMillis,
        reply: Option<&Reply>,
    ) -> ReadProgress {
        let page = match page(reply) {
            Ok(page) => page,
            Err(fault) => return self.failed(store, now, fault),
        };
        let (entities, next) = page.into_parts();
        entities.for_each(|entity| self.builder.add(&entity));
        self.pages += 1;
        if self.pages > MAX_PAGES || (next.is_some() && next == self.cursor) {
            return self.failed(store, now, ReadResult::Unusable);
        }
        match (&next, self.query) {
            (None, Query::Entities) => return self.finished(store, now),
            (None, Query::Groups) => self.query = Query::Entities,
            (Some(_), _) => {}
        }
        self.cursor = next;
        if self.patience.is_some_and(|patience| now.since(self.begun) > patience) {
            self.catalog.give_up(store, now, self.lease);
            return ReadProgress::Done(ReadResult::LeftToTicks, None);
        }
        if self.catalog.renew(store, now, &self.lease) {
            return ReadProgress::Next(self);
        }
        ReadProgress::Done(ReadResult::Overtaken, None)
    }

    /// Whoever needed it is gone: others may read at once.
    pub fn leave(self, store: &dyn SharedData, now: UnixMillis) {
        self.catalog.shared.leave(store, now, self.lease);
    }

    fn failed(self, store: &dyn SharedData, now: UnixMillis, fault: ReadResult) -> ReadProgress {
        self.catalog.settle_failure(store, now, self.lease, None);
        ReadProgress::Done(fault, None)
    }

    fn finished(self, store: &dyn SharedData, now: UnixMillis) -> ReadProgress {
        let Self { catalog, lease, begun, builder, pages, .. } = self;
        let before = catalog.in_force(store, now);
        let Built { index, entities, groups, faults } = builder.finish(before.as_deref());
        if let Some((doubt, doubted)) = catalog.doubt(&index, entities) {
            catalog.settle_failure(store, now, lease, doubted.as_ref());
            return ReadProgress::Done(doubt, None);
        }
        let changed = catalog.settle(store, now, lease, begun, (index, entities, groups));
        let millis = millis(now.since(begun));
        ReadProgress::Done(ReadResult::Fetched, Some(Summary { entities, groups, pages, millis, changed, faults }))
    }
}

fn page(reply: Option<&Reply>) -> Result<Page, ReadResult> {
    let reply = reply.ok_or(ReadResult::NoAnswer)?;
    match reply.status {
        200 => Page::read(&reply.body).ok_or(ReadResult::Unusable),
        401 => Err(ReadResult::Unauthorized),
        403 => Err(ReadResult::Forbidden),
        status => Err(ReadResult::Status(status)),
    }
}
