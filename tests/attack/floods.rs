//! As many connections as a client can open: at the port, at the control socket, and on a server that may have few.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::{HOST, Line, connect_control, head, request};
use serde_json::json;
use std::io;
use std::time::{Duration, Instant};

/// A connection that says nothing is ended by then.
const HEAD_DEADLINE: Duration = Duration::from_secs(13);
/// Bytes of a document; 64 MiB of them fill a segment of the journal.
const DOCUMENT: usize = 1_800_000;
/// Bytes of a note.
const NOTE: usize = 3_900;
const SOURCES: [u8; 4] = [1, 2, 3, 4];

pub const ATTACKS: [Attack; 4] = [
    Attack { name: "connections that say nothing", front: Front::Plain, run: silent },
    Attack { name: "connections idle after an answer", front: Front::Plain, run: idle },
    Attack { name: "256 descriptors, the journal rolls", front: Front::Poor, run: descriptors },
    Attack { name: "connections to the control socket", front: Front::Plain, run: control },
];

fn silent(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(1_500, 4_000));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &SOURCES);
    crowd.work(scale.of(Duration::from_secs(2), HEAD_DEADLINE), Crowd::all_ended);
    got.effort = format!("{count}, nothing");
    got.got = crowd.fate();
    let held = crowd.members.len() - crowd.ended();
    got.fault_unless(scale == Scale::Short || held == 0, format!("{held} are held past the deadline for a head"));
    got
}

fn idle(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(1_500, 4_000));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &SOURCES);
    crowd.say(&head("GET /healthz", HOST));
    let settled =
        |crowd: &Crowd| crowd.members.iter().all(|member| member.answered_after.or(member.ended_after).is_some());
    let all = crowd.work(Duration::from_secs(4), settled);
    got.fault_unless(all, "some are neither answered nor ended");
    crowd.work(scale.of(Duration::from_secs(1), Duration::from_secs(5)), Crowd::all_ended);
    got.effort = format!("{count}, one request each");
    got.got = crowd.fate();
    got
}

/// Large documents go to the journal until it has gone on to its second segment.
fn descriptors(arena: &Arena, scale: Scale) -> Got {
    const COUNT: usize = 600;
    let mut got = Got::default();
    let patience = Duration::from_secs(10);
    let mut owner = arena.line(patience).unwrap();
    let mut crowd = Crowd::at(arena.address());
    crowd.join(COUNT, &[2, 3, 4, 5]);
    crowd.say(b"GET /hea");
    let (began, mut published) = (Instant::now(), 0);
    let mut tag = String::new();
    while segments(arena) < 2 && began.elapsed() < scale.of(Duration::from_secs(20), Duration::from_secs(30)) {
        if let Err(error) = publish(arena, &mut owner, &mut tag, published) {
            got.faults.push(format!("document {published} was not published: {error}"));
            break;
        }
        published += 1;
        // What was ended comes again, so that there is never one free.
        crowd.work(Duration::ZERO, |_| true);
        let ended = crowd.ended();
        crowd.members.retain(|member| member.ended_after.is_none());
        crowd.join(ended, &[2, 3, 4, 5]);
        crowd.say(b"l");
    }
    let ready = owner.ask(&head("GET /readyz", HOST)).map_err(|error| error.to_string());
    let green = ready.as_ref().is_ok_and(|answer| answer.status == 200);
    got.fault_unless(green, format!("/readyz: {ready:?}"));
    got.fault_unless(segments(arena) >= 2, "the journal has not rolled, so nothing is shown");
    got.effort = format!("{COUNT} at a time, {published} documents published");
    got.got = format!("{} segments; {}", segments(arena), crowd.fate());
    got
}

fn segments(arena: &Arena) -> usize {
    std::fs::read_dir(arena.server.data().join("journal")).map_or(0, Iterator::count)
}

/// Errors: it was not published.
fn publish(arena: &Arena, owner: &mut Line, tag: &mut String, number: usize) -> io::Result<()> {
    if tag.is_empty() {
        let active = owner.ask(&head("GET /v1/policies/active", &arena.admin()))?;
        *tag = etag(&active.head);
    }
    let group = |index: usize| {
        json!({
            "id": format!("g{index}"), "resources": [format!("m{index}")], "note": format!("{number} {}", "x".repeat(NOTE)),
            "limits": [{"id": "rpm", "unit": "requests", "window": "1m", "quotas": {"free": 20, "paid": 500}}],
        })
    };
    let mut groups: Vec<_> = (0..DOCUMENT / NOTE).map(group).collect();
    groups[0]["resources"] = json!(["MiniMax-M2"]);
    let document = json!({
        "schema": "quotagate.policy/v1", "name": "large", "default_tier": "free",
        "tiers": [{"id": "free"}, {"id": "paid"}], "groups": groups,
    });
    let body = json!({"document": document}).to_string();
    let headers = format!("{}if-match: {tag}\r\n", arena.admin());
    let answer = owner.ask(&request("POST /v1/policies/revisions", &headers, &body))?;
    crate::witness::expect(&answer, 201)?;
    *tag = etag(&answer.head);
    Ok(())
}

fn etag(head: &str) -> String {
    head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_default().to_owned()
}

/// Whoever owns the files may keep others of their own from the socket for a while, and nobody from the port.
fn control(arena: &Arena, scale: Scale) -> Got {
    const COUNT: usize = 500;
    let mut got = Got { control_may_wait: true, ..Got::default() };
    let patience = Duration::from_millis(200);
    let open = |_| connect_control(&arena.control_socket(), patience).ok();
    let held: Vec<_> = (0..COUNT).filter_map(open).collect();
    std::thread::sleep(scale.of(Duration::from_secs(2), Duration::from_secs(4)));
    got.effort = format!("{COUNT}, nothing");
    got.got = format!("{} were let in or wait", held.len());
    got
}
