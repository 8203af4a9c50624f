//! What is refused is told at once: nobody has to send the body of a request that is refused by its head.

use crate::arena::{Arena, Front, alone};
use crate::crowd::Crowd;
use crate::wire::{Answer, HOST, JSON, Line, connect, head, request};
use std::time::{Duration, Instant};

const AT_ONCE: Duration = Duration::from_millis(500);
/// The refusal has been read by then, and the connection is let go.
const LINGER: Duration = Duration::from_secs(3);

/// A request that is refused by its head; its body has 500 bytes where nothing else is said.
struct Refused {
    line: &'static str,
    headers: String,
    status: u16,
    code: &'static str,
}

fn refused(line: &'static str, headers: String, status: u16, code: &'static str) -> Refused {
    Refused { line, headers, status, code }
}

fn refused_by_their_heads(arena: &Arena) -> Vec<Refused> {
    let long = "a".repeat(9_000);
    let long_uri: &'static str = Box::leak(format!("POST /v1/accounts?{long}").into_boxed_str());
    let (admin, decider) = (arena.admin(), arena.decider());
    let announcing = |headers: &str, bytes: u64| format!("{headers}content-length: {bytes}\r\n");
    let mut all = vec![
        refused("POST /v1/accounts", announcing(JSON, 500), 401, "unauthorized"),
        refused("POST /v1/decisions", announcing(JSON, 500), 401, "unauthorized"),
        refused("POST /v1/accounts", announcing(&decider, 500), 403, "forbidden"),
        refused("POST /v1/nope", announcing(&admin, 500), 404, "no_such_path"),
        refused("PUT /v1/decisions", announcing(&admin, 500), 405, "method_not_allowed"),
        refused("POST /v1/decisions", announcing(&decider, 65 * 1024), 413, "body_too_large"),
        refused("POST /v1/decisions", announcing(&decider, 100_000_000_000), 413, "body_too_large"),
        refused("POST /v1/sessions", announcing(JSON, 5_000), 413, "body_too_large"),
        refused("POST /v1/policies/revisions", announcing(&admin, 100_000_000_000), 413, "body_too_large"),
        refused(long_uri, announcing(&admin, 500), 414, "uri_too_long"),
        refused("POST /v1/accounts", announcing("host: evil.example\r\n", 500), 421, "foreign_host"),
        refused("POST /v1/accounts", announcing(&format!("{admin}origin: null\r\n"), 500), 403, "foreign_origin"),
    ];
    let large = announcing(&format!("{admin}x-more: {}\r\n", "a".repeat(40_000)), 500);
    all.push(refused("POST /v1/accounts", large, 431, "headers_too_large"));
    let text = arena.decider().replace("application/json", "text/plain");
    all.push(refused("POST /v1/decisions", announcing(&text, 500), 415, "unsupported_media_type"));
    let chunked = format!("{JSON}transfer-encoding: chunked\r\n");
    all.push(refused("POST /v1/accounts", chunked, 401, "unauthorized"));
    all
}

/// What is wrong about a refusal, where something is.
fn trouble_with(arena: &Arena, request: &Refused) -> Option<String> {
    let mut line = line(arena);
    let since = Instant::now();
    // One byte of the body, or of what says how long a chunk is.
    line.say(&[head(request.line, &request.headers), vec![b'1']].concat()).unwrap();
    let answer = line.answer();
    let (took, what) = (since.elapsed(), format!("{:.40} -> {}", request.line, request.status));
    match answer {
        Ok(answer) if !is(&answer, request) => Some(format!("{what}: {} {}", answer.status, answer.body)),
        Ok(_) if took > AT_ONCE => Some(format!("{what}: only after {} ms", took.as_millis())),
        Ok(_) if line.ends().is_none() => Some(format!("{what}: the connection is not ended")),
        Ok(_) => None,
        Err(error) => Some(format!("{what}: no answer: {error}")),
    }
}

fn line(arena: &Arena) -> Line<'static> {
    Line::over(connect(arena.address(), LINGER).unwrap())
}

fn is(answer: &Answer, request: &Refused) -> bool {
    answer.status == request.status && answer.body.contains(&format!("\"code\":\"{}\"", request.code))
}

#[test]
fn a_refusal_waits_for_no_body_and_ends_the_connection() {
    let _alone = alone();
    let arena = Arena::open(Front::Plain);

    let requests = refused_by_their_heads(&arena);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = requests.iter().map(|request| scope.spawn(|| trouble_with(&arena, request))).collect();
        asked.into_iter().filter_map(|asked| asked.join().unwrap()).collect()
    });

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn where_no_body_is_left_the_connection_stays() {
    let _alone = alone();
    let arena = Arena::open(Front::Plain);
    let (admin, decider) = (arena.admin(), arena.decider());
    let long = format!("{admin}x-more: {}\r\n", "a".repeat(40_000));

    let whole = [
        (head("GET /v1/accounts", HOST), 401),
        (head("GET /v1/nope", &admin), 404),
        (head("GET /v1/accounts", "host: evil.example\r\n"), 421),
        (head("GET /v1/accounts", &long), 431),
        (head("DELETE /v1/decisions", &admin), 405),
        (request("POST /v1/accounts", JSON, "{}"), 401),
        (request("POST /v1/accounts", &decider, "{}"), 403),
        (request("PUT /v1/decisions", &admin, "{}"), 405),
        (request("POST /v1/nope", &admin, "{}"), 404),
    ];

    let mut line = line(&arena);
    for (request, status) in whole {
        let text = String::from_utf8_lossy(&request[..30]).into_owned();
        let refusal = line.ask(&request).unwrap_or_else(|error| panic!("`{text}`: {error}"));
        assert_eq!(refusal.status, status, "`{text}`: {}", refusal.body);
        let next = line.ask(&head("GET /healthz", HOST)).unwrap_or_else(|error| panic!("after `{text}`: {error}"));
        assert_eq!(next.status, 200, "after `{text}`");
    }
}

#[test]
fn who_sends_ten_megabytes_after_a_refusal_sees_it_and_an_end() {
    let _alone = alone();
    let arena = Arena::open(Front::Plain);
    let large = vec![b' '; 10 * 1024 * 1024];
    let announcing = format!("{JSON}content-length: {}\r\n", large.len());
    let chunk = [format!("{:x}\r\n", large.len()).as_bytes(), &large, b"\r\n0\r\n\r\n"].concat();

    let mut crowd = Crowd::at(arena.address());
    crowd.join(6, &[1]);
    let bodies = [
        [&head("POST /v1/accounts", &announcing)[..], &large].concat(),
        [&head("POST /v1/accounts", &format!("{JSON}transfer-encoding: chunked\r\n"))[..], &chunk].concat(),
        [&head("POST /v1/accounts", &announcing.replace("localhost", "evil.example"))[..], &large].concat(),
    ];
    crowd.say_each(|index| bodies[index % bodies.len()].as_slice().into());
    let ended = crowd.work(LINGER, Crowd::all_ended);

    assert!(ended, "{}", crowd.fate());
    let statuses: Vec<_> = crowd.members.iter().map(|member| member.status().unwrap_or(0)).collect();
    assert_eq!(statuses, [401, 401, 421, 401, 401, 421]);
}
