//! The chain of the audit log: its head, to be kept elsewhere, and whether it is whole.

use super::body::{self, OptionalJson};
use super::problem::{Code, Place, Problem};
use super::query::NoQuery;
use super::reply;
use super::state::State;
use super::wire::rfc3339;
use crate::store::embedded::{Anchor, Anchored, Area, Finding, VerifyReport};
use actix_web::web::{Data, block};
use actix_web::{HttpResponse, get, post};
use compact_str::CompactString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// The last change. Whoever keeps it elsewhere can tell later whether anything up to it was rewritten.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditHead)]
struct HeadAnswer {
    #[schema(example = 42)]
    seq: u64,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    at: Option<CompactString>,
    /// SHA-256 of the change; it covers every change before.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
}

/// A hash in hexadecimal digits.
#[derive(Debug, Clone, Copy)]
struct GivenHash([u8; 32]);

impl<'de> Deserialize<'de> for GivenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = CompactString::deserialize(deserializer)?;
        let mut hash = [0; 32];
        match hex::decode_to_slice(digits.as_bytes(), &mut hash) {
            Ok(()) => Ok(Self(hash)),
            Err(_) => Err(D::Error::custom("write the 64 hexadecimal digits of the hash")),
        }
    }
}

/// A head that was kept elsewhere, which the chain must have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "expected a JSON object")]
#[schema(as = AuditAnchor, example = json!({
    "seq": 1, "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}))]
pub(crate) struct VerifyRequest {
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    seq: u64,
    /// Of that change.
    #[schema(value_type = String, pattern = "^[0-9a-fA-F]{64}$")]
    hash: GivenHash,
}

/// What a verification came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditVerification)]
struct VerifyAnswer {
    /// True where nothing is wrong, and the anchor, if one was given, is held.
    sound: bool,
    /// Changes that are whole and continue the one before.
    entries: u64,
    /// The last of them.
    head: LinkView,
    /// Files that the journal has.
    #[schema(example = 1)]
    segments: u64,
    /// How far it is good.
    end: EndView,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    anchor: Option<AnchorView>,
    /// What is wrong, at most 1,000.
    findings: Vec<FindingView>,
}

/// A place in the journal.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEnd)]
struct EndView {
    /// Number of the file in `journal/`.
    #[schema(example = 1)]
    segment: u64,
    #[schema(example = 4711)]
    offset: u64,
}

/// A change and its hash.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditLink)]
struct LinkView {
    #[schema(example = 42)]
    seq: u64,
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
}

/// What the journal has for the anchor.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditAnchored)]
struct AnchorView {
    #[schema(example = 42)]
    seq: u64,
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
    /// `held`: the journal has it, nothing up to it was rewritten. `differs`: it, or a change before it, was
    /// rewritten. `beyond_end`: the journal ends before it. `unreadable`: damage hides it.
    #[schema(value_type = String, example = "held")]
    found: &'static str,
    /// Of that change now, where it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    found_hash: Option<String>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditFinding)]
struct FindingView {
    /// Number of the file in `journal/`.
    #[schema(example = 1)]
    segment: u64,
    /// Byte in it at which the part begins that is wrong.
    #[schema(example = 4711)]
    offset: u64,
    /// The first change that is hit, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 12)]
    seq: Option<u64>,
    what: String,
    #[schema(value_type = String)]
    advice: &'static str,
}

impl VerifyAnswer {
    fn of(report: VerifyReport, anchor: Option<Anchor>) -> Self {
        let anchored = anchor.zip(report.anchor).map(|(Anchor { seq, hash }, found)| AnchorView {
            seq,
            hash: hex::encode(hash),
            found: found.as_str(),
            found_hash: match found {
                Anchored::Differs { hash } => Some(hex::encode(hash)),
                Anchored::Held | Anchored::BeyondEnd | Anchored::Unreadable => None,
            },
        });
        Self {
            sound: report.is_sound(),
            entries: report.entries,
            segments: report.segments,
            end: EndView { segment: report.end.0, offset: report.end.1 },
            head: LinkView { seq: report.seq, hash: hex::encode(report.hash) },
            anchor: anchored,
            findings: report.findings.into_iter().filter_map(FindingView::of).collect(),
        }
    }
}

impl FindingView {
    /// None: not of the journal, which is all that is looked at.
    fn of(Finding { area, what }: Finding) -> Option<Self> {
        let advice = area.advice();
        match area {
            Area::Journal { segment, offset, after_seq } => {
                // What is missing as a whole begins nowhere.
                let seq = (offset > 0).then(|| after_seq.saturating_add(1));
                Some(Self { segment, offset, seq, what, advice })
            }
            Area::Control | Area::Counters | Area::Notes => None,
        }
    }
}

/// Read the head of the audit log
///
/// The last change with its hash, which covers all changes before it. Keep it where the operators of this server cannot
/// change it: a later rewrite of the log shows against it (`POST /v1/audit/verify`).
#[utoipa::path(
    operation_id = "getAuditHead",
    tag = "audit",
    responses((status = 200, description = "The last change", body = HeadAnswer)),
)]
#[get("/v1/audit/head")]
pub(crate) async fn head(_: NoQuery, state: Data<State>) -> Result<HttpResponse, Problem> {
    let health = state.watched.store.health();
    let hash = hex::encode(health.hash);
    reply::view(&HeadAnswer { seq: health.seq, at: health.at_ms.map(rfc3339), hash })
}

/// Verify the audit log
///
/// Reads the whole journal: every checksum, the chain of hashes, that it ends where this server is, and that it has the
/// anchor, if one is sent. It changes nothing and stops nothing. One runs at a time.
#[utoipa::path(
    operation_id = "verifyAudit",
    tag = "audit",
    request_body = Option<VerifyRequest>,
    responses(
        (status = 200, description = "What was found", body = VerifyAnswer),
        (status = 503, description = "`busy`: another verification is under way"),
    ),
)]
#[post("/v1/audit/verify")]
pub(crate) async fn verify(_: NoQuery, state: Data<State>, body: OptionalJson) -> Result<HttpResponse, Problem> {
    let asked: Option<VerifyRequest> = body.0.map(|bytes| body::parse(&bytes)).transpose()?;
    if asked.as_ref().is_some_and(|asked| i64::try_from(asked.seq).is_err()) {
        return Err(Problem::field(Place::Body, "/seq", "out_of_range", "no journal is that long: at most 2^63 - 1"));
    }
    let anchor = asked.map(|VerifyRequest { seq, hash: GivenHash(hash) }| Anchor { seq, hash });
    let Ok(turn) = Arc::clone(&state.verifying).try_acquire_owned() else {
        return Err(Problem::new(Code::Busy, "the audit log is being verified: one at a time"));
    };
    let store = Arc::clone(&state.watched.store);
    let verified = block(move || {
        let report = store.verify_journal(anchor);
        // Not before: the caller may be gone while the journal is still being read.
        drop(turn);
        report
    });
    let verified = verified.await.map_err(|error| Problem::internal(&error))?;
    let report = verified.map_err(|error| Problem::internal(&error))?;
    if let Some(Finding { what, .. }) = report.findings.first() {
        tracing::error!(findings = report.findings.len(), first = what, "the audit log is not sound");
    }
    reply::ok(&VerifyAnswer::of(report, anchor))
}
