//! Runs the events of a trace through an engine of its own.

use super::answer::{Answer, Body};
use super::facts::{Facts, Known, tier_exists};
use super::payments::Payments;
use super::trace::{BadLine, DecideOp, Event, Op, PaymentOp, Spent};
use crate::domain::account::{MainFacts, Pin};
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::ledger::PaymentKind;
use crate::domain::policy::Policy;
use crate::engine::{Amounts, Costs, Engine, Handle, Options, Request, Reserve, Snapshot};
use crate::policy::Finding;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A policy file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{} is not a valid policy: {}", path.display(), first(findings))]
    Invalid { path: PathBuf, findings: Vec<Finding> },
}

fn first(findings: &[Finding]) -> String {
    let more = findings.len().saturating_sub(1);
    let first = findings.first().map(ToString::to_string).unwrap_or_default();
    if more == 0 { first } else { format!("{first} (and {more} more)") }
}

/// The engine, the accounts and the clock of one trace.
pub struct Runner {
    engine: Engine,
    base: PathBuf,
    facts: Facts,
    payments: Payments,
    /// The reservation that each id of the trace stands for.
    reservations: HashMap<String, Handle>,
    now: i64,
    revision: u64,
}

impl Runner {
    /// Starts under the policy in a file; policies that the trace names are looked for beside it.
    pub fn open(policy_path: &Path) -> Result<Self, OpenError> {
        let policy = read_policy(policy_path)?;
        let base = policy_path.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(Self::new(policy).with_base(base))
    }

    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            engine: Engine::new(Arc::new(policy), Options::default()),
            base: PathBuf::new(),
            facts: Facts::default(),
            payments: Payments::default(),
            reservations: HashMap::new(),
            now: 0,
            revision: 1,
        }
    }

    /// The folder that `file` of a `policy` event is relative to: the trace's.
    #[must_use]
    pub fn with_base(mut self, base: PathBuf) -> Self {
        self.base = base;
        self
    }

    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// One line of JSON in, one line of JSON out.
    ///
    /// Errors: a line that stops the run; it changed nothing.
    pub fn line(&mut self, number: u64, text: &str) -> Result<String, BadLine> {
        let mut line = Vec::new();
        self.event(number, Event::parse(text)?)?.append_to(&mut line);
        line.pop();
        String::from_utf8(line).map_err(|error| BadLine::new(error.to_string()))
    }

    /// Applies one event.
    pub fn event(&mut self, line: u64, event: Event<'_>) -> Result<Answer, BadLine> {
        if event.at_ms < self.now {
            return Err(BadLine::new(format!("`at_ms` goes back: {} after {}", event.at_ms, self.now)));
        }
        let now = event.at_ms;
        let (op, body) = self.apply(event.op, now)?;
        self.now = now;
        Ok(Answer { line, at_ms: now, op, body })
    }

    /// Builds the engine anew from the facts and from the stored form of the usage, as a restart does.
    ///
    /// `stored` keeps what was written so far; it is brought up to date first.
    pub fn rebuild(&mut self, stored: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), BadLine> {
        self.engine.drain_dirty(|_, group| {
            for (key, value) in group {
                match value {
                    Some(value) => stored.insert(key, value),
                    None => stored.remove(&key),
                };
            }
        });
        let before = self.engine.snapshot();
        let policy = Arc::clone(&before.policy);
        self.engine = Engine::with_identities(policy, self.revision, &self.engine.identities(), Options::default());
        self.engine.set_clamps(self.facts.clamps.clone());
        for (id, known) in self.facts.mains_first() {
            self.put(&id, known)?;
        }
        let mut restorer = self.engine.restorer(None);
        for (key, value) in stored.iter() {
            restorer.record(key, value);
        }
        match restorer.finish().0 {
            report if report.damaged == 0 && report.unknown == 0 => Ok(()),
            report => Err(BadLine::new(format!("usage did not come back whole: {report:?}"))),
        }
    }

    fn apply(&mut self, op: Op<'_>, now: i64) -> Result<(&'static str, Body), BadLine> {
        Ok(match op {
            Op::Decide(decide) => ("decide", self.decide(&decide, now)?),
            Op::Settle { reservation, amounts } => ("settle", self.settle(&reservation, amounts, now)?),
            Op::Cancel { reservation } => {
                ("cancel", self.end(&reservation, |engine, handle| engine.cancel(handle, now)))
            }
            Op::Renew { reservation, ttl_ms } => {
                ("renew", self.end(&reservation, |engine, handle| engine.renew(handle, ttl_ms, now)))
            }
            Op::Status { account, resource } => ("status", self.status(&account, &resource, now)),
            Op::Account(account) => {
                let id = account.account.clone();
                let known = self.facts.account(account, &self.engine.snapshot(), now)?;
                self.put(&id, known)?;
                ("account", self.tier(&id, now))
            }
            Op::Pin { account, tier, until_ms } => ("pin", self.pin(&account, tier, until_ms, now)?),
            Op::Override(set) => {
                let account = set.account.clone();
                let facts = self.facts.set_override(set, &self.engine.snapshot())?;
                self.put_main(&account, facts)?;
                ("override", Body::Done)
            }
            Op::Clamp(clamp) => {
                self.facts.set_clamp(clamp, &self.engine.snapshot())?;
                self.engine.set_clamps(self.facts.clamps.clone());
                ("clamp", Body::Done)
            }
            Op::Payment(payment) => self.payment(&payment, now)?,
            Op::Policy { file } => {
                let policy = read_policy(&self.base.join(&*file)).map_err(|error| BadLine::new(error.to_string()))?;
                self.revision += 1;
                self.engine.activate(Arc::new(policy), self.revision);
                ("policy", Body::Done)
            }
        })
    }

    fn decide(&mut self, op: &DecideOp<'_>, now: i64) -> Result<Body, BadLine> {
        self.units_exist(&op.units)?;
        let costs = Costs::new(op.requests, op.tokens, op.units.iter().cloned());
        let id = op.reserve.as_ref().and_then(|reserve| reserve.id.as_ref());
        let request = Request {
            account: &op.account,
            resource: &op.resource,
            costs: &costs,
            reserve: op
                .reserve
                .as_ref()
                .map(|reserve| Reserve { id: id.map(|id| id.as_str()), ttl_ms: reserve.ttl_ms.map(|ttl| ttl.0) }),
            dry_run: op.dry_run,
        };
        Ok(match self.engine.decide(&request, now) {
            Err(error) => Body::NotDecided(error),
            Ok(decision) => {
                if let Some(held) = &decision.reservation {
                    let name = held.id.as_ref().map_or_else(|| held.handle.to_string(), ToString::to_string);
                    self.reservations.insert(name, held.handle.clone());
                }
                Body::Decided { decision: Box::new(decision), dry_run: op.dry_run }
            }
        })
    }

    fn settle(&mut self, reservation: &str, spent: Spent, now: i64) -> Result<Body, BadLine> {
        self.units_exist(&spent.units)?;
        let amounts = Amounts::new(spent.requests, spent.tokens, spent.units);
        Ok(self.end(reservation, |engine, handle| engine.settle(handle, &amounts, now)))
    }

    fn end(
        &self,
        reservation: &str,
        act: impl FnOnce(&Engine, &Handle) -> Result<crate::engine::Ended, crate::engine::EndError>,
    ) -> Body {
        let Some(handle) = self.reservations.get(reservation) else {
            return Body::NotEnded(crate::engine::EndError::UnknownReservation);
        };
        match act(&self.engine, handle) {
            Ok(ended) => Body::Ended(Box::new(ended)),
            Err(error) => Body::NotEnded(error),
        }
    }

    fn status(&self, account: &str, resource: &str, now: i64) -> Body {
        match self.engine.status(account, resource, now) {
            Ok(status) => Body::Status(Box::new(status)),
            Err(error) => Body::NoStatus(error),
        }
    }

    fn pin(
        &mut self,
        account: &AccountId,
        tier: Option<PolicyId>,
        until_ms: Option<i64>,
        now: i64,
    ) -> Result<Body, BadLine> {
        let facts = self.facts.main(account)?;
        if let Some(tier) = &tier {
            tier_exists(&self.engine.snapshot(), tier)?;
        }
        facts.pin = tier.map(|tier| Pin { tier, until_ms });
        let facts = facts.clone();
        self.put_main(account, facts)?;
        Ok(self.tier(account, now))
    }

    fn payment(&mut self, payment: &PaymentOp, now: i64) -> Result<(&'static str, Body), BadLine> {
        let op = match payment.kind {
            PaymentKind::TopUp => "top_up",
            PaymentKind::Refund => "refund",
            PaymentKind::Chargeback => "chargeback",
        };
        let facts = self.facts.main(&payment.account)?;
        if let Some(timeline) = self.payments.add(payment, now)? {
            facts.payments = Arc::new(timeline);
            let facts = facts.clone();
            self.put_main(&payment.account, facts)?;
        }
        Ok((op, self.tier(&payment.account, now)))
    }

    fn put(&self, id: &AccountId, known: Known) -> Result<(), BadLine> {
        match known {
            Known::Main(facts) => self.put_main(id, facts),
            Known::Sub { main, facts } => {
                self.engine.put_sub(id, &main, facts).map_err(|full| BadLine::new(full.to_string())).map(drop)
            }
        }
    }

    fn put_main(&self, id: &AccountId, facts: MainFacts) -> Result<(), BadLine> {
        self.engine.put_main(id, facts).map_err(|full| BadLine::new(full.to_string())).map(drop)
    }

    fn tier(&self, account: &AccountId, now: i64) -> Body {
        let snapshot = self.engine.snapshot();
        let tier = self.engine.standing(account.as_str(), now).map(|standing| standing.effective);
        Body::Tier(tier.map_or_else(String::new, |tier| snapshot.policy.tiers[tier].id.to_string()))
    }

    fn units_exist(&self, units: &[(PolicyId, u64)]) -> Result<(), BadLine> {
        if units.is_empty() {
            return Ok(());
        }
        let snapshot = self.engine.snapshot();
        match units.iter().find(|(unit, _)| !snapshot.knows_unit(unit.as_str())) {
            None => Ok(()),
            Some((unit, _)) => Err(BadLine::new(unknown_unit(&snapshot, unit))),
        }
    }
}

fn unknown_unit(snapshot: &Snapshot, unit: &PolicyId) -> String {
    let known: Vec<&str> = snapshot.policy.units.iter().map(|unit| unit.id.as_str()).collect();
    format!("unit {unit:?} does not exist; the active policy has {}", known.join(", "))
}

/// Reads and checks a policy file.
pub fn read_policy(path: &Path) -> Result<Policy, OpenError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| OpenError::Unreadable { path: path.to_path_buf(), source })?;
    match crate::policy::parse(&text) {
        Ok(parsed) => Ok(parsed.policy),
        Err(findings) => Err(OpenError::Invalid { path: path.to_path_buf(), findings }),
    }
}
