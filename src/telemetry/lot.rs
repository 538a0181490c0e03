//! Which requests that pass the audit trail tells of.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// Draws by chance alone. Nothing that a client sends goes into it: who can choose a seed can choose not to be told of.
#[derive(Debug, Default)]
pub struct Lot {
    /// SipHash under a key that the host's randomness gives: what it makes of a count cannot be foreseen.
    hasher: RandomState,
    drawn: Cell<u64>,
}

impl Lot {
    /// Whether a request is drawn, of which `share` are: 0 for none, 1 for all.
    pub fn draw(&self, share: f64) -> bool {
        if share <= 0.0 || share >= 1.0 {
            return share >= 1.0;
        }
        self.drawn.set(self.drawn.get().wrapping_add(1));
        let lot = u32::try_from(self.hasher.hash_one(self.drawn.get()) >> 32).unwrap_or(u32::MAX);
        f64::from(lot) < share * (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_the_share_is_drawn_and_two_workers_draw_otherwise() {
        let (one, other) = (Lot::default(), Lot::default());
        let draws = |lot: &Lot| (0..10_000).map(|_| lot.draw(0.25)).collect::<Vec<_>>();
        let (one, other) = (draws(&one), draws(&other));
        for draws in [&one, &other] {
            let taken = draws.iter().filter(|drawn| **drawn).count();
            assert!((2_200..2_800).contains(&taken), "{taken}");
        }
        assert_ne!(one, other);
        assert!((0..100).all(|_| Lot::default().draw(1.0) && !Lot::default().draw(0.0)));
    }
}
