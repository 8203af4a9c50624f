//! Who may do what: one table of roles and actions.

use serde::{Deserialize, Serialize};

/// What an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Viewer,
    Support,
    Reviewer,
    Publisher,
    Owner,
}

/// What an operation is, as far as roles go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// What concerns the one who is logged in.
    Own,
    Read,
    Decide,
    Accounts,
    Clamps,
    Overrides,
    /// The customer's part of raise requests.
    Ask,
    /// The reviewer's part of them.
    Answer,
    Policies,
    /// Of what others asked for; the role must suffice for that too.
    Approve,
    Money,
    Credentials,
    /// Making the ones that may do the rest; the setup token may too.
    Grant,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Support, Self::Reviewer, Self::Publisher, Self::Owner];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Support => "support",
            Self::Reviewer => "reviewer",
            Self::Publisher => "publisher",
            Self::Owner => "owner",
        }
    }

    /// The role that is written so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    #[must_use]
    pub const fn may(self, action: Action) -> bool {
        match action {
            Action::Own | Action::Read => true,
            Action::Decide => !matches!(self, Self::Viewer),
            Action::Accounts | Action::Ask => matches!(self, Self::Support | Self::Reviewer | Self::Owner),
            Action::Clamps => !matches!(self, Self::Viewer),
            Action::Overrides | Action::Answer => matches!(self, Self::Reviewer | Self::Owner),
            Action::Policies => matches!(self, Self::Publisher | Self::Owner),
            Action::Approve => matches!(self, Self::Reviewer | Self::Publisher | Self::Owner),
            Action::Money | Action::Credentials | Action::Grant => matches!(self, Self::Owner),
        }
    }
}

impl Action {
    pub const ALL: [Self; 13] = [
        Self::Own,
        Self::Read,
        Self::Decide,
        Self::Accounts,
        Self::Clamps,
        Self::Overrides,
        Self::Ask,
        Self::Answer,
        Self::Policies,
        Self::Approve,
        Self::Money,
        Self::Credentials,
        Self::Grant,
    ];

    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Own => "see who one is, log out",
            Self::Read => "read everything but credentials and the security log",
            Self::Decide => "ask for decisions, end reservations",
            Self::Accounts => "create, change, suspend and resume accounts; caps",
            Self::Clamps => "set and remove clamps",
            Self::Overrides => "overrides, pinned tiers, resets of usage",
            Self::Ask => "file raise requests for customers, reply, accept, decline and withdraw in their name",
            Self::Answer => "take up, ask back, offer, approve and deny raise requests of others; their notes",
            Self::Policies => "publish and activate policies, change a tier's quota",
            Self::Approve => "approve or reject what another asked for, where one may do it oneself",
            Self::Money => "record payments, manage billing sources",
            Self::Credentials => "see, change and revoke operators and API keys; the security log",
            Self::Grant => "make operators and API keys",
        }
    }

    /// Who may: for errors.
    #[must_use]
    pub fn roles(self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| role.may(self)).collect()
    }
}

/// The table of roles and actions in Markdown.
#[must_use]
pub fn table() -> String {
    let row = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut table = row([""].into_iter().chain(Role::ALL.map(Role::as_str)).collect());
    table.push_str("|---|---|---|---|---|---|\n");
    for action in Action::ALL {
        let cells = Role::ALL.map(|role| if role.may(action) { "yes" } else { "" });
        table.push_str(&row([action.about()].into_iter().chain(cells).collect()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_table_as_the_code_has_it() {
        let page = include_str!("../../../docs/access.md");

        assert!(page.contains(&table()), "put this into docs/access.md:\n{}", table());
    }

    #[test]
    fn owners_may_everything_and_viewers_change_nothing() {
        assert!(Action::ALL.into_iter().all(|action| Role::Owner.may(action)));
        let of_viewers: Vec<Action> = Action::ALL.into_iter().filter(|action| Role::Viewer.may(*action)).collect();
        assert_eq!(of_viewers, [Action::Own, Action::Read]);
    }
}
