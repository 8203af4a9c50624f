//! Connections that never agree on TLS, and those that would only on what is not spoken.

use crate::arena::{Arena, Attack, Front, Got, Scale};
use crate::crowd::Crowd;
use crate::tls_client::Secured;
use std::time::{Duration, Instant};

/// A handshake that is not done by then is ended; some slack for the server to notice.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(13);

/// New connections in one go where few are allowed: with more than there is room for, one that is honest could have to
/// make room before it has said anything.
const BURST: usize = 16;

pub const ATTACKS: [Attack; 3] = [
    Attack { name: "TLS handshakes that do not begin", front: Front::Tls, run: silent },
    Attack { name: "64 connections allowed, TLS that does not begin", front: Front::CappedTls, run: capped },
    Attack { name: "TLS with noise, TLS for HTTP/2 alone", front: Front::Tls, run: others },
];

fn silent(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(600, 1_500));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1, 2]);
    // Half of them begin a hello and leave it at that.
    crowd.say_each(|index| {
        std::sync::Arc::from(if index % 2 == 0 { &b""[..] } else { &b"\x16\x03\x01\x02\x00\x01"[..] })
    });
    crowd.work(scale.of(Duration::from_secs(3), HANDSHAKE_DEADLINE), Crowd::all_ended);
    got.effort = format!("{count}, up to 6 bytes");
    got.got = crowd.fate();
    let held = crowd.members.len() - crowd.ended();
    got.fault_unless(scale == Scale::Short || held == 0, format!("{held} are held past the deadline"));
    got
}

fn others(arena: &Arena, scale: Scale) -> Got {
    let (mut got, count) = (Got::default(), scale.of(50, 200));
    let mut crowd = Crowd::at(arena.address());
    crowd.join(count, &[1]);
    crowd.say(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let ended = crowd.work(Duration::from_secs(5), Crowd::all_ended);
    got.fault_unless(ended, format!("plain HTTP is not ended at once: {}", crowd.fate()));
    let fine = crowd.statuses().contains_key(&200);
    got.fault_unless(!fine, "plain HTTP was answered");

    let certificate = arena.certificate().unwrap();
    let only_http_2 = || Secured::connect(arena.server.port(), certificate, &["h2"]);
    let agreed = (0..count).filter(|_| only_http_2().is_ok_and(|secured| secured.protocol().is_some())).count();
    got.fault_unless(agreed == 0, format!("{agreed} agreed on HTTP/2, whose streams nothing bounds"));
    got.effort = format!("2 x {count}");
    got.got = format!("plain: {}; {agreed} speak HTTP/2", crowd.fate());
    got
}

/// Who has not agreed on TLS makes room as well.
fn capped(arena: &Arena, scale: Scale) -> Got {
    let mut got = Got::default();
    let until = Instant::now() + scale.of(Duration::from_secs(2), Duration::from_secs(4));
    let mut crowd = Crowd::at(arena.address());
    let mut opened = 0;
    while Instant::now() < until {
        crowd.members.retain(|member| member.ended_after.is_none());
        let more = 80_usize.saturating_sub(crowd.members.len()).min(BURST);
        crowd.join(more, &[1, 2]);
        opened += more;
        crowd.work(Duration::from_millis(10), |_| false);
    }
    got.effort = format!("{opened}, nothing");
    got.got = crowd.fate();
    got
}
