//! Where each record is kept.

use crate::domain::account::LimitKey;
use crate::domain::ids::{AccountId, PaymentRef, PolicyId, SourceId};
use crate::store::Key;

const TALLY: &str = "tally";
const OVERRIDES_OF: &str = "overrides_of";
const LIVE_OVERRIDES: &str = "live_overrides";
const CLAMP_ENDS: &str = "clamp_ends";
const USAGE_RESETS: &str = "usage_resets";
const LEDGER: &str = "ledger";
const LEDGER_BY_TIME: &str = "ledger_by_time";
const DUE_OF: &str = "due_of";
const RAISE_OPEN: &str = "raise_open";
const RAISE_PENDING: &str = "raise_pending";
const RAISE_LAST: &str = "raise_last";
const RAISES_OF: &str = "raises_of";
const RAISE_POOLS: &str = "raise_pools";
const KEY_USED: &str = "key_used";
const OPEN_APPROVALS: &str = "open_approvals";
const BILLING_SOURCE: &str = "billing_source";
const HEAD: &str = "head";
const DOCUMENT: &str = "document";

pub(super) fn account(id: &AccountId) -> Key {
    Key::text(id.as_str())
}

/// In `sub_accounts`: the rows that lead from a main account to its sub-accounts.
pub(super) fn sub_account(main: &AccountId, sub: &AccountId) -> Key {
    Key::build().text(main.as_str()).text(sub.as_str()).finish()
}

/// In `index`.
pub(super) fn tally(main: &AccountId) -> Key {
    Key::build().text(TALLY).text(main.as_str()).finish()
}

pub(super) fn tallies() -> Key {
    Key::text(TALLY)
}

/// In `index`: a row for each override of a main account.
pub(super) fn override_of(main: &AccountId, id: &str) -> Key {
    Key::build().text(OVERRIDES_OF).text(main.as_str()).text(id).finish()
}

pub(super) fn overrides_of(main: &AccountId) -> Key {
    Key::build().text(OVERRIDES_OF).text(main.as_str()).finish()
}

/// In `index`: a row for each override that the engine has, which is all but those revoked or long ended.
pub(super) fn live_override(main: &AccountId, id: &str) -> Key {
    Key::build().text(LIVE_OVERRIDES).text(main.as_str()).text(id).finish()
}

pub(super) fn live_overrides_of(main: &AccountId) -> Key {
    Key::build().text(LIVE_OVERRIDES).text(main.as_str()).finish()
}

/// In `index`: a row for each approval that waits, or has waited until it was over.
pub(super) fn open_approval(id: &str) -> Key {
    Key::build().text(OPEN_APPROVALS).text(id).finish()
}

pub(super) fn open_approvals() -> Key {
    Key::text(OPEN_APPROVALS)
}

pub(super) fn open_approval_in(row: &Key) -> Option<String> {
    let mut parts = row.read();
    parts.text()?;
    parts.text()
}

pub(super) fn live_overrides() -> Key {
    Key::text(LIVE_OVERRIDES)
}

/// The override that an index row of either kind leads to.
pub(super) fn override_in(row: &Key) -> Option<String> {
    let mut parts = row.read();
    parts.text()?;
    parts.text()?;
    parts.text()
}

/// In `index`: the open raise request for a limit of a main account.
pub(super) fn raise_open(main: &AccountId, LimitKey { group, limit }: &LimitKey) -> Key {
    Key::build().text(RAISE_OPEN).text(main.as_str()).text(group.as_str()).text(limit.as_str()).finish()
}

/// In `index`: a row for each raise request that is not closed.
pub(super) fn raise_pending(id: &str) -> Key {
    Key::build().text(RAISE_PENDING).text(id).finish()
}

pub(super) fn raises_pending() -> Key {
    Key::text(RAISE_PENDING)
}

/// In `index`: the last raise request of a main account for a group.
pub(super) fn raise_last(main: &AccountId, group: &PolicyId) -> Key {
    Key::build().text(RAISE_LAST).text(main.as_str()).text(group.as_str()).finish()
}

/// In `index`: a row for each raise request of a main account.
pub(super) fn raise_of(main: &AccountId, id: &str) -> Key {
    Key::build().text(RAISES_OF).text(main.as_str()).text(id).finish()
}

/// In `index`: the last that a rule gave out of the pools of a group.
pub(super) fn raise_pools(group: &PolicyId) -> Key {
    Key::build().text(RAISE_POOLS).text(group.as_str()).finish()
}

pub(super) fn raises_of(main: &AccountId) -> Key {
    Key::build().text(RAISES_OF).text(main.as_str()).finish()
}

/// The last part of a row, which is the raise request that it leads to.
pub(super) fn raise_in(row: &Key) -> Option<String> {
    let mut parts = row.read();
    let mut last = None;
    while let Some(part) = parts.text() {
        last = Some(part);
    }
    last
}

/// In `payments`: one entry of a main account's ledger.
pub(super) fn entry(main: &AccountId, number: u64) -> Key {
    Key::build().text(main.as_str()).u64(number).finish()
}

/// In `payments`: the ledger of a main account.
pub(super) fn entries(main: &AccountId) -> Key {
    Key::text(main.as_str())
}

/// The main account and the number of a ledger entry.
pub(super) fn entry_in(row: &Key) -> Option<(AccountId, u64)> {
    let mut parts = row.read();
    let main = AccountId::parse(&parts.text()?).ok()?;
    Some((main, parts.u64()?))
}

/// In `index`: the end of a main account's ledger.
pub(super) fn ledger_end(main: &AccountId) -> Key {
    Key::build().text(LEDGER).text(main.as_str()).finish()
}

pub(super) fn ledger_ends() -> Key {
    Key::text(LEDGER)
}

/// In `index`: a row for each ledger entry, by the time when it occurred.
pub(super) fn entry_at(occurred_at_ms: i64, main: &AccountId, number: u64) -> Key {
    Key::build().text(LEDGER_BY_TIME).i64(occurred_at_ms).text(main.as_str()).u64(number).finish()
}

pub(super) fn entries_by_time() -> Key {
    Key::text(LEDGER_BY_TIME)
}

/// The rows of [`entry_at`] of a main account at one time.
pub(super) fn entries_at(occurred_at_ms: i64, main: &AccountId) -> Key {
    Key::build().text(LEDGER_BY_TIME).i64(occurred_at_ms).text(main.as_str()).finish()
}

/// Comes before the first row of [`entry_at`] at a time, and after all earlier ones.
pub(super) fn entries_before(occurred_at_ms: i64) -> Key {
    Key::build().text(LEDGER_BY_TIME).i64(occurred_at_ms).finish()
}

/// Reads back the parts of [`entry_at`].
pub(super) fn entry_at_parts(row: &Key) -> Option<(i64, AccountId, u64)> {
    let mut parts = row.read();
    parts.text()?;
    let at = parts.i64()?;
    let main = AccountId::parse(&parts.text()?).ok()?;
    Some((at, main, parts.u64()?))
}

/// In `payment_event_ids` and `payment_ids`.
pub(super) fn payment_ref(id: &PaymentRef) -> Key {
    Key::text(id.as_str())
}

/// In `due`: a main account whose tier changes at a time.
pub(super) fn due(at_ms: i64, main: &AccountId) -> Key {
    Key::build().i64(at_ms).text(main.as_str()).finish()
}

/// Reads back the parts of [`due`].
pub(super) fn due_parts(row: &Key) -> Option<(i64, AccountId)> {
    let mut parts = row.read();
    let at = parts.i64()?;
    Some((at, AccountId::parse(&parts.text()?).ok()?))
}

/// In `index`.
pub(super) fn due_of(main: &AccountId) -> Key {
    Key::build().text(DUE_OF).text(main.as_str()).finish()
}

pub(super) fn dues_of() -> Key {
    Key::text(DUE_OF)
}

/// In `meta`, while the times in `due` are to be worked out anew.
pub(super) fn due_pending() -> Key {
    Key::text("due_pending")
}

/// In `secrets`.
pub(super) fn billing_source(id: &SourceId) -> Key {
    Key::build().text(BILLING_SOURCE).text(id.as_str()).finish()
}

pub(super) fn billing_sources() -> Key {
    Key::text(BILLING_SOURCE)
}

/// Reads back the part of [`billing_source`].
pub(super) fn billing_source_in(key: &Key) -> Option<SourceId> {
    let mut parts = key.read();
    parts.text()?;
    SourceId::parse(&parts.text()?).ok()
}

/// In `index`: when an API key was last used.
pub(super) fn key_used(id: &str) -> Key {
    Key::build().text(KEY_USED).text(id).finish()
}

pub(super) fn keys_used() -> Key {
    Key::text(KEY_USED)
}

/// Reads back the part of [`key_used`].
pub(super) fn key_used_in(row: &Key) -> Option<String> {
    let mut parts = row.read();
    parts.text()?;
    parts.text()
}

/// In `meta`: how far a file was imported.
pub(super) fn import(kind: &str) -> Key {
    Key::build().text("import").text(kind).finish()
}

/// In `index`: when the usage of a main account, or of one group or limit of it, was last reset.
///
/// An empty group or limit stands for all of them.
pub(super) fn usage_reset(main: &AccountId, group: &str, limit: &str) -> Key {
    Key::build().text(USAGE_RESETS).text(main.as_str()).text(group).text(limit).finish()
}

pub(super) fn usage_resets() -> Key {
    Key::text(USAGE_RESETS)
}

/// In `index`: a row for each clamp that ends by itself, the first to end first.
pub(super) fn clamp_end(ends_at_ms: i64, id: &str) -> Key {
    Key::build().text(CLAMP_ENDS).i64(ends_at_ms).text(id).finish()
}

pub(super) fn clamp_ends() -> Key {
    Key::text(CLAMP_ENDS)
}

/// When the clamp ends that such a row leads to, and its id.
pub(super) fn clamp_end_in(row: &Key) -> Option<(i64, String)> {
    let mut parts = row.read();
    parts.text()?;
    Some((parts.i64()?, parts.text()?))
}

/// In `meta`: changed with every clamp that is made or goes, so that two at once cannot both take the last place.
pub(super) fn clamps() -> Key {
    Key::text("clamps")
}

/// In `meta`: which revision is active.
pub(super) fn active() -> Key {
    Key::text("active")
}

/// In `meta`: the numbers of counters' identities under the active revision.
pub(super) fn identities() -> Key {
    Key::text("identities")
}

/// In `policies`: all of a revision but its document, the newest first.
pub(super) fn revision(number: u64) -> Key {
    Key::build().text(HEAD).u64(u64::MAX - number).finish()
}

pub(super) fn revisions() -> Key {
    Key::text(HEAD)
}

/// In `policies`: a revision's document.
pub(super) fn document(revision: u64) -> Key {
    Key::build().text(DOCUMENT).u64(revision).finish()
}

/// In `activations`, the newest first.
pub(super) fn activation(number: u64) -> Key {
    Key::number(u64::MAX - number)
}
