//! What the use cases refuse, as problems: one exhaustive match.

use super::problem::{Code, FieldError, Place, Problem};
use super::tags;
use crate::services::Error;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::NotFound { .. } => Self::new(Code::NotFound, detail),
            Error::Conflict { code, allowed_transitions, .. } => {
                let transitions = allowed_transitions.into_iter().map(str::to_owned).collect();
                let known = Code::named(code);
                debug_assert!(known.is_some(), "`{code}` is missing in the list of codes");
                Self::new(known.unwrap_or(Code::Conflict), detail).with_allowed_transitions(transitions)
            }
            Error::AboveCeiling { .. } => Self::new(Code::AboveCeiling, detail),
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
            Error::ReadOnly { .. } => Self::new(Code::ReadOnly, detail),
            Error::Busy => Self::new(Code::Busy, detail),
            Error::Uncertain { .. } => Self::new(Code::Uncertain, detail),
            Error::TooLarge { .. } => Self::new(Code::BodyTooLarge, detail),
            Error::Internal(cause) => Self::internal(&cause),
        }
    }
}
