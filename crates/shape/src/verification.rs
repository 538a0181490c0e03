//! The budget of verifications that fail.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verification {
    pub per_second: u64,
    pub burst: u64,
    pub per_address: PerAddress,
}

/// A unit is a signature on P-256 and takes about a millisecond, so that a flood takes about a tenth of a worker.
impl Default for Verification {
    fn default() -> Self {
        Self { per_second: 100, burst: 200, per_address: PerAddress::default() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PerAddress {
    pub per_second: u64,
    pub burst: u64,
}

impl Default for PerAddress {
    fn default() -> Self {
        Self { per_second: 10, burst: 20 }
    }
}
