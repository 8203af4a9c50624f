//! Overrides that are made within a larger change: all of one account, under its one tally.

use super::subject;
use crate::domain::ids::AccountId;
use crate::services::commit::Change;
use crate::services::records::{Act, OverrideRecord, Tally};
use crate::services::stored::Stored;
use crate::services::{Context, Error, MAX_OVERRIDES, Services, keys};
use crate::store::{Key, Table};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What took the place of an override before its own end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupersededBy {
    #[serde(rename = "override")]
    pub override_id: String,
    /// The raise request that the other one came from.
    pub raise_request: String,
    pub at_ms: i64,
}

/// What becomes of overrides for the same limit that overlap a new one in time.
#[derive(Debug, Clone, Copy)]
pub(in crate::services) enum Overlap<'a> {
    /// They stand in the way.
    Refused,
    /// They end where the new one begins, on account of a raise request.
    Superseded { request: &'a str },
}

/// Overrides of one account, each for a limit of its own.
pub(in crate::services) struct Adding<'a> {
    pub account: &'a AccountId,
    pub made: &'a [(CompactString, OverrideRecord)],
    pub overlap: Overlap<'a>,
}

/// A change with overrides in it.
pub(in crate::services) struct Added {
    pub change: Change,
    /// The ids of those superseded by each that was made.
    pub superseded: Vec<Vec<String>>,
}

impl Services {
    /// Adds overrides to a change, which rests on the account's tally: its turn saves planning in vain.
    ///
    /// Errors: others overlap them and may not be superseded; the account has too many.
    pub(in crate::services) fn add_overrides(
        &self,
        context: &Context,
        mut change: Change,
        adding: &Adding<'_>,
    ) -> Result<Added, Error> {
        let Adding { account, made, overlap } = adding;
        let (tally, tally_revision) = self.tally(account)?;
        let (mut live, over): (Vec<_>, Vec<_>) =
            self.live_overrides(account)?.into_iter().partition(|(_, held)| !held.value.is_over(context.now));
        let mut superseded = Vec::with_capacity(made.len());
        for (id, record) in *made {
            let overlaps =
                |held: &Stored<OverrideRecord>| held.value.key() == record.key() && held.value.overlaps(record);
            let (met, clear): (Vec<_>, Vec<_>) = live.into_iter().partition(|(_, held)| overlaps(held));
            live = clear;
            let mut gone = Vec::new();
            for (other, held) in met {
                let Overlap::Superseded { request } = overlap else {
                    let detail =
                        format!("override `{other}` for the same limit overlaps it in time: revoke that one first");
                    return Err(Error::conflict("override_overlaps", detail));
                };
                let by = SupersededBy {
                    override_id: id.to_string(),
                    raise_request: (*request).to_owned(),
                    at_ms: context.now,
                };
                change = supersede(context, change, (&other, &held), (record, by))?;
                gone.push(other);
            }
            superseded.push(gone);
        }
        if live.len() + made.len() > MAX_OVERRIDES {
            return Err(Error::TableFull { what: "overrides of one account", most: MAX_OVERRIDES });
        }
        let counted = Tally { overrides_made: tally.overrides_made + made.len() as u64, ..tally };
        for (id, record) in *made {
            change = change
                .put(Table::Overrides, Key::text(id), record)?
                .put(Table::Index, keys::override_of(account, id), json!({}))?
                .put(Table::Index, keys::live_override(account, id), json!({}))?;
        }
        for (ended, _) in over {
            change = change.delete(Table::Index, keys::live_override(account, &ended));
        }
        // ORDER: after all that it counts: whoever reads the new tally first reads the new overrides then.
        let change = change.expect(Table::Index, keys::tally(account), tally_revision).put(
            Table::Index,
            keys::tally(account),
            counted,
        )?;
        Ok(Added { change, superseded })
    }
}

/// Ends an override at once, or where the new one begins if it holds until then.
fn supersede(
    context: &Context,
    change: Change,
    (id, held): (&str, &Stored<OverrideRecord>),
    (new, by): (&OverrideRecord, SupersededBy),
) -> Result<Change, Error> {
    let start = new.starts_at_ms.unwrap_or(new.made.at_ms);
    let holds_until_then = start > context.now && held.value.starts_at_ms.is_none_or(|from| from < start);
    let reason = format!("superseded by {} of {}", by.override_id, by.raise_request);
    let mut after = OverrideRecord { superseded_by: Some(by), ..held.value.clone() };
    let change = change.subject(subject(id)).expect(Table::Overrides, Key::text(id), Some(held.revision));
    let change = if holds_until_then {
        after.expires_at_ms = Some(start);
        change
    } else {
        after.revoked = Some(Act::of(context, &reason));
        change.delete(Table::Index, keys::live_override(&held.value.account, id))
    };
    change.put(Table::Overrides, Key::text(id), &after)
}
