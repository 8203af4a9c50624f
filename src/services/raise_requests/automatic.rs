//! The rules of the active policy answer a request in the commit that files it.
//!
//! No reviewer's ceiling applies, nor two operators: what rules may give is for whoever publishes them to say.
//!
//! INVARIANT: what a rule gives out of a pool rests on all that rules gave out of it before, and on the policy that is
//! active when it is committed.

use super::decide::Giving;
use super::grants::is_partial;
use super::record::{By, GrantRecord, MessageRecord, RequestRecord, StepRecord};
use super::steps::wrong_state;
use super::{NewRequest, Party, Sees};
use crate::domain::ids::PolicyId;
use crate::domain::quantity::MAX_TIME_MS;
use crate::domain::raise_request::{Side, Step};
use crate::domain::raise_rule::{Answer, Clause, RaiseRule};
use crate::services::commit::Change;
use crate::services::evidence::Evidence;
use crate::services::raise_rules::judge;
use crate::services::records::ActiveRecord;
use crate::services::stored::{self, Stored};
use crate::services::turns::Turn;
use crate::services::{Context, Error, Services, keys};
use crate::store::Table;
use compact_str::CompactString;
use serde_json::{Value, json};

/// What an answer rests on, as it was before the evidence was taken.
pub(super) struct Ground {
    active: Option<Stored<ActiveRecord>>,
    /// The revision of the mark of the group's pools.
    pools: Option<u64>,
}

/// A request about to be filed.
pub(super) struct Filing<'a> {
    pub id: &'a str,
    pub record: &'a mut RequestRecord,
    pub evidence: &'a Evidence,
    /// Ids for the overrides that may come of it.
    pub drawn: &'a [CompactString],
}

impl Services {
    /// The one turn to file a request: of all who may be given of the same pools, else of those of one account.
    pub(super) fn turn_to_file(&self, new: &NewRequest) -> Turn<'_> {
        let policy = &self.engine.snapshot().policy;
        let pooled = policy.pools.iter().any(|pool| pool.key.group == new.group);
        let key = match pooled && policy.raise_rules.iter().any(asks_pools) {
            true => keys::raise_pools(&new.group),
            false => keys::tally(&new.account),
        };
        self.turns.wait(Table::Index, &key)
    }

    /// ORDER: before the evidence is taken: if it still is so at the commit, the evidence is still true.
    pub(super) fn ground(&self, group: &PolicyId) -> Result<Ground, Error> {
        let pools = stored::read::<Value>(&*self.store, Table::Index, &keys::raise_pools(group))?;
        Ok(Ground { active: self.active()?, pools: pools.map(|found| found.revision) })
    }

    /// Asks the rules, and does what they answer.
    pub(super) fn answer(
        &self,
        context: &Context,
        change: Change,
        (filing, ground): (Filing<'_>, &Ground),
    ) -> Result<Change, Error> {
        let Filing { id, record, evidence, drawn } = filing;
        let snapshot = self.engine.snapshot();
        let rules = &snapshot.policy.raise_rules;
        let Some(active) = ground.active.as_ref().filter(|_| !rules.is_empty()) else { return Ok(change) };
        // A policy that comes at this very moment is not asked; people answer.
        if [snapshot.revision, evidence.revision] != [active.value.revision; 2] {
            return Ok(change);
        }
        let wanted: Vec<_> = record.limits.iter().map(|asked| (asked.limit.clone(), asked.quota)).collect();
        let verdict = judge(rules, evidence, &wanted);
        let rule = verdict.rule.as_ref().and_then(|id| rules.iter().find(|rule| rule.id == *id));
        record.verdict = Some(verdict);
        let Some(rule) = rule else { return Ok(change) };
        let system = Context::system(context.now);
        let change = change.detail("rule", json!({"id": rule.id, "answer": rule.answer}))?.expect(
            Table::Meta,
            keys::active(),
            Some(active.revision),
        );
        record.take_by_rule(Step::Assign, &system, rule)?;
        match &rule.answer {
            Answer::RequestInfo { text } => {
                record.take_by_rule(Step::RequestInfo, &system, rule)?;
                let (text, written) = (text.clone(), By::of(&system));
                record.messages.push(MessageRecord { from: Side::Rules, text, written });
                Ok(change)
            }
            Answer::Approve { for_ms } => {
                let grants = grants_for(record, *for_ms, context.now);
                let step = match is_partial(record, &grants, context.now) {
                    true => Step::ApprovePartially,
                    false => Step::Approve,
                };
                record.take_by_rule(step, &system, rule)?;
                let group = record.group.clone();
                let change = self.with_granted(&system, change, (record, Giving { id, grants, drawn }))?;
                if !asks_pools(rule) {
                    return Ok(change);
                }
                // ORDER: after the overrides: whoever reads the new mark first counts them then.
                let mark = keys::raise_pools(&group);
                change.expect(Table::Index, mark.clone(), ground.pools).put(Table::Index, mark, json!({"request": id}))
            }
        }
    }
}

impl RequestRecord {
    fn take_by_rule(&mut self, step: Step, system: &Context, rule: &RaiseRule) -> Result<(), Error> {
        let rules = Party { account: None, sides: &[Side::Rules], sees: Sees::All };
        let state = self.state.after(step, Side::Rules).map_err(|_| wrong_state(self, step.as_str(), &rules))?;
        let (done, rule) = (By::of(system), Some(rule.id.clone()));
        self.steps.push(StepRecord { step, state, done, to: None, rule });
        self.state = state;
        Ok(())
    }
}

fn asks_pools(rule: &RaiseRule) -> bool {
    matches!(rule.answer, Answer::Approve { .. }) && rule.when.contains(&Clause::PoolHasRoom)
}

/// All that was asked for, for so long from its start and never longer than was asked for.
fn grants_for(record: &RequestRecord, for_ms: i64, now: i64) -> Vec<GrantRecord> {
    let end = record.starts_at_ms.unwrap_or(now).saturating_add(for_ms).min(MAX_TIME_MS);
    let end = record.expires_at_ms.map_or(end, |asked| asked.min(end));
    let grant =
        |(limit, quota)| GrantRecord { limit, quota, starts_at_ms: record.starts_at_ms, expires_at_ms: Some(end) };
    record.limits.iter().map(|asked| grant((asked.limit.clone(), asked.quota))).collect()
}
