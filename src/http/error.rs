//! What the use cases refuse, as problems: one exhaustive match.

use super::problem::{Code, FieldError, Place, Problem, Raise};
use super::tags;
use crate::domain::account::LimitKey;
use crate::services::{Ends, Error};
use actix_web::http::header;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::NotFound { .. } => Self::new(Code::NotFound, detail),
            Error::Conflict { code, allowed_transitions, .. } => {
                let transitions = allowed_transitions.into_iter().map(str::to_owned).collect();
                let known = Code::named(code);
                debug_assert!(known.is_some(), "`{code}` is missing in the list of codes");
                let problem = Self::new(known.unwrap_or(Code::Conflict), detail);
                match known {
                    Some(Code::WrongState) => problem.with_allowed_transitions(transitions),
                    _ => problem,
                }
            }
            Error::AboveCeiling { .. } => Self::new(Code::AboveCeiling, detail),
            Error::OwnRequest { .. } => Self::new(Code::OwnRequest, detail),
            Error::RaiseRequestOpen { id, .. } => {
                Self::new(Code::RaiseRequestOpen, detail).with_link(format!("/v1/raise-requests/{id}"))
            }
            Error::NotRaisable(why) => {
                let known = Code::named(why.code);
                debug_assert!(known.is_some(), "`{}` is missing in the list of codes", why.code);
                let LimitKey { group, limit } = why.limit;
                let raise = Raise { group, limit, in_force: why.in_force, ceiling: why.ceiling };
                let field = FieldError::new(Place::Body, why.pointer, why.code, &detail);
                Self::new(known.unwrap_or(Code::InvalidRequest), detail).with_raise(raise).with_errors(vec![field])
            }
            Error::Forbidden { .. } => Self::new(Code::Forbidden, detail),
            Error::PreconditionRequired => Self::new(Code::PreconditionRequired, detail),
            Error::Stale { current } => {
                Self::new(Code::Stale, detail).with_current_etag(current.map(tags::of_revision))
            }
            Error::Invalid(errors) => {
                let field = |error: crate::services::FieldError| FieldError {
                    place: Place::Body,
                    pointer: error.pointer,
                    code: error.code,
                    detail: error.detail,
                };
                Self::invalid(errors.into_iter().map(field).collect())
            }
            Error::IdempotencyMismatch => Self::new(Code::IdempotencyMismatch, detail),
            Error::TableFull { .. } => Self::new(Code::Capacity, detail),
            Error::ReadOnly { ends: Ends::ByItself, .. } => Self::new(Code::ReadOnly, detail),
            Error::ReadOnly { ends: Ends::WithRestart, .. } => {
                Self::new(Code::ReadOnly, detail).without_header(&header::RETRY_AFTER)
            }
            Error::FiledTooOften { retry_after_ms, .. } => {
                let problem = Self::new(Code::FiledTooOften, detail);
                match retry_after_ms {
                    Some(ms) => problem.with_header(header::RETRY_AFTER, (ms.max(0) as u64).div_ceil(1_000).into()),
                    None => problem,
                }
            }
            Error::Busy => Self::new(Code::Busy, detail),
            Error::Uncertain { .. } => Self::new(Code::Uncertain, detail),
            Error::TooLarge { .. } => Self::new(Code::BodyTooLarge, detail),
            Error::Internal(cause) => Self::internal(&cause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{CommitError, ReadOnly};

    #[test]
    fn whoever_is_refused_is_told_to_try_again_only_where_that_helps() {
        let retry_after = |why: ReadOnly| {
            let response = Problem::from(Error::from(CommitError::ReadOnly(why))).respond();
            assert_eq!(response.status(), 503);
            response.headers().get(header::RETRY_AFTER).is_some()
        };

        assert!(retry_after(ReadOnly::DiskFull { free_bytes: 1, needed_bytes: 2 }));
        assert!(retry_after(ReadOnly::OutOfFiles("too many open files".to_owned())));
        assert!(!retry_after(ReadOnly::JournalFailed("fsync".to_owned())));
        assert!(!retry_after(ReadOnly::ControlFailed("sled".to_owned())));
    }

    #[test]
    fn who_files_too_often_is_told_how_long_to_wait_where_waiting_helps() {
        let told = |retry_after_ms| {
            let response = Problem::from(Error::FiledTooOften { detail: "100".to_owned(), retry_after_ms }).respond();
            assert_eq!(response.status(), 429);
            response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap_or_default().to_owned())
        };

        assert_eq!((told(Some(1_001)), told(None)), (Some("2".to_owned()), None));
    }
}
