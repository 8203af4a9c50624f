//! Requests that ask to turn the connection into something else, which this server has nothing for.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::wire::{HOST, head};
use std::time::Duration;

/// From one client, as it was seen to stop a server.
const COUNT: usize = 1_100;
/// All of them are refused by then, and let go by the second.
const ANSWERED: Duration = Duration::from_secs(2);
const ENDED: Duration = Duration::from_secs(5);

pub const ATTACKS: [Attack; 4] = [
    Attack { name: "idle CONNECT", front: Front::Plain, run: connect },
    Attack { name: "idle Upgrade: websocket", front: Front::Plain, run: websocket },
    Attack { name: "idle Upgrade: h2c", front: Front::Plain, run: cleartext_http_2 },
    Attack { name: "CONNECT that talks on", front: Front::Plain, run: talking },
];

fn connect(arena: &Arena, scale: Scale) -> Got {
    tunnels(arena, scale, &head("CONNECT localhost:443", "host: localhost:443\r\n"))
}

fn websocket(arena: &Arena, scale: Scale) -> Got {
    let headers = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    tunnels(arena, scale, &head("GET /v1/decisions", &format!("{HOST}{headers}")))
}

/// It may be passed over, as long as it is answered in HTTP/1.1 and the connection stays one.
fn cleartext_http_2(arena: &Arena, scale: Scale) -> Got {
    let headers = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n";
    let (mut got, waves) = (Got::default(), scale.of(1, 2));
    for _ in 0..waves {
        let mut crowd = Crowd::at(arena.address());
        crowd.join(COUNT, &[1]);
        crowd.say(&head("GET /v1/accounts", &format!("{HOST}{headers}")));
        crowd.work(ENDED, Crowd::all_answered);
        let told = crowd.statuses().get(&401).copied().unwrap_or(0);
        got.fault_unless(told == COUNT, format!("{told} of {COUNT} were told 401: {}", crowd.fate()));
        // What follows is a request like any other, where the connection goes on.
        let before: Vec<u64> = crowd.members.iter().map(|member| member.received).collect();
        crowd.say(&head("GET /healthz", HOST));
        let goes_on = |crowd: &Crowd| {
            let mut members = crowd.members.iter().zip(&before);
            members.all(|(member, before)| member.received > *before || member.ended_after.is_some())
        };
        got.fault_unless(crowd.work(ENDED, goes_on), "what follows is neither answered nor is there an end");
        got.got = crowd.fate();
    }
    got.effort = format!("{waves} x {COUNT}, two requests each");
    got
}

fn tunnels(arena: &Arena, scale: Scale, opening: &[u8]) -> Got {
    let (mut got, waves) = (Got::default(), scale.of(1, 2));
    for _ in 0..waves {
        let mut crowd = Crowd::at(arena.address());
        crowd.join(COUNT, &[1]);
        crowd.say(opening);
        crowd.work(ENDED, Crowd::all_ended);
        got.got = crowd.fate();
        judge(&mut got, &crowd);
    }
    got.effort = format!("{waves} x {COUNT}, idle");
    got
}

/// Each is told a refusal at once, and ended soon.
fn judge(got: &mut Got, crowd: &Crowd) {
    let refused = crowd.members.iter().filter(|member| member.status().is_some_and(|status| status >= 400)).count();
    got.fault_unless(refused == crowd.members.len(), format!("{refused} of {COUNT} were refused: {}", crowd.fate()));
    let slowest = crowd.slowest_answer();
    got.fault_unless(slowest <= ANSWERED, format!("a refusal took {} ms", slowest.as_millis()));
    got.fault_unless(crowd.all_ended(), format!("{} were ended", crowd.ended()));
}

/// As if the tunnel were there: bytes follow at once, for as long as anybody takes them.
fn talking(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(50, 200));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    crowd.say(&head("CONNECT localhost:443", "host: localhost:443\r\n"));
    crowd.go_on(&vec![b'x'; 4 * 1024 * 1024]);
    crowd.work(ENDED, Crowd::all_ended);
    got.effort = format!("{count}, {} MiB sent", crowd.sent() / 1024 / 1024);
    got.got = crowd.fate();
    got.fault_unless(crowd.all_ended(), format!("{} of {count} were ended", crowd.ended()));
    got
}
