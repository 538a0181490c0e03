//! The budget of verifications that fail.

use super::{Parsed, in_range};
use crate::config::{Allowance, Verification, raw};

/// More than a worker can do in a second: who wants no bound says so.
const MAX: u64 = 100_000;

pub(super) fn verification(raw: &raw::Verification) -> Parsed<Verification> {
    let address = &raw.per_address;
    Ok(Verification {
        worker: allowance(raw.per_second, raw.burst, "verification")?,
        address: allowance(address.per_second, address.burst, "verification.per_address")?,
    })
}

fn allowance(per_second: u64, burst: u64, path: &str) -> Parsed<Allowance> {
    let units = |found, name| {
        let units = in_range(found, 1, MAX, format!("{path}.{name}"))?;
        Ok(u32::try_from(units).unwrap_or(u32::MAX))
    };
    Ok(Allowance { per_second: units(per_second, "per_second")?, burst: units(burst, "burst")? })
}
