//! Callers whose key is good and who mean ill.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::request;
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(4);
/// The most that the body of a decision may have.
const MAX_DECISION: usize = 64 * 1024;

pub const ATTACKS: [Attack; 2] = [
    Attack { name: "decisions of 64 KiB and one byte, batches of 257", front: Front::Plain, run: oversized },
    Attack { name: "documents of 2 MiB without their last byte", front: Front::Plain, run: unfinished },
];

const DECISION: &str = r#"{"account": "slow", "resource": "MiniMax-M2", "tokens": 1}"#;

/// A decision in so many bytes.
fn padded(bytes: usize) -> String {
    format!("{DECISION}{}", " ".repeat(bytes - DECISION.len()))
}

fn oversized(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(60, 300));
    let batch = format!("{{\"decisions\": [{}]}}", [DECISION; 257].join(","));
    let requests: [Arc<[u8]>; 3] = [
        request("POST /v1/decisions", &arena.decider(), &padded(MAX_DECISION + 1)).into(),
        request("POST /v1/decisions", &arena.decider(), &padded(MAX_DECISION)).into(),
        request("POST /v1/decisions/batch", &arena.decider(), &batch).into(),
    ];
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    crowd.say_each(|index| Arc::clone(&requests[index % requests.len()]));
    crowd.work(SOON, Crowd::all_answered);
    got.effort = format!("{count}, {} KiB", crowd.sent() / 1024);
    got.got = crowd.fate();
    for (index, member) in crowd.members.iter().enumerate() {
        let (what, expected) = [("one byte more", 413), ("64 KiB", 200), ("a batch of 257", 422)][index % 3];
        let fits = member.status() == Some(expected);
        got.fault_unless(fits || got.faults.len() > 3, format!("{what}: {:?} instead of {expected}", member.status()));
    }
    got
}

/// Each is of a size that is taken, and all together are more than there should be room for.
fn unfinished(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(100, 300));
    let body = padded(2 * 1024 * 1024 - 1);
    let document = request("POST /v1/policies/revisions", &arena.admin(), &body);
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    crowd.say(&document[..document.len() - 1]);
    crowd.work(scale.of(Duration::from_secs(3), Duration::from_secs(6)), Crowd::all_ended);
    got.effort = format!("{count}, {} MiB sent", crowd.sent() / 1024 / 1024);
    got.got = crowd.fate();
    let strange = crowd.statuses().into_keys().find(|status| ![0, 408, 429, 503].contains(status));
    got.fault_unless(strange.is_none(), format!("they were told something else: {}", crowd.fate()));
    got
}
