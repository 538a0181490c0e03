//! Whose use is counted, and under which key.

use super::{StoreFault, slots};
use crate::config::{Per, QuotaPolicy, Window};
use crate::entity::EntityRef;
use crate::host::{SharedData, UnixMillis, WriteError, random};
use crate::identity::Principal;
use crate::record::seal;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::cell::RefCell;
use std::fmt::Write;
use std::time::Duration;

/// How long a worker goes by a secret before it reads it again.
const REREAD: Duration = Duration::from_secs(5);

/// Whom a request may be charged to.
#[derive(Debug, Clone, Copy)]
pub struct Subjects<'a> {
    /// The entity behind the route. Budgets are per entity; routes to the same entity share them.
    pub entity: &'a EntityRef,
    /// The group or user whose ownership let the request pass.
    pub group: Option<&'a EntityRef>,
    /// The caller; without one, all callers without a token are one subject.
    pub principal: Option<&'a Principal>,
    /// The quota tiers that the catalog names.
    pub tiers: Tiers<'a>,
}

/// The quota tiers that the catalog names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tiers<'a> {
    /// Of the group whose ownership let the request pass: how much it may use of whatever it calls.
    pub group: Option<&'a str>,
    /// Of the entity: how much whoever calls it may use.
    pub entity: Option<&'a str>,
}

/// Who is charged under one policy.
#[derive(Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A ref that an operator has written or granted something to; no client chooses it.
    Entity(&'a EntityRef),
    /// A user's ref or a provider's text, which a client may have chosen: the kind of text, whose it is, and the text. The
    /// kind keeps a client's name from being taken for a user's.
    Hashed([&'a str; 3]),
    /// Everyone without a token.
    Anonymous,
}

impl<'a> Subjects<'a> {
    /// Who is charged under `per`: what a token lacks falls back from group to user, and from client to user.
    pub fn subject(&self, per: Per) -> Subject<'a> {
        match per {
            Per::Entity => Subject::Entity(self.entity),
            Per::Group => self.group.map_or_else(|| self.caller(), Subject::Entity),
            Per::User => self.caller(),
            Per::Client => match self.principal.and_then(|p| p.client.as_deref().map(|client| (p, client))) {
                Some((principal, client)) => Subject::Hashed(["client", &principal.issuer, client]),
                None => self.caller(),
            },
        }
    }

    /// The user, whoever issued the token, and an agent's user too; for those that the catalog has no user for, the subject.
    fn caller(&self) -> Subject<'a> {
        let Some(principal) = self.principal else { return Subject::Anonymous };
        match &principal.user {
            Some(user) => Subject::Hashed(["user", "", user.as_str()]),
            None => Subject::Hashed(["subject", &principal.issuer, &principal.subject]),
        }
    }

    /// The windows in force: those that the policy has for the group or the user by name, else for the tier, else its own.
    pub(super) fn windows<'p>(&self, policy: &'p QuotaPolicy) -> &'p [Window] {
        let user = self.principal.and_then(|principal| principal.user.as_ref());
        let named = match policy.per {
            Per::Group => self.group.or(user),
            Per::User => user,
            Per::Client | Per::Entity => None,
        };
        let own = named.and_then(|entity| policy.overrides.get(entity));
        // A record that several groups share has one size, whoever asks.
        let of_group = self.tiers.group.filter(|_| policy.per == Per::Group);
        let by_tier = || of_group.into_iter().chain(self.tiers.entity).find_map(|tier| policy.tiers.get(tier));
        own.or_else(by_tier).unwrap_or(&policy.windows)
    }
}

/// Keys the hash of what clients may choose, so that nobody can aim at another's record: Kong's host compares keys by their
/// CRC32 only. Made up once a zone and kept in shared data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeySecret([u8; 32]);

impl KeySecret {
    /// The zone's secret: what is in shared data, or what this worker is first to put there.
    ///
    /// # Errors
    /// [`StoreFault`] when shared data or the host's randomness fails.
    pub fn obtain(store: &dyn SharedData, zone: &str) -> Result<Self, StoreFault> {
        Self::obtain_or(store, zone, None)
    }

    /// The zone's secret, or `known` put there if there is none.
    fn obtain_or(store: &dyn SharedData, zone: &str, known: Option<Self>) -> Result<Self, StoreFault> {
        let key = format!("{zone}/secret");
        for _ in 0..slots::ROUNDS {
            let (place, secret) = slots::find(store, &key, |secret| secret.try_into().ok().map(Self), |_, _| false)?;
            if let Some(secret) = secret {
                return Ok(secret);
            }
            let secret = known.map_or_else(Self::random, Ok)?;
            let at = place.at(&key);
            if store.set(&at, &seal(&at, &secret.0), place.expect) == Err(WriteError::Failed) {
                return Err(StoreFault::Unavailable);
            }
            // Read back what is there now: another worker may have been first.
        }
        Err(StoreFault::Contended)
    }

    fn random() -> Result<Self, StoreFault> {
        random().map(Self).ok_or(StoreFault::Unavailable)
    }

    fn hash(&self, parts: [&str; 3]) -> String {
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

/// The secrets of the zones that a worker has met.
///
/// A full zone drops what was read least recently, and a worker that starts afterwards makes up another secret: it then
/// counts the same callers under other keys. So each secret is read again every few seconds, which keeps it from being the
/// least recently read, puts it back if it was dropped, and brings workers that differ together again.
#[derive(Default)]
pub struct KeySecrets(RefCell<Vec<(String, KeySecret, UnixMillis)>>);

impl KeySecrets {
    /// The zone's secret.
    ///
    /// # Errors
    /// [`StoreFault`] when it is not known yet and shared data or the host's randomness fails.
    pub fn get(&self, store: &dyn SharedData, zone: &str, now: UnixMillis) -> Result<KeySecret, StoreFault> {
        let find = |(name, secret, read): &(String, KeySecret, UnixMillis)| (name == zone).then_some((*secret, *read));
        let known = self.0.borrow().iter().find_map(find);
        if let Some((secret, read)) = known
            && read <= now
            && now.since(read) < REREAD
        {
            return Ok(secret);
        }
        let known = known.map(|(secret, _)| secret);
        let secret = KeySecret::obtain_or(store, zone, known).or_else(|fault| known.ok_or(fault))?;
        let mut zones = self.0.borrow_mut();
        zones.retain(|(name, ..)| name != zone);
        zones.push((zone.to_owned(), secret, now));
        Ok(secret)
    }
}

/// The key of a policy's record for a subject.
///
/// # Errors
/// Those of `secret`, which is asked for only where it is needed.
pub(super) fn key(
    zone: &str,
    entity: &EntityRef,
    policy: &QuotaPolicy,
    subject: &Subject<'_>,
    secret: &impl Fn() -> Result<KeySecret, StoreFault>,
) -> Result<String, StoreFault> {
    let hash;
    let who = match subject {
        Subject::Entity(entity) => entity.as_str(),
        Subject::Hashed(parts) => {
            hash = secret()?.hash(*parts);
            &hash
        }
        Subject::Anonymous => "anonymous",
    };
    Ok([zone, "/q:", entity.as_str(), ":", &policy.name, ":", policy.per.name(), ":", who].concat())
}

/// Whether a key is that of a quota record in the zone.
pub(super) fn is_quota_of(zone: &str, key: &str) -> bool {
    key.strip_prefix(zone).is_some_and(|rest| rest.starts_with("/q:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PrincipalKind;
    use crate::identity::Groups;
    use crate::identity::claims::Claims;
    use std::collections::{BTreeMap, BTreeSet};

    fn principal(user: Option<&str>, issuer: &str, subject: &str, client: Option<&str>) -> Principal {
        Principal {
            kind: PrincipalKind::User,
            user: user.map(|user| EntityRef::parse_full(user).unwrap()),
            subject: subject.into(),
            agent: None,
            client: client.map(Into::into),
            groups: Groups::Known(Vec::new()),
            issuer: issuer.into(),
            token_id: None,
            expires: UnixMillis(0),
            claims: Claims::parse(b"{}").unwrap(),
        }
    }

    fn key_of(per: Per, group: Option<&str>, principal: Option<&Principal>) -> String {
        let api = EntityRef::parse_full("api:default/payments").unwrap();
        let group = group.map(|group| EntityRef::parse_full(group).unwrap());
        let subjects = Subjects { entity: &api, group: group.as_ref(), principal, tiers: Tiers::default() };
        let policy = QuotaPolicy {
            name: "p".into(),
            per,
            windows: vec![],
            overrides: BTreeMap::new(),
            tiers: BTreeMap::new(),
            cost: BTreeMap::new(),
        };
        key("zone", &api, &policy, &subjects.subject(per), &|| Ok(KeySecret([7; 32]))).unwrap()
    }

    #[test]
    fn what_operators_write_stands_in_keys_and_what_clients_choose_does_not() {
        let ada = principal(Some("user:default/ada"), "https://idp", "s-1", Some("portal"));
        assert_eq!(
            key_of(Per::Group, Some("group:default/a"), Some(&ada)),
            "zone/q:api:default/payments:p:group:group:default/a"
        );
        assert_eq!(key_of(Per::Entity, None, Some(&ada)), "zone/q:api:default/payments:p:entity:api:default/payments");
        for per in [Per::User, Per::Client] {
            let key = key_of(per, None, Some(&ada));
            assert!(!key.contains("ada") && !key.contains("s-1") && !key.contains("portal"), "{key}");
        }
    }

    #[test]
    fn what_a_token_lacks_falls_back_to_the_caller_and_without_one_to_all_of_them() {
        let ada = principal(Some("user:default/ada"), "https://idp", "s-1", None);
        let caller = key_of(Per::User, None, Some(&ada));
        let who = |key: String| key.rsplit(':').next().unwrap().to_owned();
        assert_eq!(who(key_of(Per::Group, None, Some(&ada))), who(caller.clone()));
        assert_eq!(who(key_of(Per::Client, None, Some(&ada))), who(caller));
        for per in [Per::Group, Per::User, Per::Client] {
            assert_eq!(who(key_of(per, None, None)), "anonymous");
        }
    }

    #[test]
    fn a_user_is_one_subject_whoever_issued_the_token_and_nobody_passes_for_another() {
        let users = [
            principal(Some("user:default/ada"), "https://a", "s-1", None),
            principal(Some("user:default/ada"), "https://b", "s-2", None),
        ];
        let key = |principal| key_of(Per::Client, None, Some(principal));
        assert_eq!(key(&users[0]), key(&users[1]));
        let others = [
            principal(None, "https://a", "x", None),
            principal(None, "https://b", "x", None),
            principal(None, "https://a", "s", Some("x")),
            principal(None, "", "user:default/ada", None),
            principal(None, "https://a", "user:default/ada", None),
            principal(None, "https://ax", "", None),
        ];
        let keys: BTreeSet<_> = users.iter().chain(&others).map(key).collect();
        assert_eq!(keys.len(), 1 + others.len());
    }
}
