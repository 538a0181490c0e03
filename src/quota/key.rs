//! Whose use is counted, and under which key.

use super::StoreFault;
use crate::config::{Per, QuotaPolicy, Window};
use crate::entity::EntityRef;
use crate::host::{Expect, SharedData, WriteError};
use crate::identity::Principal;
use crate::record::{self, Found, seal};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt::Write;

/// Whom a request may be charged to.
#[derive(Debug, Clone, Copy)]
pub struct Subjects<'a> {
    /// The entity behind the route. Budgets are per entity; routes to the same entity share them.
    pub entity: &'a EntityRef,
    /// The group or user whose ownership let the request pass.
    pub group: Option<&'a EntityRef>,
    /// The caller; without one, all callers without a token are one subject.
    pub principal: Option<&'a Principal>,
}

/// Who is charged under one policy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    /// A ref from the catalog, which no client chooses.
    Entity(&'a EntityRef),
    /// A provider's text, which a client may have chosen.
    Text(&'a str, &'a str),
    /// Everyone without a token.
    Anonymous,
}

impl<'a> Subjects<'a> {
    /// Who is charged under `per`: what a token lacks falls back from group to user, and from client to user.
    pub(super) fn subject(&self, per: Per) -> Subject<'a> {
        match per {
            Per::Entity => Subject::Entity(self.entity),
            Per::Group => self.group.map_or_else(|| self.caller(), Subject::Entity),
            Per::User => self.caller(),
            Per::Client => match self.principal.and_then(|p| p.client.as_deref().map(|client| (p, client))) {
                Some((principal, client)) => Subject::Text(&principal.issuer, client),
                None => self.caller(),
            },
        }
    }

    /// The user as the catalog knows it, whoever issued the token; else the subject as its issuer does. No issuer is named
    /// by the empty text.
    fn caller(&self) -> Subject<'a> {
        self.principal.map_or(Subject::Anonymous, |principal| match &principal.user {
            Some(user) => Subject::Text("", user.as_str()),
            None => Subject::Text(&principal.issuer, &principal.subject),
        })
    }

    /// The windows in force: those that the policy has for the group or the user by name, else its own.
    pub(super) fn windows<'p>(&self, policy: &'p QuotaPolicy) -> &'p [Window] {
        let user = self.principal.and_then(|principal| principal.user.as_ref());
        let named = match policy.per {
            Per::Group => self.group.or(user),
            Per::User => user,
            Per::Client | Per::Entity => None,
        };
        named.and_then(|entity| policy.overrides.get(entity)).unwrap_or(&policy.windows)
    }
}

/// Keys the hash of what clients may choose, so that nobody can aim at another's record: Kong's host compares keys by their
/// CRC32 only. Made up once a node and kept in shared data.
#[derive(Clone, Copy)]
pub struct KeySecret([u8; 32]);

impl KeySecret {
    /// The node's secret: what is in shared data, or what this worker is first to put there.
    ///
    /// # Errors
    /// [`StoreFault`] when shared data or the host's randomness fails.
    pub fn obtain(store: &dyn SharedData, zone: &str) -> Result<Self, StoreFault> {
        let key = format!("{zone}/secret");
        for _ in 0..super::limiter::ROUNDS {
            let expect = match record::read(store, &key).map_err(|_| StoreFault::Unavailable)? {
                Found::Payload(secret, expect) => match <[u8; 32]>::try_from(secret) {
                    Ok(secret) => return Ok(Self(secret)),
                    Err(_) => expect,
                },
                Found::Damaged(expect) => expect,
                Found::Absent => Expect::Absent,
                Found::OtherKey => return Err(StoreFault::Collision),
            };
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|_| StoreFault::Unavailable)?;
            if store.set(&key, &seal(&key, &secret), expect) == Err(WriteError::Failed) {
                return Err(StoreFault::Unavailable);
            }
            // Read back what is there now: another worker may have been first.
        }
        Err(StoreFault::Contended)
    }

    fn hash(&self, parts: [&str; 2]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part.as_bytes());
        }
        let mut hash = String::with_capacity(32);
        for byte in mac.finalize().into_bytes().iter().take(16) {
            // Writing to a String does not fail.
            let _ = write!(hash, "{byte:02x}");
        }
        hash
    }
}

/// The key of a policy's record for a subject.
pub(super) fn key(
    zone: &str,
    entity: &EntityRef,
    policy: &QuotaPolicy,
    subject: &Subject<'_>,
    secret: Option<&KeySecret>,
) -> String {
    let who = match (subject, secret) {
        (Subject::Entity(entity), _) => entity.to_string(),
        (Subject::Text(issuer, text), Some(secret)) => secret.hash([issuer, text]),
        (Subject::Text(..), None) | (Subject::Anonymous, _) => "anonymous".to_owned(),
    };
    format!("{zone}/q:{entity}:{}:{}:{who}", policy.name, policy.per.name())
}
