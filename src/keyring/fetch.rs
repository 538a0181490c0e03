//! One fetch of a set: of the provider's metadata first, where the keys' place is not known, then of the keys.

use super::RemoteKeySet;
use super::discovery::{self, MAX_DOCUMENT_BYTES};
use super::result::FetchResult;
use crate::config::RemoteSource;
use crate::host::{SharedData, UnixMillis};
use crate::http::{Call, Endpoint, Reply};
use crate::jose::{KeySet, MAX_KEY_SET_BYTES, SkipReason};
use crate::semaphore::Permit;
use crate::shared_record::Lease;
use std::rc::Rc;

/// Leave to fetch a set. Dropping it gives everything back, whether or not an answer came.
pub struct Fetch {
    set: Rc<RemoteKeySet>,
    /// Its place among those who fetch the set.
    permit: Permit,
    /// That it fetches for the node. Without one, it fetches because a request cannot wait for whoever does.
    lease: Option<Lease>,
    step: FetchStep,
}

enum FetchStep {
    /// Asks for the metadata.
    Discover(Endpoint),
    /// Asks for the keys, at a place that the metadata has just named or that was known.
    Keys(Endpoint, Option<String>),
}

/// How a fetch goes on.
pub enum FetchProgress {
    /// Another call.
    Next(Fetch),
    /// It is over.
    Done(FetchResult),
}

impl Fetch {
    pub(super) fn new(set: Rc<RemoteKeySet>, now: UnixMillis, lease: Option<Lease>) -> Self {
        let step = match &set.remote.source {
            RemoteSource::Jwks(endpoint) => FetchStep::Keys(endpoint.clone(), None),
            RemoteSource::Discovery { document, .. } => match set.known_place(now) {
                Some(endpoint) => FetchStep::Keys(endpoint, None),
                None => FetchStep::Discover(document.clone()),
            },
        };
        Self { permit: set.in_flight.take(), set, lease, step }
    }

    /// The set that is fetched.
    pub fn set(&self) -> &Rc<RemoteKeySet> {
        &self.set
    }

    /// What to ask now.
    pub fn call(&self) -> Call {
        let timeout = self.set.remote.fetch.timeout;
        match &self.step {
            FetchStep::Discover(endpoint) => endpoint.get(timeout, MAX_DOCUMENT_BYTES),
            FetchStep::Keys(endpoint, _) => endpoint.get(timeout, MAX_KEY_SET_BYTES),
        }
    }

    /// Takes the answer, `None` where none came. What comes of it in the end is told to every worker of the node.
    pub fn answered(self, store: &dyn SharedData, now: UnixMillis, reply: Option<&Reply>) -> FetchProgress {
        let Self { set, permit, lease, step } = self;
        let body = reply.and_then(Reply::ok);
        let outcome = match step {
            FetchStep::Discover(_) => match place(&set, body) {
                Ok((endpoint, found)) => {
                    return FetchProgress::Next(Self { set, permit, lease, step: FetchStep::Keys(endpoint, found) });
                }
                Err(fault) => Err(fault),
            },
            FetchStep::Keys(_, found) => {
                let cache_control = reply.and_then(|reply| reply.cache_control.as_deref());
                body.ok_or(FetchResult::Failed).and_then(|body| News::read(&set.issuer, body, cache_control, found))
            }
        };
        FetchProgress::Done(set.settle(store, now, lease, outcome))
    }

    /// Whoever needed it is gone: others may fetch at once.
    pub fn leave(self, store: &dyn SharedData, now: UnixMillis) {
        if let Some(lease) = self.lease {
            self.set.shared.leave(store, now, lease);
        }
    }
}

/// Where the keys are, by the metadata. Metadata that cannot be had does not make a place unknown that it named before;
/// metadata that is another issuer's does.
fn place(set: &RemoteKeySet, document: Option<&[u8]>) -> Result<(Endpoint, Option<String>), FetchResult> {
    let source = &set.remote.source;
    let read = document.ok_or(FetchResult::Failed).and_then(|document| discovery::read(source, &set.issuer, document));
    match read {
        Ok(uri) => Ok((discovery::follow(source, &uri)?, Some(uri))),
        Err(fault @ (FetchResult::Failed | FetchResult::Unusable)) => {
            set.last_place().map(|endpoint| (endpoint, None)).ok_or(fault)
        }
        Err(fault) => Err(fault),
    }
}

/// A set that has come.
pub(super) struct News {
    pub keys: Rc<KeySet>,
    pub text: String,
    /// `cache-control`, as sent.
    pub cache_control: Option<String>,
    /// The `jwks_uri` that the metadata has just named.
    pub found: Option<String>,
}

impl News {
    fn read(
        issuer: &str,
        body: &[u8],
        cache_control: Option<&str>,
        found: Option<String>,
    ) -> Result<Self, FetchResult> {
        let keys = KeySet::parse(body).map_err(|_| FetchResult::Unusable)?;
        // Sets commonly have keys for other uses, which nobody needs to hear of. That somebody signs with a broken key they do.
        for key in keys.skipped().iter().filter(|key| key.reason == SkipReason::Weak) {
            log::warn!("keys of issuer {issuer}: {key}; it is left out");
        }
        if keys.is_empty() {
            return Err(FetchResult::Empty);
        }
        let text = String::from_utf8_lossy(body).into_owned();
        Ok(Self { keys: Rc::new(keys), text, cache_control: cache_control.map(str::to_owned), found })
    }
}
