//! Where each record is kept.

use crate::domain::ids::AccountId;
use crate::store::Key;

const TALLY: &str = "tally";

pub(super) fn account(id: &AccountId) -> Key {
    Key::text(id.as_str())
}

/// In `sub_accounts`: the rows that lead from a main account to its sub-accounts.
pub(super) fn sub_account(main: &AccountId, sub: &AccountId) -> Key {
    Key::build().text(main.as_str()).text(sub.as_str()).finish()
}

pub(super) fn sub_accounts_of(main: &AccountId) -> Key {
    Key::text(main.as_str())
}

/// In `index`.
pub(super) fn tally(main: &AccountId) -> Key {
    Key::build().text(TALLY).text(main.as_str()).finish()
}
