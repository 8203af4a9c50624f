//! Attacks by strangers and by callers who mean ill: real ones on the real binary, bounded in count and time, while honest
//! clients go on beside them. `make attack` runs all of them at length and prints what came of each.

mod arena;
mod bodies;
mod crowd;
mod descriptors;
mod floods;
mod handshakes;
mod heads;
mod insiders;
mod limits;
mod outcome;
mod readers;
mod refusals;
#[path = "../api/support.rs"]
mod support;
#[path = "../support/tls_client.rs"]
mod tls_client;
mod tunnels;
mod wire;
mod witness;

use arena::{Attack, Scale, run};

fn all() -> impl Iterator<Item = &'static Attack> {
    let by_kind: [&'static [Attack]; 8] = [
        &tunnels::ATTACKS,
        &heads::ATTACKS,
        &bodies::ATTACKS,
        &readers::ATTACKS,
        &floods::ATTACKS,
        &descriptors::ATTACKS,
        &handshakes::ATTACKS,
        &insiders::ATTACKS,
    ];
    by_kind.into_iter().flatten()
}

/// An attack in its short form, by name.
#[track_caller]
fn short(name: &str) {
    let attack = all().find(|attack| attack.name == name).unwrap();
    run(attack, Scale::Short).must_hold();
}

macro_rules! short_forms {
    ($($test:ident: $name:literal,)*) => {
        $(#[test] fn $test() { short($name); })*

        #[test]
        fn each_attack_has_a_short_form() {
            let named = [$($name),*];
            assert!(all().map(|attack| attack.name).eq(named), "{named:?}");
        }
    };
}

short_forms! {
    idle_connects_are_refused: "idle CONNECT",
    upgrades_to_websockets_are_refused: "idle Upgrade: websocket",
    upgrades_to_http_2_are_refused: "idle Upgrade: h2c",
    tunnels_carry_nothing: "CONNECT that talks on",
    slow_heads_keep_nobody_out: "heads, one byte a second",
    garbage_hurts_nobody: "garbage and half requests, pipelined",
    large_heads_are_refused: "heads of 100 headers and of megabytes",
    other_versions_of_http_hurt_nobody: "HTTP/2 in plain text, HTTP/1.0",
    large_logins_are_refused: "2 MiB logins of strangers",
    slow_bodies_of_strangers_are_not_waited_for: "bodies of strangers, one byte sent",
    slow_bodies_have_a_least_rate: "bodies with a key, a byte a second",
    what_is_announced_too_large_is_refused_at_once: "100 GB announced",
    bodies_without_an_end_are_refused: "chunked bodies without an end",
    who_hardly_reads_costs_little: "pipelined, never read or a byte a second",
    silent_connections_keep_nobody_out: "connections that say nothing",
    idle_connections_keep_nobody_out: "connections idle after an answer",
    who_is_idle_makes_room: "64 connections allowed, hundreds open",
    one_client_of_a_proxy_has_its_share: "one client behind a proxy",
    the_port_outlives_a_flood_of_the_control_socket: "connections to the control socket",
    few_descriptors_are_enough_for_the_store: "256 descriptors, the journal rolls",
    handshakes_keep_nobody_out: "TLS handshakes that do not begin",
    who_has_not_begun_makes_room: "64 connections allowed, TLS that does not begin",
    only_what_is_bounded_is_spoken_in_tls: "TLS with noise, TLS for HTTP/2 alone",
    oversized_requests_are_refused: "decisions of 64 KiB and one byte, batches of 257",
    documents_that_do_not_end_cost_little: "documents of 2 MiB without their last byte",
}

/// Every attack at length; prints the table row by row.
#[test]
#[ignore = "two minutes: `make attack`"]
fn campaign() {
    println!("{}", outcome::header());
    let mut faults = Vec::new();
    for attack in all() {
        let outcome = run(attack, Scale::Long);
        println!("{}", outcome.row());
        faults.extend(outcome.faults().into_iter().map(|fault| format!("{}: {fault}", attack.name)));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
