//! Requests: charged to what the node knows, or to the engine.

use super::bill::{self, Bill};
use super::protocol::{Asking, EngineError, Mode};
use super::{EngineState, Heard, apart};
use crate::config::Synchronise;
use crate::host::{SharedData, UnixMillis};
use crate::http::{Call, Reply};
use crate::quota::account::{Account, ChargeOutcome, Read};
use crate::quota::claim::{Carrier, Claim};
use crate::quota::ledger::Ledger;
use crate::quota::{Charge, limiter};

/// What a request is charged by.
pub enum Begun {
    /// By what the node knows, at once.
    Charged(Charge),
    /// By the engine, which has to be asked.
    Ask(Ask),
    /// The engine is left alone, for it failed a moment ago.
    Unasked,
}

/// A request's question to the engine.
pub struct Ask {
    asking: Asking,
    claims: Claims,
}

/// What a request that asks has charged the node's records with meanwhile; nothing in exact mode.
#[derive(Default)]
pub struct Claims(Vec<Claim>);

/// What an answer leads to.
pub enum Answered {
    /// Another question.
    Ask(Ask),
    /// The engine has charged the request, or has no room for it.
    Charged(Charge),
    /// No answer. What was claimed is to be charged by the node alone, or withdrawn.
    Failed(EngineError, Claims),
}

impl EngineState {
    /// Charges a bill by what the node knows, or begins to ask.
    pub fn begin(&self, bill: &Bill, store: &dyn SharedData, now: UnixMillis) -> Begun {
        if self.engine.synchronise == Synchronise::Exact {
            return self.ask(bill, now, || Ok(Claims::default()));
        }
        let time = self.time(now);
        let accounts = bill.accounts(store, time);
        let reads = match bill::read(&accounts) {
            Ok(reads) => reads,
            Err(fault) => return Begun::Charged(Charge::StoreFailed(fault)),
        };
        if reads.iter().all(|read| self.is_in_step(&read.ledger, time)) && self.note(bill, false, now) {
            return Begun::Charged(limiter::charge_read(&accounts, reads));
        }
        let may_ask = |(account, read): (&Account<'_>, &Read)| may_ask(account, &read.ledger);
        if !accounts.iter().zip(&reads).all(may_ask) {
            self.note(bill, true, now);
            if self.breaker.is_open(self.engine.breaker) {
                return Begun::Unasked;
            }
            let ledgers: Vec<_> = reads.into_iter().map(|read| read.ledger).collect();
            return Begun::Charged(Charge::Exhausted(limiter::states(&accounts, &ledgers, false)));
        }
        self.ask(bill, now, || self.claim_all(&accounts, reads, now))
    }

    fn ask(&self, bill: &Bill, now: UnixMillis, claim: impl FnOnce() -> Result<Claims, Charge>) -> Begun {
        if !self.breaker.admits(self.engine.breaker, now) {
            return Begun::Unasked;
        }
        match claim() {
            Ok(claims) => Begun::Ask(Ask { asking: Asking::new(Mode::Try, &bill.lines), claims }),
            Err(charge) => Begun::Charged(charge),
        }
    }

    /// Whether what a record holds of the engine's counts is young enough to go by, and the engine has been told of what this node
    /// admitted not too long ago.
    fn is_in_step(&self, record: &Ledger, time: UnixMillis) -> bool {
        let is_young = |then| apart(time, then) <= self.engine.interval * 2;
        is_young(record.synced) && (record.owed == 0 || is_young(record.asked))
    }

    /// Charges all records with what the engine is asked for, or none.
    fn claim_all(&self, accounts: &[Account<'_>], reads: Vec<Read>, now: UnixMillis) -> Result<Claims, Charge> {
        let mut claims = Vec::with_capacity(reads.len());
        for (account, read) in accounts.iter().zip(reads) {
            let ask = |record| Claim::ask(record, account.cost, now, self.lost_after());
            match account.commit(read, |record| may_ask(account, record), ask) {
                Ok(ChargeOutcome::Charged(left)) => claims.push(Claim::of(Carrier::Request, left, account.cost)),
                Ok(ChargeOutcome::Full(_)) => {
                    withdraw(accounts, &claims);
                    return Err(exhausted(accounts));
                }
                Err(fault) => {
                    withdraw(accounts, &claims);
                    return Err(Charge::StoreFailed(fault));
                }
            }
        }
        Ok(Claims(claims))
    }

    /// The call of a question, made at `now`.
    pub fn asked(&self, ask: &Ask, now: UnixMillis) -> Call {
        self.call(&ask.asking, now)
    }

    /// Takes the answer to a question, `None` where none came.
    pub fn answered(
        &self,
        bill: &Bill,
        ask: Ask,
        store: &dyn SharedData,
        now: UnixMillis,
        reply: Option<&Reply>,
    ) -> Answered {
        let Ask { asking, claims } = ask;
        match self.hear(bill, asking, now, reply) {
            Heard::Ask(asking) => Answered::Ask(Ask { asking, claims }),
            Heard::Done(Ok(told)) => {
                if self.engine.synchronise == Synchronise::Periodic {
                    let has_debt = self.take_over(bill, &claims.0, &told, store);
                    self.note(bill, has_debt, now);
                }
                Answered::Charged(told.tally.charge(&bill.lines, &told.counts))
            }
            Heard::Done(Err(error)) => Answered::Failed(error, claims),
        }
    }

    /// Charges the node's own records, whatever they hold; the engine is told later.
    pub fn charge_alone(&self, bill: &Bill, claims: &Claims, store: &dyn SharedData, now: UnixMillis) -> Charge {
        self.note(bill, true, now);
        let accounts = bill.accounts(store, self.time(now));
        match bill::read(&accounts) {
            Ok(reads) if claims.0.is_empty() => limiter::charge_read(&accounts, reads),
            Ok(reads) => keep(&accounts, claims, reads),
            Err(fault) => Charge::StoreFailed(fault),
        }
    }

    /// Gives back what a request has claimed that does not pass, or passes uncharged.
    pub fn withdraw(&self, bill: &Bill, claims: &Claims, store: &dyn SharedData, now: UnixMillis) {
        withdraw(&bill.accounts(store, self.time(now)), &claims.0);
    }

    /// Gives back what a request has claimed whose client is gone.
    pub fn abandon(&self, bill: &Bill, ask: &Ask, store: &dyn SharedData, now: UnixMillis) {
        self.withdraw(bill, &ask.claims, store, now);
    }

    /// Notes that a bill's records are in use. False where this worker does not keep all of them in step.
    fn note(&self, bill: &Bill, has_debt: bool, now: UnixMillis) -> bool {
        let mut in_use = self.in_use.borrow_mut();
        bill.lines.iter().filter(|line| !in_use.note(line, has_debt, now)).count() == 0
    }
}

/// Whether the engine may be asked to charge a record. If the record has no room, the engine may know better, but not while it
/// does not know of everything that this node admitted.
fn may_ask(account: &Account<'_>, record: &Ledger) -> bool {
    account.fits(record) || record.outstanding() == 0
}

/// What was claimed for the engine stays charged, and is owed to it, if the records have room by what is in them now.
fn keep(accounts: &[Account<'_>], Claims(claims): &Claims, reads: Vec<Read>) -> Charge {
    let kept: Vec<_> = reads.iter().zip(claims).map(|(read, claim)| read.ledger.not_told(claim)).collect();
    let is_within = |(account, record): (&Account<'_>, &Ledger)| account.cost == 0 || record.is_within(account.now);
    if !accounts.iter().zip(&kept).all(is_within) {
        withdraw(accounts, claims);
        return exhausted(accounts);
    }
    let pairs = accounts.iter().zip(claims).zip(kept);
    let keep = |((account, claim), kept): ((&Account<'_>, &Claim), Ledger)| match account.cost {
        0 => kept,
        _ => account.change(|record| record.not_told(claim)).unwrap_or(kept),
    };
    let ledgers: Vec<_> = pairs.map(keep).collect();
    Charge::Charged(limiter::states(accounts, &ledgers, true))
}

fn withdraw(accounts: &[Account<'_>], claims: &[Claim]) {
    for (account, claim) in accounts.iter().zip(claims).filter(|(account, _)| account.cost > 0) {
        account.change(|record| record.withdrawn(claim));
    }
}

/// The answer to a request that has no room, by what the records hold.
fn exhausted(accounts: &[Account<'_>]) -> Charge {
    match bill::read(accounts) {
        Ok(reads) => {
            let ledgers: Vec<_> = reads.into_iter().map(|read| read.ledger).collect();
            Charge::Exhausted(limiter::states(accounts, &ledgers, false))
        }
        Err(fault) => Charge::StoreFailed(fault),
    }
}
