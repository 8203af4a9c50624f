//! The life of a raise request: its states, the steps between them, and who may take each.

use serde::{Deserialize, Serialize};

/// Where a raise request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Submitted,
    InReview,
    /// The customer was asked; the clock stands still.
    NeedsInfo,
    CounterOffered,
    Approved,
    PartiallyApproved,
    Denied,
    Withdrawn,
    Expired,
}

/// What moves a raise request from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Somebody takes it up, or over.
    Assign,
    RequestInfo,
    Reply,
    Approve,
    /// Approves less than was asked for.
    ApprovePartially,
    Deny,
    CounterOffer,
    AcceptCounterOffer,
    DeclineCounterOffer,
    Withdraw,
    /// What was asked or offered lay unanswered for too long.
    Expire,
}

/// Whose step it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The customer, or whoever filed the request for them.
    Requester,
    Reviewer,
    /// The active policy's rules, as a request is filed.
    Rules,
    /// Time alone.
    Clock,
}

/// Why a step was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("`{}` is for the {}, not for the {}", .step.as_str(), .step.side().as_str(), .side.as_str())]
    Side { step: Step, side: Side },
    #[error("a request that is `{}` does not take `{}`", .state.as_str(), .step.as_str())]
    State { state: State, step: Step },
}

impl State {
    pub const ALL: [Self; 9] = [
        Self::Submitted,
        Self::InReview,
        Self::NeedsInfo,
        Self::CounterOffered,
        Self::Approved,
        Self::PartiallyApproved,
        Self::Denied,
        Self::Withdrawn,
        Self::Expired,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::InReview => "in_review",
            Self::NeedsInfo => "needs_info",
            Self::CounterOffered => "counter_offered",
            Self::Approved => "approved",
            Self::PartiallyApproved => "partially_approved",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// Closed for good: a new request is made instead.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        match self {
            Self::Submitted | Self::InReview | Self::NeedsInfo | Self::CounterOffered => false,
            Self::Approved | Self::PartiallyApproved | Self::Denied | Self::Withdrawn | Self::Expired => true,
        }
    }

    /// Whether it is the reviewer's turn, so that the time to the answer counts.
    #[must_use]
    pub const fn clock_runs(self) -> bool {
        matches!(self, Self::Submitted | Self::InReview)
    }

    /// The steps that lead on from here, whoever takes them.
    pub fn steps(self) -> impl Iterator<Item = Step> {
        Step::ALL.into_iter().filter(move |step| step.leads_to(self).is_some())
    }

    /// The state after a step of a side.
    ///
    /// Errors: the step is another side's, whatever the state; this state does not have it.
    pub fn after(self, step: Step, side: Side) -> Result<Self, Refused> {
        if !step.is_for(side) {
            return Err(Refused::Side { step, side });
        }
        step.leads_to(self).ok_or(Refused::State { state: self, step })
    }
}

impl Step {
    pub const ALL: [Self; 11] = [
        Self::Assign,
        Self::RequestInfo,
        Self::Reply,
        Self::Approve,
        Self::ApprovePartially,
        Self::Deny,
        Self::CounterOffer,
        Self::AcceptCounterOffer,
        Self::DeclineCounterOffer,
        Self::Withdraw,
        Self::Expire,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assign => "assign",
            Self::RequestInfo => "request-info",
            Self::Reply => "reply",
            Self::Approve => "approve",
            Self::ApprovePartially => "approve-partially",
            Self::Deny => "deny",
            Self::CounterOffer => "counter-offer",
            Self::AcceptCounterOffer => "accept-counter-offer",
            Self::DeclineCounterOffer => "decline-counter-offer",
            Self::Withdraw => "withdraw",
            Self::Expire => "expire",
        }
    }

    /// Whose step it is; rules take some of a reviewer's, in their own name.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::Reply | Self::AcceptCounterOffer | Self::DeclineCounterOffer | Self::Withdraw => Side::Requester,
            Self::Assign
            | Self::RequestInfo
            | Self::Approve
            | Self::ApprovePartially
            | Self::Deny
            | Self::CounterOffer => Side::Reviewer,
            Self::Expire => Side::Clock,
        }
    }

    fn is_for(self, side: Side) -> bool {
        match side {
            Side::Rules => matches!(self, Self::Assign | Self::RequestInfo | Self::Approve | Self::ApprovePartially),
            Side::Requester | Side::Reviewer | Side::Clock => self.side() == side,
        }
    }

    /// The state that follows; None: the step cannot be taken from this one.
    const fn leads_to(self, from: State) -> Option<State> {
        match (self, from) {
            (Self::Assign, State::Submitted | State::InReview)
            | (Self::Reply, State::NeedsInfo)
            | (Self::DeclineCounterOffer, State::CounterOffered) => Some(State::InReview),
            (Self::RequestInfo, State::InReview) => Some(State::NeedsInfo),
            (Self::CounterOffer, State::InReview) => Some(State::CounterOffered),
            (Self::Approve, State::InReview) | (Self::AcceptCounterOffer, State::CounterOffered) => {
                Some(State::Approved)
            }
            (Self::ApprovePartially, State::InReview) => Some(State::PartiallyApproved),
            (Self::Deny, State::InReview) => Some(State::Denied),
            (Self::Withdraw, open) if !open.is_closed() => Some(State::Withdrawn),
            (Self::Expire, State::NeedsInfo | State::CounterOffered) => Some(State::Expired),
            _ => None,
        }
    }
}

impl Side {
    pub const ALL: [Self; 4] = [Self::Requester, Self::Reviewer, Self::Rules, Self::Clock];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requester => "requester",
            Self::Reviewer => "reviewer",
            Self::Rules => "rules",
            Self::Clock => "clock",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{
        Approved, CounterOffered, Denied, Expired, InReview, NeedsInfo, PartiallyApproved, Submitted, Withdrawn,
    };

    /// Every step that there is, with the side that may take it.
    const TABLE: [(State, Step, Side, State); 21] = [
        (Submitted, Step::Assign, Side::Reviewer, InReview),
        (Submitted, Step::Assign, Side::Rules, InReview),
        (Submitted, Step::Withdraw, Side::Requester, Withdrawn),
        (InReview, Step::Assign, Side::Reviewer, InReview),
        (InReview, Step::Assign, Side::Rules, InReview),
        (InReview, Step::RequestInfo, Side::Reviewer, NeedsInfo),
        (InReview, Step::RequestInfo, Side::Rules, NeedsInfo),
        (InReview, Step::Approve, Side::Reviewer, Approved),
        (InReview, Step::Approve, Side::Rules, Approved),
        (InReview, Step::ApprovePartially, Side::Reviewer, PartiallyApproved),
        (InReview, Step::ApprovePartially, Side::Rules, PartiallyApproved),
        (InReview, Step::Deny, Side::Reviewer, Denied),
        (InReview, Step::CounterOffer, Side::Reviewer, CounterOffered),
        (InReview, Step::Withdraw, Side::Requester, Withdrawn),
        (NeedsInfo, Step::Reply, Side::Requester, InReview),
        (NeedsInfo, Step::Withdraw, Side::Requester, Withdrawn),
        (NeedsInfo, Step::Expire, Side::Clock, Expired),
        (CounterOffered, Step::AcceptCounterOffer, Side::Requester, Approved),
        (CounterOffered, Step::DeclineCounterOffer, Side::Requester, InReview),
        (CounterOffered, Step::Withdraw, Side::Requester, Withdrawn),
        (CounterOffered, Step::Expire, Side::Clock, Expired),
    ];

    #[test]
    fn every_state_takes_the_steps_of_the_table_from_their_side_and_no_others() {
        for state in State::ALL {
            for step in Step::ALL {
                for side in Side::ALL {
                    let row = TABLE.iter().find(|row| (row.0, row.1, row.2) == (state, step, side));

                    let after = state.after(step, side);

                    assert_eq!(after.ok(), row.map(|row| row.3), "{state:?} {step:?} {side:?}");
                }
            }
        }
    }

    #[test]
    fn a_closed_request_has_no_steps_and_an_open_one_can_be_withdrawn() {
        for state in State::ALL {
            let steps: Vec<Step> = state.steps().collect();

            assert_eq!(steps.is_empty(), state.is_closed(), "{state:?}");
            assert_eq!(steps.contains(&Step::Withdraw), !state.is_closed(), "{state:?}");
        }
    }

    #[test]
    fn the_clock_runs_where_the_reviewer_is_awaited() {
        let running: Vec<State> = State::ALL.into_iter().filter(|state| state.clock_runs()).collect();

        assert_eq!(running, [Submitted, InReview]);
    }

    #[test]
    fn a_refusal_says_whose_step_it_is_or_where_the_request_stands() {
        let side = NeedsInfo.after(Step::Approve, Side::Requester).unwrap_err();
        let state = Denied.after(Step::Approve, Side::Reviewer).unwrap_err();

        assert_eq!(side.to_string(), "`approve` is for the reviewer, not for the requester");
        assert_eq!(state.to_string(), "a request that is `denied` does not take `approve`");
    }

    #[test]
    fn names_are_written_as_they_are_stored() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for step in Step::ALL {
            assert_eq!(serde_json::to_value(step).unwrap(), step.as_str());
        }
        for side in Side::ALL {
            assert_eq!(serde_json::to_value(side).unwrap(), side.as_str());
        }
    }
}
