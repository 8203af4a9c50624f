use crate::control::{Control, JSON};
use serde_json::{Value, json};
use std::sync::Barrier;

#[test]
fn a_top_up_lifts_a_denied_account_at_once_with_its_usage_kept() {
    let server = Control::start();
    server.create("acme");
    assert_eq!(server.allowed("acme", "MiniMax-M2", 21), 20);
    let denied = server.decide("acme", "MiniMax-M2", 1);
    assert_eq!((&denied["decision"], &denied["way_out"]["tier"]), (&json!("deny"), &json!("paid")));

    let paid = server.top_up("acme", "e1", "p1", 10_000).is(201);

    let allowed = server.decide("acme", "MiniMax-M2", 1);
    assert_eq!(allowed["decision"], "allow");
    assert_eq!((&allowed["limits"][0]["quota"], &allowed["limits"][0]["used"]), (&json!(500), &json!(21)));
    assert_eq!(paid.header("location"), "/v1/accounts/acme/ledger/1");
    let answer = &paid.json;
    assert_eq!((&answer["account"], &answer["number"], &answer["kind"]), (&json!("acme"), &json!(1), &json!("top_up")));
    assert_eq!((&answer["net_paid"], &answer["duplicate"]), (&json!({"CNY": 10_000}), &json!(false)));
    assert_eq!(answer["tier"], json!({"effective": "paid", "floor": "free", "reached": "paid"}));
    assert_eq!(answer["by"], server.get("/v1/me").json["actor"]);
    assert_eq!(answer.get("pending"), None);
    let entry = server.get(paid.header("location")).is(200);
    assert!(entry.etag().starts_with(paid.etag().trim_end_matches('"')), "{} {}", entry.etag(), paid.etag());
    assert_eq!(entry.json["event_id"], "e1");
    let audited = &server.audited("acme", "payment.top_up")[0]["detail"];
    assert_eq!(audited["tier"], json!({"before": "free", "after": "paid"}));
}

#[test]
fn an_event_that_is_sent_again_is_known_whatever_it_leaves_out() {
    let server = Control::start();
    server.create("acme");
    let first = server.top_up("acme", "e1", "p1", 10_000).is(201);
    let before = server.money("acme");

    let again = server.top_up("acme", "e1", "p1", 10_000).is(200);
    let dated = json!({"event_id": "e1", "payment_id": "p1", "amount": 10_000, "currency": "CNY",
        "occurred_at": first.json["occurred_at"]});
    server.post("/v1/accounts/acme/top-ups", dated).is(200);

    let expected = {
        let mut expected = first.json.clone();
        expected["duplicate"] = json!(true);
        expected
    };
    assert_eq!((again.json, again.headers.get("location")), (expected, None));
    assert_eq!(server.money("acme"), before);
    let server = server.after_kill();
    assert_eq!(server.top_up("acme", "e1", "p1", 10_000).is(200).json["duplicate"], true);
    assert_eq!(server.money("acme"), before);
}

#[test]
fn an_event_id_with_other_content_is_refused_and_leaves_an_audit_entry() {
    let server = Control::start();
    server.create("acme");
    server.create("beta");
    let event = json!({"event_id": "e1", "payment_id": "p1", "amount": 100, "currency": "CNY",
        "occurred_at": "2026-01-31T08:00:00Z"});
    server.post("/v1/accounts/acme/top-ups", event.clone()).is(201);
    let before = (server.money("acme"), server.money("beta"));

    let with = |field: &str, value: Value| {
        let mut body = event.clone();
        body[field] = value;
        body
    };
    for body in [
        with("amount", json!(101)),
        with("currency", json!("USD")),
        with("payment_id", json!("p2")),
        with("occurred_at", json!("2026-01-31T08:00:01Z")),
    ] {
        server.post("/v1/accounts/acme/top-ups", body).refused(409, "event_conflict");
    }
    server.take_back("acme", "refund", "e1", "p1", 100).refused(409, "event_conflict");
    server.post("/v1/accounts/beta/top-ups", event).refused(409, "event_conflict");

    assert_eq!((server.money("acme"), server.money("beta")), before);
    let refused = server.audited("acme", "payment.refuse");
    assert_eq!((refused.len(), server.audited("beta", "payment.refuse").len()), (5, 1));
    assert_eq!(refused[0]["detail"]["code"], "event_conflict");
    assert_eq!(refused[4]["detail"]["event"]["amount"], 101);
}

#[test]
fn a_payment_belongs_to_one_account_has_one_currency_and_is_topped_up_once() {
    let server = Control::start();
    server.create("acme");
    server.create("beta");
    server.top_up("acme", "e1", "p1", 100).is(201);
    let before = server.money("acme");

    server.top_up("acme", "e2", "p1", 100).refused(409, "payment_conflict");
    server.top_up("beta", "e2", "p1", 100).refused(409, "payment_conflict");
    server.take_back("beta", "refund", "e2", "p1", 100).refused(409, "payment_conflict");
    let in_usd = json!({"event_id": "e2", "payment_id": "p1", "amount": 1, "currency": "USD"});
    server.post("/v1/accounts/acme/refunds", in_usd).refused(409, "payment_conflict");

    assert_eq!(server.money("acme"), before);
    assert_eq!(server.audited("acme", "payment.refuse").len(), 2);
    server.top_up("acme", "e2", "p2", 100).is(201);
}

#[test]
fn what_is_no_payment_is_refused_and_nothing_is_stored() {
    let server = Control::start();
    server.create("acme");
    server.post("/v1/accounts/acme/sub-accounts", json!({"id": "acme-eu"})).is(201);
    let (digest, changes) = (server.digest(), server.get("/readyz").json["last_change"].clone());
    let good = json!({"event_id": "e1", "payment_id": "p1", "amount": 100, "currency": "CNY"});

    for (field, value) in [
        ("amount", "0"),
        ("amount", "-1"),
        ("amount", "1.5"),
        ("amount", "1000000000000001"),
        ("amount", "1e300"),
        ("amount", "\"100\""),
        ("amount", "null"),
        ("currency", "\"ABC\""),
        ("currency", "\"cny\""),
        ("currency", "null"),
        ("event_id", "\"\""),
        ("event_id", "\"a b\""),
        ("payment_id", "\"é\""),
        ("occurred_at", "\"yesterday\""),
        ("occurred_at", "\"1969-12-31T23:59:59Z\""),
        ("amuont", "1"),
    ] {
        let mut body = good.clone();
        body[field] = serde_json::from_str(value).unwrap();
        let reply = server.0.send("POST", "/v1/accounts/acme/top-ups", &[JSON], &body.to_string());
        assert_eq!(reply.problem(422, "invalid_request"), format!("/{field}"), "{value}");
    }
    server.top_up("nobody", "e1", "p1", 100).refused(404, "not_found");
    server.top_up("acme-eu", "e1", "p1", 100).refused(409, "not_a_main_account");
    server.take_back("acme", "top_up", "e1", "p1", 100).refused(422, "invalid_request");
    server.get("/v1/accounts/nobody/ledger").refused(404, "not_found");
    server.get("/v1/accounts/acme-eu/ledger").refused(409, "not_a_main_account");
    server.get("/v1/accounts/acme/ledger/1").refused(404, "not_found");

    assert_eq!(server.ledger("acme"), Vec::<Value>::new());
    assert_eq!(server.digest(), digest);
    assert_eq!(server.get("/readyz").json["last_change"], changes);
    let most = json!({"event_id": "e1", "payment_id": "p1", "amount": 1_000_000_000_000_000_u64, "currency": "CNY"});
    server.post("/v1/accounts/acme/top-ups", most).is(201);
}

#[test]
fn validate_only_checks_and_writes_nothing() {
    let server = Control::start();
    server.create("acme");
    let (before, changes) = (server.money("acme"), server.get("/readyz").json["last_change"].clone());
    let event = json!({"event_id": "e1", "payment_id": "p1", "amount": 100, "currency": "CNY"});

    let checked = server.post("/v1/accounts/acme/top-ups?validate_only=true", event.clone()).is(200);

    assert_eq!((&checked.json["duplicate"], &checked.json["tier"]["effective"]), (&json!(false), &json!("paid")));
    assert_eq!(server.money("acme"), before);
    assert_eq!(server.get("/readyz").json["last_change"], changes);
    server.post("/v1/accounts/acme/top-ups", event).is(201);
    let changes = server.get("/readyz").json["last_change"].clone();
    let other = json!({"event_id": "e1", "payment_id": "p1", "amount": 101, "currency": "CNY"});
    server.post("/v1/accounts/acme/top-ups?validate_only=true", other).refused(409, "event_conflict");
    assert_eq!(server.get("/readyz").json["last_change"], changes, "a refusal that is only tried is not told");
}

#[test]
fn an_event_that_two_deliver_at_once_is_credited_once() {
    let server = Control::start();
    server.create("acme");
    let rounds = 100;
    let barrier = Barrier::new(2);

    let deliver = || {
        let mut made = 0;
        for round in 0..rounds {
            barrier.wait();
            let reply = server.top_up("acme", &format!("e{round}"), &format!("p{round}"), 3);
            assert!(matches!(reply.status, 200 | 201), "{}", reply.text);
            assert_eq!(reply.json["duplicate"], reply.status == 200);
            assert_eq!(reply.json["tier"]["effective"], "paid");
            assert_eq!(server.decide("acme", "MiniMax-M2", 1)["limits"][0]["quota"], 500);
            made += usize::from(reply.status == 201);
        }
        made
    };
    let made: usize = std::thread::scope(|scope| {
        let workers = [scope.spawn(deliver), scope.spawn(deliver)];
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });

    assert_eq!(made, rounds);
    let check = |server: &Control| {
        let ledger = server.ledger("acme");
        assert_eq!((ledger.len(), &ledger[rounds - 1]["net_paid"]), (rounds, &json!({"CNY": 3 * rounds})));
        assert_eq!(server.digest()["count"], rounds);
    };
    check(&server);
    check(&server.after_kill());
}
