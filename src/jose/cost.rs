//! What looking at a signature costs.

use std::iter::Sum;
use std::ops::AddAssign;

/// What looking at signatures costs. Measured in WebAssembly, microseconds: Ed25519 110, RSA of 2048, 3072 and 4096 bits 355, 815 and
/// 1415, P-256 640, P-384 2750. An HMAC takes less than any of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// Quarters of what a signature on P-256 costs.
    quarters: u32,
}

impl Cost {
    /// HMAC, as far as it counts at all.
    pub const HMAC: Self = Self { quarters: 1 };
    /// Ed25519.
    pub const ED25519: Self = Self { quarters: 1 };
    /// P-256: the unit that budgets are given in.
    pub const P256: Self = Self { quarters: 4 };
    /// P-384.
    pub const P384: Self = Self { quarters: 16 };
    /// The most that a token may cost: what twenty signatures on P-256 do.
    pub const MAX: Self = Self { quarters: 80 };

    /// RSA grows with the square of the modulus: 2 quarters for 2048 bits, 5 for 3072, 9 for 4096.
    pub fn rsa(bits: u32) -> Self {
        let quarters = u64::from(bits).pow(2) * 9 / (16 << 20);
        Self { quarters: u32::try_from(quarters).unwrap_or(u32::MAX) }
    }

    /// The same in thousandths of a unit.
    pub fn thousandths(self) -> u64 {
        u64::from(self.quarters) * 250
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.quarters = self.quarters.saturating_add(other.quarters);
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |mut sum, cost| {
            sum += cost;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_rsa_keys_cost_more() {
        let cost = |bits| Cost::rsa(bits).thousandths();
        assert_eq!([2048, 2560, 3072, 4096].map(cost), [500, 750, 1250, 2250]);
    }
}
