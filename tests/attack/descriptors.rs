//! More connections than the process may have descriptors, just when the journal goes on to its next segment.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::{HOST, Line, head, request};
use serde_json::json;
use std::io;
use std::time::{Duration, Instant};

/// Bytes of a segment of the journal, after which there is another one.
const SEGMENT: u64 = 64 * 1024 * 1024;
/// Bytes of a document that is published.
const DOCUMENT: usize = 1_800_000;
/// Bytes of a note in it.
const NOTE: usize = 3_900;
/// A segment that is no longer has nothing in it.
const EMPTY: u64 = 4 * 1024;
/// New connections in one go: few beside what there is room for.
const BURST: usize = 24;
const PATIENCE: Duration = Duration::from_secs(10);
const SOURCES: [u8; 4] = [2, 3, 4, 5];

pub const ATTACKS: [Attack; 1] =
    [Attack { name: "256 descriptors, the journal rolls", front: Front::Poor, run: descriptors }];

fn descriptors(arena: &Arena, scale: Scale) -> Got {
    const COUNT: usize = 600;
    let mut got = Got::default();
    let mut owner = Publisher::on(arena);
    let mut crowd = Crowd::at(arena.address());
    for _ in 0..COUNT / BURST {
        crowd.join(BURST, &SOURCES);
        crowd.work(Duration::from_millis(5), |_| false);
    }
    crowd.say(b"GET /hea");
    let (began, lasts) = (Instant::now(), scale.of(Duration::from_secs(2), Duration::from_secs(6)));
    while began.elapsed() < lasts && got.faults.is_empty() {
        // Large documents stay in memory for a while, whoever attacks: no more of them than it takes.
        let changed = if used(arena) < 2 { owner.publish() } else { owner.create_account() };
        if let Err(error) = changed {
            got.faults.push(format!("change {} was not made: {error}", owner.changes));
        }
        // What was ended comes again, so that there is never one free.
        for _ in 0..10 {
            crowd.members.retain(|member| member.ended_after.is_none());
            crowd.join((COUNT - crowd.members.len()).min(BURST), &SOURCES);
            crowd.work(Duration::from_millis(5), |_| false);
        }
        crowd.say(b"l");
    }
    let ready = owner.line.ask(&head("GET /readyz", HOST)).map_err(|error| error.to_string());
    let green = ready.as_ref().is_ok_and(|answer| answer.status == 200);
    got.fault_unless(green, format!("/readyz: {ready:?}"));
    let used = used(arena);
    got.fault_unless(used >= 2, "the journal has not gone on to another segment");
    got.effort = format!("{COUNT} at a time, {} changes", owner.changes);
    got.got = format!("{used} segments; {}", crowd.fate());
    got
}

/// Bytes of each.
fn segments(arena: &Arena) -> Vec<u64> {
    let folder = std::fs::read_dir(arena.server.data().join("journal")).unwrap();
    folder.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).collect()
}

/// How many have something in them.
fn used(arena: &Arena) -> usize {
    segments(arena).into_iter().filter(|bytes| *bytes > EMPTY).count()
}

/// Publishes until the first segment has room for one document more.
pub fn fill(arena: &Arena) {
    let mut owner = Publisher::on(arena);
    while segments(arena).into_iter().max().unwrap_or_default() + 2 * (DOCUMENT as u64) < SEGMENT {
        owner.publish().unwrap();
    }
}

struct Publisher<'a> {
    line: Line<'a>,
    headers: String,
    tag: String,
    changes: usize,
}

impl<'a> Publisher<'a> {
    fn on(arena: &'a Arena) -> Self {
        let (mut line, headers) = (arena.line(PATIENCE).unwrap(), arena.admin());
        let active = line.ask(&head("GET /v1/policies/active", &headers)).unwrap();
        Self { line, headers, tag: etag(&active.head), changes: 0 }
    }

    /// Errors: it was not made.
    fn create_account(&mut self) -> io::Result<()> {
        let body = json!({"id": format!("account-{}", self.changes)}).to_string();
        let answer = self.line.ask(&request("POST /v1/accounts", &self.headers, &body))?;
        crate::witness::expect(&answer, 201)?;
        self.changes += 1;
        Ok(())
    }

    /// Errors: it was not published.
    fn publish(&mut self) -> io::Result<()> {
        let note = format!("{}{}", self.tag, "x".repeat(NOTE));
        let group = |index: usize| {
            json!({
                "id": format!("g{index}"), "resources": [format!("m{index}")], "note": note,
                "limits": [{"id": "rpm", "unit": "requests", "window": "1m", "quotas": {"free": 20, "paid": 500}}],
            })
        };
        let mut groups: Vec<_> = (0..DOCUMENT / NOTE).map(group).collect();
        groups[0]["resources"] = json!(["MiniMax-M2"]);
        let document = json!({
            "schema": "quotagate.policy/v1", "name": "large", "default_tier": "free",
            "tiers": [{"id": "free"}, {"id": "paid"}], "groups": groups,
        });
        let headers = format!("{}if-match: {}\r\n", self.headers, self.tag);
        let body = json!({"document": document}).to_string();
        let answer = self.line.ask(&request("POST /v1/policies/revisions", &headers, &body))?;
        crate::witness::expect(&answer, 201)?;
        self.tag = etag(&answer.head);
        self.changes += 1;
        Ok(())
    }
}

fn etag(head: &str) -> String {
    head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_default().to_owned()
}
