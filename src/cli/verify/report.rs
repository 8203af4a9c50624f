//! What was checked and what was found, by the server that holds the folder or here.

use crate::cli::Failure;
use crate::cli::server::{Ask, Server};
use crate::store::embedded::{Anchor, Anchored, Area, Finding, VerifyReport};
use serde::Deserialize;
use serde_json::{Value, json};

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Everything,
    /// The journal alone, from outside.
    Journal,
    /// The journal alone, by the server that writes it.
    ByServer,
}

pub(super) struct Report {
    pub(super) extent: Extent,
    pub(super) segments: u64,
    pub(super) changes: u64,
    pub(super) last: u64,
    pub(super) head: String,
    pub(super) end: Place,
    pub(super) torn_bytes: u64,
    pub(super) anchor: Option<AnchorFound>,
    /// Of the control state. None: not compared, because the journal is not whole.
    pub(super) records: Option<u64>,
    pub(super) counters: u64,
    pub(super) findings: Vec<Found>,
}

/// Where in the journal.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// What the journal has for the anchor.
#[derive(Debug, Deserialize)]
pub(super) struct AnchorFound {
    pub(super) seq: u64,
    hash: String,
    pub(super) found: String,
    pub(super) found_hash: Option<String>,
}

/// Something that is wrong.
pub(super) struct Found {
    pub(super) place: String,
    pub(super) what: String,
    pub(super) advice: String,
    json: Value,
}

/// What `POST /v1/audit/verify` answers.
#[derive(Deserialize)]
struct Answer {
    entries: u64,
    segments: u64,
    end: Place,
    head: Head,
    anchor: Option<AnchorFound>,
    findings: Vec<JournalFinding>,
}

#[derive(Deserialize)]
struct Head {
    seq: u64,
    hash: String,
}

#[derive(Deserialize)]
struct JournalFinding {
    segment: u64,
    offset: u64,
    /// The first change that is hit.
    seq: Option<u64>,
    what: String,
    advice: String,
}

impl Report {
    pub(super) fn of(report: VerifyReport, extent: Extent, anchor: Option<Anchor>) -> Self {
        let records = report.journal_is_sound().then_some(report.records);
        Self {
            extent,
            segments: report.segments,
            changes: report.entries,
            last: report.seq,
            head: hex::encode(report.hash),
            end: Place { segment: report.end.0, offset: report.end.1 },
            torn_bytes: report.torn_bytes,
            anchor: anchor.zip(report.anchor).map(|(anchor, found)| AnchorFound::of(anchor, found)),
            records,
            counters: report.counters,
            findings: report.findings.into_iter().map(Found::of).collect(),
        }
    }

    /// Lets the server check the journal that it writes.
    pub(super) fn by_server(server: &Server, anchor: Option<Anchor>) -> Result<Self, Failure> {
        let path = "/v1/audit/verify";
        let ask = match anchor {
            Some(Anchor { seq, hash }) => Ask::post(path, json!({"seq": seq, "hash": hex::encode(hash)})),
            None => Ask::act(path),
        };
        let answer: Answer = server.ask(ask.patiently())?;
        Ok(Self {
            extent: Extent::ByServer,
            segments: answer.segments,
            changes: answer.entries,
            last: answer.head.seq,
            head: answer.head.hash,
            end: answer.end,
            torn_bytes: 0,
            anchor: answer.anchor,
            records: None,
            counters: 0,
            findings: answer.findings.into_iter().map(Found::by_server).collect(),
        })
    }

    pub(super) fn document(&self, data: &str) -> Value {
        let checked = |records: u64| match self.extent {
            Extent::Everything => json!({ "records": records }),
            Extent::Journal | Extent::ByServer => Value::Null,
        };
        json!({
            "data": data,
            "checked_by": if self.extent == Extent::ByServer { "server" } else { "command" },
            "sound": self.findings.is_empty(),
            "journal": {
                "segments": self.segments,
                "changes": self.changes,
                "last_change": self.last,
                "head": self.head,
                "end": {"segment": self.end.segment, "offset": self.end.offset},
                "unacknowledged_bytes": self.torn_bytes,
            },
            "anchor": self.anchor.as_ref().map(AnchorFound::document),
            "control": checked(self.records.unwrap_or(0)),
            "counters": checked(self.counters),
            "findings": self.findings.iter().map(Found::document).collect::<Vec<_>>(),
        })
    }
}

impl AnchorFound {
    fn of(Anchor { seq, hash }: Anchor, found: Anchored) -> Self {
        let found_hash = match found {
            Anchored::Differs { hash } => Some(hex::encode(hash)),
            Anchored::Held | Anchored::BeyondEnd | Anchored::Unreadable => None,
        };
        Self { seq, hash: hex::encode(hash), found: found.as_str().to_owned(), found_hash }
    }

    fn document(&self) -> Value {
        let mut anchor = json!({"change": self.seq, "hash": self.hash, "found": self.found});
        if let Some(hash) = &self.found_hash {
            anchor["found_hash"] = json!(hash);
        }
        anchor
    }
}

impl Found {
    fn of(Finding { area, what }: Finding) -> Self {
        let (place, json) = match area {
            Area::Journal { segment, offset, after_seq } => in_journal(Place { segment, offset }, Some(after_seq)),
            Area::Control => ("control".to_owned(), json!({"area": "control"})),
            Area::Counters => ("counters".to_owned(), json!({"area": "counters"})),
            Area::Notes => ("notes".to_owned(), json!({"area": "notes"})),
        };
        Self { place, what, advice: area.advice().to_owned(), json }
    }

    fn by_server(JournalFinding { segment, offset, seq, what, advice }: JournalFinding) -> Self {
        let (place, json) = in_journal(Place { segment, offset }, seq.map(|seq| seq.saturating_sub(1)));
        Self { place, what, advice, json }
    }

    fn document(&self) -> Value {
        let mut finding = self.json.clone();
        finding["what"] = json!(self.what);
        finding["advice"] = json!(self.advice);
        finding
    }
}

/// `after`: the last change before, where it is known.
fn in_journal(Place { segment, offset }: Place, after: Option<u64>) -> (String, Value) {
    let mut json = json!({"area": "journal", "segment": segment, "offset": offset});
    let mut place = format!("journal segment {segment}, byte {offset}");
    if let Some(seq) = after {
        place.push_str(&format!(", after change {seq}"));
        json["after_change"] = json!(seq);
    }
    (place, json)
}
