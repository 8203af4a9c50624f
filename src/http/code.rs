//! The closed list of codes that errors have.

use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident $status:ident $title:literal,)*) => {
        /// What went wrong. Each code has a section in `docs/errors.md` that says what to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[schema(as = ErrorCode)]
        pub(crate) enum Code {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Code {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            pub(crate) fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            pub(super) fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            pub(super) fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    InvalidJson BAD_REQUEST "The body is not JSON",
    /// The request cannot be read as HTTP, for example its path or a header.
    InvalidHttp BAD_REQUEST "The request is not well formed",
    /// The delivery bears no signature of this source, or one of another time.
    InvalidSignature UNAUTHORIZED "Invalid signature",
    /// There is no valid credential.
    Unauthorized UNAUTHORIZED "Unauthorized",
    /// The credential does not allow this.
    Forbidden FORBIDDEN "Forbidden",
    /// It goes further above the tier's quota than the one who asks may go.
    AboveCeiling FORBIDDEN "Above the ceiling",
    /// The one who filed the raise request does not decide it.
    OwnRequest FORBIDDEN "Own request",
    /// A page of another origin asked for it.
    ForeignOrigin FORBIDDEN "Foreign origin",
    /// The billing source takes no deliveries for now.
    SourceDisabled FORBIDDEN "Source disabled",
    /// There is nothing at this path.
    NoSuchPath NOT_FOUND "No such path",
    /// What the path names does not exist.
    NotFound NOT_FOUND "Not found",
    /// The reservation was never made, or has been forgotten.
    UnknownReservation NOT_FOUND "Unknown reservation",
    /// The path exists, but not for this method; `Allow` lists those it has.
    MethodNotAllowed METHOD_NOT_ALLOWED "Method not allowed",
    /// The reservation id is in use for another account, resource or cost.
    ReservationConflict CONFLICT "Reservation conflict",
    /// The reservation has ended; `ended` says how.
    ReservationEnded CONFLICT "Reservation ended",
    /// An account with this id exists already.
    AccountExists CONFLICT "Account exists",
    /// This goes to the main account, and the account is a sub-account.
    NotAMainAccount CONFLICT "Not a main account",
    /// This goes to a sub-account, and the account is a main account.
    NotASubAccount CONFLICT "Not a sub-account",
    /// The override has ended and cannot be changed any more.
    OverrideEnded CONFLICT "Override ended",
    /// Nobody can approve or reject it any more: that was done, or it has expired.
    ApprovalClosed CONFLICT "Approval closed",
    /// Another override of the same account and limit covers a part of the same time.
    OverrideOverlaps CONFLICT "Override overlaps",
    /// There is an open raise request for the same limit; `link` leads to it.
    RaiseRequestOpen CONFLICT "Raise request open",
    /// The state does not have this step; `allowed_transitions` lists those it has for you.
    WrongState CONFLICT "Wrong state",
    /// What was offered would be over by now.
    OfferOver CONFLICT "Offer over",
    /// The event id was used before with other content.
    EventConflict CONFLICT "Event conflict",
    /// The payment is another account's, in another currency, or topped up already.
    PaymentConflict CONFLICT "Payment conflict",
    /// A billing source with this id exists already.
    SourceExists CONFLICT "Source exists",
    /// An operator with this name exists already.
    OperatorExists CONFLICT "Operator exists",
    /// It is the last owner.
    LastOwner CONFLICT "Last owner",
    /// The billing source has two secrets already.
    TooManySecrets CONFLICT "Too many secrets",
    /// It is the only secret of the billing source.
    LastSecret CONFLICT "Last secret",
    /// The revision is active already.
    AlreadyActive CONFLICT "Already active",
    /// The document is what is active already.
    Unchanged CONFLICT "Unchanged",
    /// The change does not fit the present state.
    Conflict CONFLICT "Conflict",
    /// A request with this idempotency key has not been answered yet.
    IdempotencyInFlight CONFLICT "Idempotency key in flight",
    /// The record has moved on since the entity tag that was sent.
    Stale PRECONDITION_FAILED "Stale entity tag",
    /// The body is larger than this server takes.
    BodyTooLarge PAYLOAD_TOO_LARGE "Body too large",
    /// Path and query are longer than this server takes.
    UriTooLong URI_TOO_LONG "URI too long",
    /// The body must be sent as `application/json`.
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "Unsupported media type",
    /// The request names another server than this one.
    ForeignHost MISDIRECTED_REQUEST "Foreign host",
    /// Fields, parameters or headers are not valid; `errors` lists them.
    InvalidRequest UNPROCESSABLE_ENTITY "Invalid request",
    /// The quota is not above what is in force already; `raise` says what that is.
    AlreadySatisfied UNPROCESSABLE_ENTITY "Already satisfied",
    /// The quota is above what the policy lets the limit be raised to; `raise` names the ceiling.
    AboveMaximum UNPROCESSABLE_ENTITY "Above the maximum",
    /// The policy does not let the limit be raised at all.
    NotAdjustable UNPROCESSABLE_ENTITY "Not adjustable",
    /// The resource's group limits concurrency, so the request must ask for a reservation.
    ReservationRequired UNPROCESSABLE_ENTITY "Reservation required",
    /// The idempotency key was used before with another request.
    IdempotencyMismatch UNPROCESSABLE_ENTITY "Idempotency key mismatch",
    /// The change needs the entity tag of what it changes in `If-Match`.
    PreconditionRequired PRECONDITION_REQUIRED "Precondition required",
    /// Too many logins have failed: wait.
    TooManyAttempts TOO_MANY_REQUESTS "Too many attempts",
    /// This client has as many requests in flight as it may.
    TooManyRequests TOO_MANY_REQUESTS "Too many requests",
    /// The body comes too slowly.
    RequestTimeout REQUEST_TIMEOUT "Request timeout",
    /// The headers are longer than this server takes.
    HeadersTooLarge REQUEST_HEADER_FIELDS_TOO_LARGE "Headers too large",
    /// Something broke in the server.
    Internal INTERNAL_SERVER_ERROR "Internal error",
    /// It is not known whether the change was kept: read it back.
    Uncertain INTERNAL_SERVER_ERROR "Outcome uncertain",
    /// A table of the server is full.
    Capacity SERVICE_UNAVAILABLE "Capacity reached",
    /// Too many changes are waiting.
    Busy SERVICE_UNAVAILABLE "Busy",
    /// The store takes no changes for now.
    ReadOnly SERVICE_UNAVAILABLE "Read-only",
}

impl Code {
    /// The code that is written so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_value() == name)
    }

    pub(crate) fn as_value(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }
}
