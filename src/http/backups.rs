//! Backups that the server makes while it serves.

use super::access;
use super::change::{Act, ChangeQuery, IdempotencyKey};
use super::problem::Problem;
use super::query::NoQuery;
use super::reply;
use super::state::State;
use super::wire::rfc3339;
use crate::services::backups::{Listed, Made};
use crate::store::embedded::Pace;
use actix_web::web::{Data, block};
use actix_web::{HttpRequest, HttpResponse, get, post};
use compact_str::CompactString;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Bytes a second of the journal that are copied at most, so that decisions go on as before.
const BYTES_PER_SECOND: u64 = 32 * 1024 * 1024;
/// Left free on the disk, as the store leaves it.
const RESERVE_BYTES: u64 = 128 * 1024 * 1024;

/// A backup in the server's folder.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Backup)]
struct BackupView {
    /// Of the file, in the folder that the setting `backups` names.
    #[schema(example = "quotagate-20260131T080000Z-42.backup")]
    name: String,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    at: CompactString,
    /// The last change in it.
    #[schema(example = 42)]
    last_change: u64,
    #[schema(example = 48_211)]
    bytes: u64,
}

/// The backups in the server's folder, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Backups)]
struct BackupsAnswer {
    #[schema(max_items = 10_000)]
    items: Vec<BackupView>,
}

/// What was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MadeBackup)]
struct MadeView {
    #[schema(example = "quotagate-20260131T080000Z-42.backup")]
    name: String,
    /// Where it lies on the server's machine.
    #[schema(example = "/var/lib/quotagate/backup/quotagate-20260131T080000Z-42.backup")]
    file: String,
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
    at: CompactString,
    /// What is in it; absent where nothing was written (`validate_only`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    holds: Option<HoldsView>,
}

/// What a backup holds: every change, and the usage. Not in it are the history of usage, sessions, the security log, and the key that
/// seals secrets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackupContent)]
struct HoldsView {
    /// The last change in it.
    #[schema(example = 42)]
    last_change: u64,
    /// Of that change; it covers every change before.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
    /// Files of the journal.
    #[schema(example = 1)]
    segments: u64,
    #[schema(example = 48_000)]
    journal_bytes: u64,
    #[schema(example = 3)]
    usage_records: u64,
    /// Records of usage that were damaged.
    usage_left_out: u64,
    /// SHA-256 of the content, which the file's end records.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
}

impl From<Listed> for BackupView {
    fn from(Listed { name, at_ms, seq, bytes }: Listed) -> Self {
        Self { name, at: rfc3339(at_ms), last_change: seq, bytes }
    }
}

impl From<Made> for MadeView {
    fn from(Made { name, file, at_ms, report }: Made) -> Self {
        let holds = report.map(|report| HoldsView {
            last_change: report.seq,
            hash: hex::encode(report.hash),
            segments: report.segments,
            journal_bytes: report.journal_bytes,
            usage_records: report.counters,
            usage_left_out: report.counters_left_out,
            sha256: hex::encode(report.digest),
        });
        Self { name, file: file.display().to_string(), at: rfc3339(at_ms), holds }
    }
}

/// Make a backup
///
/// Writes every change and the usage into one file in the server's folder, while decisions and changes go on. What is copied is
/// checked: every checksum, the chain, and that it ends with the last change. One is made at a time, and the folder holds 16:
/// take them elsewhere. `quotagate restore` makes a data folder of it.
#[utoipa::path(
    operation_id = "createBackup",
    tag = "server",
    params(ChangeQuery, IdempotencyKey),
    responses(
        (status = 200, description = "It is whole and durable", body = MadeView),
        (status = 409, description = "`backup_running`: one is being made. `too_many_backups`: the folder is full"),
        (status = 500, description = "`journal_damaged`: what was to be copied is damaged"),
        (status = 503, description = "`capacity`: there is no room. `read_only`, `busy`: changes cannot be taken for now"),
    ),
)]
#[post("/v1/backups")]
pub(crate) async fn create(state: Data<State>, act: Act) -> Result<HttpResponse, Problem> {
    let done = act.run(move |services, context| {
        let store = &state.watched.store;
        let stop = || state.traffic.is_draining();
        let pace = Pace { bytes_per_second: Some(BYTES_PER_SECOND), reserve_bytes: RESERVE_BYTES, stop: &stop };
        let write = |file: &std::path::Path| store.backup(file, pace);
        state.watched.backups.create(services, context, (store.health().seq, write))
    });
    reply::changed(done.await?, MadeView::from)
}

/// List the backups
///
/// Those in the server's folder, the oldest first.
#[utoipa::path(
    operation_id = "listBackups",
    tag = "server",
    responses((status = 200, description = "All of them", body = BackupsAnswer)),
)]
#[get("/v1/backups")]
pub(crate) async fn list(state: Data<State>, request: HttpRequest, _: NoQuery) -> Result<HttpResponse, Problem> {
    access::caller(&request)?;
    let backups = Arc::clone(&state.watched.backups);
    let listed = block(move || backups.list()).await.map_err(|error| Problem::internal(&error))??;
    reply::view(&BackupsAnswer { items: listed.into_iter().map(BackupView::from).collect() })
}
