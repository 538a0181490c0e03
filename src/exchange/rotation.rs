//! Keys and secrets of configurations that should have been replaced: a gauge all the time, and a warning a day and node.

use super::Context;
use crate::config::Issuer;
use crate::host::WriteError;
use crate::shared_record::place::{self, Found};
use crate::telemetry::rfc3339;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// Looks over the issuers in use.
pub(super) fn check(zone: &str, cx: &Context<'_>) {
    for issuer in cx.worker.issuers_in_use() {
        let lives = issuer.keys.lives();
        if !lives.iter().any(|(_, life)| life.has_dates()) {
            continue;
        }
        let overdue: Vec<_> = lives.iter().filter(|(_, life)| life.is_overdue(cx.now)).collect();
        let count = u64::try_from(overdue.len()).unwrap_or(u64::MAX);
        cx.worker.telemetry.keys_to_rotate(cx.metrics, &issuer.issuer, count);
        if !overdue.is_empty() && is_first_today(zone, &issuer, cx) {
            for (key, life) in overdue {
                let ends = match life.not_after {
                    Some(end) if !life.is_on(cx.now) => format!("it ended at {} and is not used", rfc3339(end)),
                    Some(end) => format!("it ends at {}", rfc3339(end)),
                    None => "it has no end".to_owned(),
                };
                log::warn!("issuer {}: {key} should have been replaced; {ends}", issuer.issuer);
            }
        }
    }
}

/// Whether no worker of the node has warned of this issuer today. Where shared data fails, each worker warns once.
fn is_first_today(zone: &str, issuer: &Issuer, cx: &Context<'_>) -> bool {
    let today = cx.now.0 / DAY_MILLIS;
    if !cx.worker.warns_first(issuer.id, today) {
        return false;
    }
    let (store, key) = (cx.store, format!("{zone}/rotate:{}", issuer.issuer));
    let today = today.to_be_bytes();
    let mut is_told = false;
    let found = place::find(store, &key, &mut |day, _| {
        is_told = day == today;
        day.len() == today.len()
    });
    match found {
        Ok(Found::Value(_)) if is_told => false,
        Ok(found) => found.place().write(store, &key, &today) != Err(WriteError::Changed),
        Err(_) => true,
    }
}
