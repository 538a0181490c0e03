//! Keys and secrets of configurations that should have been replaced: a gauge all the time, and a warning a day and node.

use super::Around;
use crate::config::Issuer;
use crate::host::{Expect, WriteError};
use crate::record::{self, Found, seal};
use crate::telemetry::rfc3339;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// Looks over the issuers in use.
pub(super) fn check(zone: &str, around: &Around<'_>) {
    for issuer in around.worker.issuers_in_use() {
        let lives = issuer.keys.lives();
        if !lives.iter().any(|(_, life)| life.has_dates()) {
            continue;
        }
        let overdue: Vec<_> = lives.iter().filter(|(_, life)| life.is_overdue(around.now)).collect();
        let count = u64::try_from(overdue.len()).unwrap_or(u64::MAX);
        around.worker.telemetry.keys_to_rotate(around.metrics, &issuer.issuer, count);
        if !overdue.is_empty() && is_first_today(zone, &issuer, around) {
            for (key, life) in overdue {
                let ends = match life.not_after {
                    Some(end) if !life.is_on(around.now) => format!("it ended at {} and is not used", rfc3339(end)),
                    Some(end) => format!("it ends at {}", rfc3339(end)),
                    None => "it has no end".to_owned(),
                };
                log::warn!("issuer {}: {key} should have been replaced; {ends}", issuer.issuer);
            }
        }
    }
}

/// Whether no worker of the node has warned of this issuer today. Where shared data fails, each worker warns once.
fn is_first_today(zone: &str, issuer: &Issuer, around: &Around<'_>) -> bool {
    let today = around.now.0 / DAY_MILLIS;
    if !around.worker.warns_first(issuer.id, today) {
        return false;
    }
    let (store, key) = (around.store, format!("{zone}/rotate:{}", issuer.issuer));
    let expect = match record::read(store, &key) {
        Ok(Found::Payload(day, _)) if day == today.to_be_bytes() => return false,
        Ok(Found::Payload(_, expect) | Found::Damaged(expect)) => expect,
        Ok(Found::Absent) => Expect::Absent,
        Ok(Found::OtherKey) | Err(_) => return true,
    };
    store.set(&key, &seal(&key, &today.to_be_bytes()), expect) != Err(WriteError::Changed)
}
