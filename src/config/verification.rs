//! How much work is done for forged tokens.

/// What verifications that fail may cost a worker, and one client address of it; a unit is a signature on P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verification {
    /// For all clients of the worker together.
    pub worker: Allowance,
    /// For each address.
    pub address: Allowance,
}

/// What may be used at once, and what comes back with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowance {
    /// Units that come back each second.
    pub per_second: u32,
    /// Units that may be used at once.
    pub burst: u32,
}
