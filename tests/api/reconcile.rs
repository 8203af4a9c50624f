use crate::control::Control;
use crate::money::EVER;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

fn paid_at(server: &Control, account: &str, event: &str, at: &str) {
    let body = json!({"event_id": event, "payment_id": format!("p-{event}"), "amount": 5, "currency": "CNY", "occurred_at": at});
    server.post(&format!("/v1/accounts/{account}/top-ups"), body).is(201);
}

#[test]
fn the_same_events_have_the_same_digest_whatever_their_order_and_repeats() {
    let [one, other] = [Control::start(), Control::start()];
    for server in [&one, &other] {
        server.create("acme");
        server.create("beta");
    }
    let events = [
        ("acme", "e1", "2026-01-01T00:00:00Z"),
        ("beta", "e2", "2026-01-02T00:00:00Z"),
        ("acme", "e3", "2026-01-02T00:00:00Z"),
    ];

    let empty = one.digest();
    for (account, event, at) in events {
        paid_at(&one, account, event, at);
    }
    for (account, event, at) in events.iter().rev() {
        paid_at(&other, account, event, at);
    }

    let digest = one.digest();
    assert_eq!(digest, other.digest());
    assert_eq!((&empty["count"], &empty["digest"], &empty["sums"]), (&json!(0), &json!("0".repeat(64)), &json!([])));
    assert_eq!(digest["sums"], json!([{"kind": "top_up", "currency": "CNY", "count": 3, "amount": 15}]));
    assert_ne!(digest["digest"], empty["digest"]);
    one.take_back("acme", "refund", "e4", "p-e1", 1).is(201);
    assert_ne!(one.digest()["digest"], digest["digest"]);
    assert_eq!(one.digest()["sums"][1], json!({"kind": "refund", "currency": "CNY", "count": 1, "amount": 1}));
    let first_day = "/v1/ledger/digest?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z";
    assert_eq!(one.get(first_day).is(200).json["count"], 1, "from is in, to is not");
    let before = one.digest();
    assert_eq!(one.after_kill().digest(), before);
}

/// Runs the program of `docs/billing.md`. None: there is no python3 here.
fn by_the_page(lines: &str) -> Option<String> {
    let page = include_str!("../../docs/billing.md");
    let program = page.rsplit_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let mut python = Command::new("python3");
    python.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().ok()?;
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn the_program_on_the_page_computes_the_digest() {
    let server = Control::start();
    let mut lines = String::new();
    for account in ["acme", "beta"] {
        server.create(account);
        for number in 0..20 {
            let payment = format!("{account}/{number}");
            server.top_up(account, &format!("e-{payment}"), &payment, 1_000 + number).is(201);
            let at = format!("20{}-01-31T08:00:00.0{}Z", 10 + number, 10 + number);
            let kind = ["refund", "chargeback"][number as usize % 2];
            let refund = json!({"event_id": format!("r-{payment}"), "payment_id": payment, "amount": 7,
                "occurred_at": at, "kind": kind});
            server.post(&format!("/v1/accounts/{account}/refunds"), refund).is(201);
        }
        for mut entry in server.ledger(account) {
            entry["account"] = json!(account);
            lines += &format!("{entry}\n");
        }
    }

    let digest = server.digest();

    let Some(computed) = by_the_page(&lines) else { return eprintln!("skipped: there is no python3") };
    assert_eq!(computed, format!("80 {}", digest["digest"].as_str().unwrap()));
    assert_eq!(by_the_page("").unwrap(), format!("0 {}", "0".repeat(64)));
}

#[test]
fn a_comparison_names_what_each_side_lacks() {
    let server = Control::start();
    server.create("acme");
    paid_at(&server, "acme", "e1", "2026-01-01T00:00:00Z");
    paid_at(&server, "acme", "e2", "2026-01-02T00:00:00Z");
    paid_at(&server, "acme", "e3", "2026-03-01T00:00:00Z");
    let compare = |ids: Value| {
        let body = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z", "event_ids": ids});
        server.post("/v1/ledger/reconcile", body)
    };

    let agree = compare(json!(["e2", "e1", "e1"])).is(200).json;
    let differ = compare(json!(["e1", "e9", "e3"])).is(200).json;

    assert_eq!(agree, json!({"missing_here": [], "elsewhere": [], "missing_there": [], "truncated": false}));
    assert_eq!(
        differ,
        json!({"missing_here": ["e9"], "elsewhere": ["e3"], "missing_there": ["e2"], "truncated": false})
    );
}

#[test]
fn spans_and_lists_are_bounded() {
    let server = Control::start();

    let get = |query: &str| server.get(&format!("/v1/ledger/digest{query}"));
    let backwards = get("?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z").refused(422, "invalid_request");
    assert_eq!(
        (&backwards.json["errors"][0]["pointer"], &backwards.json["errors"][0]["in"]),
        (&json!("/to"), &json!("query"))
    );
    assert_eq!(get("").problem(422, "invalid_request"), "/from");
    assert_eq!(get("?from=2026-01-02T00:00:00Z&to=soon").problem(422, "invalid_request"), "/to");
    get(&format!("?{EVER}&by=day")).refused(422, "invalid_request");
    let ids: Vec<String> = (0..10_001).map(|n| format!("e{n}")).collect();
    let body = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z", "event_ids": ids});
    assert_eq!(server.post("/v1/ledger/reconcile", body).problem(422, "invalid_request"), "/event_ids");
    let body = json!({"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "event_ids": []});
    assert_eq!(server.post("/v1/ledger/reconcile", body).problem(422, "invalid_request"), "/to");
}
