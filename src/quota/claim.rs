//! What becomes of units that a record sends to the engine.
//!
//! As long as nodes push to an engine, the counts of a record are
//!
//! ```text
//! what the engine said at `synced`  +  owed  +  in flight
//! ```
//!
//! and everything that this node admitted is in one of the three. Answers come in any order, so an answer may be older than the
//! one that the record holds. Then the record's counts contain its units already, and lose them from `in flight` alone.

pub(super) use super::in_flight::Carrier;
use super::in_flight::InFlight;
use super::ledger::Ledger;
use super::window::{self, Counts};
use crate::config::Window;
use crate::host::UnixMillis;
use std::cmp::Ordering;
use std::time::Duration;

/// Units that were sent to the engine for a record.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    carrier: Carrier,
    pub units: u32,
    /// The record as it was left when they were sent.
    left: Ledger,
}

impl Claim {
    /// Takes a record's debt, for a push. What was lost on the way to the engine is owed again. `at` is the time by the node's
    /// clock, `now` by the engine's.
    pub(super) fn push(mut record: Ledger, now: UnixMillis, at: UnixMillis, lost_after: Duration) -> (Ledger, u32) {
        let units = record.owed.saturating_add(record.in_flight.turn(at, lost_after));
        record.in_flight.send(Carrier::Push, units);
        (Ledger { owed: 0, asked: now, ..record }, units)
    }

    /// Charges a record with what a request asks the engine for.
    pub(super) fn ask(mut record: Ledger, units: u32, at: UnixMillis, lost_after: Duration) -> Ledger {
        let lost = record.in_flight.turn(at, lost_after);
        record.in_flight.send(Carrier::Request, units);
        record.charged(units).owing(lost)
    }

    /// Of a record that was `left` with these units in flight.
    pub(super) fn of(carrier: Carrier, left: Ledger, units: u32) -> Self {
        Self { carrier, units, left }
    }

    /// The span of a window that holds its units in `record`. Where it is uncertain, the earlier one, so that nothing is taken
    /// from what counts for longer.
    fn span(&self, window: Window, record: &Ledger) -> u64 {
        let synced = window::span(window, record.synced);
        let of_same = |(other, counts): &(Window, Counts)| (other.length == window.length).then_some(counts.span);
        match self.carrier {
            Carrier::Push => synced,
            Carrier::Request => self.left.windows.iter().find_map(of_same).map_or(synced, |span| span.max(synced)),
        }
    }
}

impl Ledger {
    /// Units that the engine does not know of, or has not said that it does.
    pub(super) fn outstanding(&self) -> u32 {
        self.owed.saturating_add(self.in_flight.total())
    }

    /// The ledger once the engine has answered with its counts of time `told`. They are taken unless the record holds later ones.
    pub(super) fn told(&self, claim: &Claim, counts: &[(Window, Counts)], told: UnixMillis) -> Self {
        let (in_flight, landed) = self.landed(claim);
        let outstanding = self.owed.saturating_add(in_flight.total());
        // Where the record has taken over nothing since the claim, the answer is later than what it holds, whatever the engine's
        // clock says: that has been set back.
        let order = match told.cmp(&self.synced) {
            Ordering::Less if self.synced == claim.left.synced => Ordering::Greater,
            order => order,
        };
        let after = |(window, own): &(Window, Counts)| {
            let kept = own.refunded(claim.span(*window, self), landed);
            let Some((_, engines)) = counts.iter().find(|(other, _)| other.length == window.length) else {
                return (*window, *own);
            };
            let taken = engines.at(*window, told).moved_to(own.span).charged(outstanding);
            let counts = match order {
                Ordering::Greater => taken,
                Ordering::Equal => taken.larger(kept),
                Ordering::Less => kept,
            };
            (*window, counts)
        };
        let windows = self.windows.iter().map(after).collect();
        let synced = if order == Ordering::Less { self.synced } else { told };
        // A debt that begins now is as young as the counts.
        let is_fresh = order == Ordering::Greater && claim.carrier == Carrier::Request && self.owed == 0;
        let asked = if is_fresh { told } else { self.asked };
        Self { windows, synced, asked, in_flight, others: self.others.clone(), ..*self }
    }

    /// The ledger once it is clear that no answer comes, for units that are admitted all the same: they are owed. The engine may
    /// have counted them; then it counts them twice.
    pub(super) fn not_told(&self, claim: &Claim) -> Self {
        let (in_flight, landed) = self.landed(claim);
        let is_same = self.generation == claim.left.generation;
        // The units of a push that were given up are owed already. Where the record was lost and made again, it holds none of them.
        let missing = if is_same && claim.carrier == Carrier::Push { 0 } else { claim.units.saturating_sub(landed) };
        let owed = self.owed.saturating_add(landed).saturating_add(missing);
        Self { in_flight, owed, ..self.clone() }.charged(missing)
    }

    /// The ledger once a request that asked does not pass.
    pub(super) fn withdrawn(&self, claim: &Claim) -> Self {
        let (in_flight, landed) = self.landed(claim);
        let given_back =
            |(window, counts): &(Window, Counts)| (*window, counts.refunded(claim.span(*window, self), landed));
        let windows = self.windows.iter().map(given_back).collect();
        Self { windows, in_flight, others: self.others.clone(), ..*self }
    }

    /// What is in flight without the units of a claim, and how many of them there were.
    fn landed(&self, claim: &Claim) -> (InFlight, u32) {
        let mut in_flight = self.in_flight;
        if self.generation != claim.left.generation {
            return (in_flight, 0);
        }
        let taken = in_flight.take(claim.carrier, claim.left.in_flight.period(), claim.units);
        (in_flight, taken)
    }
}

#[cfg(test)]
mod tests;
