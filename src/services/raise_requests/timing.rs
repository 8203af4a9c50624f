//! The clock of a request: when an answer is due, and when what lies unanswered expires.

use super::record::{By, RequestRecord, StepRecord};
use crate::calendar::{BeyondCalendar, Calendar, Due, Pause};
use crate::domain::raise_request::{Side, State, Step};
use crate::services::{ActorKind, Context};
use serde::{Deserialize, Serialize};

/// Working days in which an answer is meant to come.
pub const TARGET_DAYS: u32 = 3;
/// Working days in which it has to come.
pub const LIMIT_DAYS: u32 = 5;
/// Working days after which a question or an offer that nobody answered closes the request.
pub const ANSWER_DAYS: u32 = 10;

/// When something is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueAt {
    Ms(i64),
    /// Not to be said, and why not.
    Unknown(String),
}

/// How a request stands with its clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The calendar that counts.
    pub calendar: String,
    /// Whether it is the reviewers' turn.
    pub runs: bool,
    /// Working time since it was filed, up to its end; None: beyond the calendar.
    pub worked_ms: Option<i64>,
    pub target: DueAt,
    pub limit: DueAt,
    /// Open, and past the target.
    pub past_target: bool,
    /// Open, and past the limit.
    pub overdue: bool,
    /// When a question or an offer expires; None: there is none.
    pub answer_by: Option<DueAt>,
}

impl DueAt {
    fn of(due: Result<Due, BeyondCalendar>) -> Self {
        match due {
            Ok(Due::At(at_ms)) => Self::Ms(at_ms),
            Ok(Due::Standing) => Self::Unknown("the clock stands still until the customer answers".to_owned()),
            Err(beyond) => Self::Unknown(beyond.to_string()),
        }
    }

    /// Whether it is known to have come.
    #[must_use]
    pub fn has_come(&self, now: i64) -> bool {
        matches!(self, Self::Ms(at) if *at <= now)
    }
}

impl RequestRecord {
    /// The spans in which the customer was waited for.
    pub(super) fn pauses(&self) -> Vec<Pause> {
        let ends = self.steps.iter().skip(1).map(|step| Some(step.done.at_ms)).chain([None]);
        let waits = |step: &StepRecord| !step.state.clock_runs() && !step.state.is_closed();
        let spans = self.steps.iter().zip(ends).filter(|(step, _)| waits(step));
        spans.map(|(step, until_ms)| Pause { from_ms: step.done.at_ms, until_ms }).collect()
    }

    pub(super) fn due(&self, calendar: &Calendar, days: u32) -> DueAt {
        DueAt::of(calendar.due(self.filed.at_ms, &self.pauses(), days))
    }

    /// Working time from filing to its end or to `now`.
    pub(super) fn worked_ms(&self, calendar: &Calendar, now: i64) -> Option<i64> {
        let until = self.closed_at_ms().unwrap_or(now);
        calendar.worked_ms(self.filed.at_ms, until, &self.pauses()).ok()
    }

    /// When the question or offer that is open expires; None: there is none.
    pub(super) fn answer_by(&self, calendar: &Calendar) -> Option<DueAt> {
        let waits = matches!(self.state, State::NeedsInfo | State::CounterOffered);
        let since = self.steps.last().filter(|_| waits)?.done.at_ms;
        Some(DueAt::of(calendar.due(since, &[], ANSWER_DAYS)))
    }

    /// The request as it stands at `now`: expired where an answer was to come by then, written down or not.
    #[must_use]
    pub fn lapsed(mut self, calendar: &Calendar, now: i64) -> Self {
        let Some(DueAt::Ms(at_ms)) = self.answer_by(calendar).filter(|by| by.has_come(now)) else { return self };
        if let Ok(state) = self.state.after(Step::Expire, Side::Clock) {
            let done = By { at_ms, by: Context::system(now).actor, kind: ActorKind::System };
            self.steps.push(StepRecord { step: Step::Expire, state, done, to: None, rule: None });
            self.state = state;
        }
        self
    }

    pub(super) fn timing(&self, calendar: &Calendar, now: i64) -> Timing {
        let (target, limit) = (self.due(calendar, TARGET_DAYS), self.due(calendar, LIMIT_DAYS));
        let is_open = !self.state.is_closed();
        Timing {
            calendar: calendar.version().to_owned(),
            runs: self.state.clock_runs(),
            worked_ms: self.worked_ms(calendar, now),
            past_target: is_open && target.has_come(now),
            overdue: is_open && limit.has_come(now),
            target,
            limit,
            answer_by: self.answer_by(calendar),
        }
    }
}
