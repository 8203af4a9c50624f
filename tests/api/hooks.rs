use crate::control::Control;
use crate::signing::{mac, seconds, signature, top_up};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn a_signed_top_up_lifts_a_denied_account_at_once_and_counts_once() {
    let server = Control::start();
    server.create("acme");
    let secret = server.source("billing", "generic");
    assert_eq!(server.allowed("acme", "MiniMax-M2", 21), 20);

    let delivered = server.deliver("billing", &secret, &top_up("acme", 1, 100)).is(200).json;

    let result = &delivered["results"][0];
    assert_eq!((&result["result"], &result["event_id"]), (&json!("recorded"), &json!("e1")));
    assert_eq!(result["payment"]["tier"]["effective"], "paid");
    assert_eq!(server.decide("acme", "MiniMax-M2", 1)["decision"], "allow");
    let entry = &server.ledger("acme")[0];
    assert_eq!((&entry["by"], &entry["amount"]), (&json!("billing"), &json!(100)));
    let audited = &server.audited("acme", "payment.top_up")[0];
    assert_eq!((&audited["actor"], &audited["actor_kind"]), (&json!("billing"), &json!("billing_source")));
    assert_eq!(server.get("/v1/audit?actor=billing_source:billing").is(200).json["items"][0]["seq"], audited["seq"]);

    // The same again, signed anew or just repeated, and by the other way in.
    let before = server.money("acme");
    for _ in 0..2 {
        let again = server.deliver("billing", &secret, &top_up("acme", 1, 100)).is(200).json;
        assert_eq!(again["results"][0]["result"], "duplicate");
    }
    let plain = json!({"event_id": "e1", "payment_id": "p1", "amount": 100, "currency": "CNY"});
    assert_eq!(server.post("/v1/accounts/acme/top-ups", plain).is(200).json["duplicate"], true);
    let server = server.after_kill();
    let again = server.deliver("billing", &secret, &top_up("acme", 1, 100)).is(200).json;
    assert_eq!(again["results"][0]["result"], "duplicate");
    assert_eq!(server.money("acme"), before);
}

#[test]
fn a_delivery_without_a_good_signature_changes_nothing_and_is_told_why() {
    let server = Control::start();
    server.create("acme");
    let secret = server.source("billing", "generic");
    server.source("other", "generic");
    let (now, body) = (seconds(0), top_up("acme", 1, 100).to_string());
    let good = signature(&secret, now, &body);

    let wrong = signature("a-secret-of-nobody-at-all", now, &body);
    let others = [
        ("", "not of the form"),
        ("v1=00", "not of the form"),
        (&format!("v1={}", mac(&secret, now, &body)), "not of the form"),
        (&format!("t={now}"), "not of the form"),
        (&format!("{good},t={now}"), "not of the form"),
        (&wrong, "no `v1` is the signature"),
        (&good.replace("v1=", "v0=1,v1=0"), "not of the form"),
        (&signature(&secret, now - 400, &body), "more than 300 s ago"),
        (&signature(&secret, now + 400, &body), "ahead of this server's clock"),
        // Signed for another time, and for nothing at all.
        (&good.replace(&now.to_string(), &(now + 1).to_string()), "no `v1` is the signature"),
        (&signature(&secret, now, ""), "no `v1` is the signature"),
    ];
    for (header, why) in others {
        let refused = server.deliver_as("billing", ("quotagate-signature", header), &body);
        let refused = refused.refused(401, "invalid_signature");
        assert!(refused.json["detail"].as_str().unwrap().contains(why), "{header}: {}", refused.text);
        assert!(!refused.text.contains(&secret));
        assert_eq!(refused.header("www-authenticate"), "Signature");
    }
    let missing = server.deliver_as("billing", ("x-nothing", "1"), &body).refused(401, "invalid_signature");
    assert_eq!(missing.json["detail"], "there is no signature");
    // Whose it is counts too, and a source that does not exist is not told apart.
    for source in ["other", "nobody"] {
        let refused =
            server.deliver_as(source, ("quotagate-signature", &good), &body).refused(401, "invalid_signature");
        assert!(refused.json["detail"].as_str().unwrap().contains("no `v1`"), "{}", refused.text);
    }
    // What is not signed is not even parsed.
    server.deliver_as("billing", ("quotagate-signature", &good), "{").refused(401, "invalid_signature");

    assert_eq!((server.ledger("acme").len(), &server.digest()["count"]), (0, &json!(0)));
    server.deliver_as("billing", ("quotagate-signature", &good), &body).is(200);
}

#[test]
fn a_body_that_differs_in_one_byte_is_refused() {
    let server = Control::start();
    server.create("acme");
    let secret = server.source("billing", "generic");
    let body = top_up("acme", 1, 100).to_string();
    let header = signature(&secret, seconds(0), &body);

    for at in 0..body.len() {
        let mut changed = body.clone().into_bytes();
        // Still text: the case of a letter, the value of a digit.
        changed[at] ^= 1;
        let changed = String::from_utf8(changed).unwrap();
        server.deliver_as("billing", ("quotagate-signature", &header), &changed).refused(401, "invalid_signature");
    }
    for changed in [format!("{body} "), format!(" {body}"), body[..body.len() - 1].to_owned()] {
        server.deliver_as("billing", ("quotagate-signature", &header), &changed).refused(401, "invalid_signature");
    }

    assert_eq!(server.ledger("acme").len(), 0);
    server.deliver_as("billing", ("quotagate-signature", &header), &body).is(200);
    assert_eq!(server.ledger("acme").len(), 1);
}

#[test]
fn a_batch_has_a_result_for_each_event() {
    let server = Control::start();
    server.create("acme");
    server.post("/v1/accounts/acme/sub-accounts", json!({"id": "acme-eu"})).is(201);
    let secret = server.source("billing", "generic");
    let refund = json!({"kind": "refund", "account": "acme", "event_id": "r1", "payment_id": "p1", "amount": 30});
    let early = json!({"kind": "chargeback", "account": "acme", "event_id": "r9", "payment_id": "p9", "amount": 5});
    let bad = |field: &str, value: Value| {
        let mut event = top_up("acme", 7, 100);
        event[field] = value;
        event
    };
    let events = json!({"events": [
        top_up("acme", 1, 100),
        refund,
        early,
        top_up("acme", 1, 100),
        top_up("acme", 1, 101),
        top_up("nobody", 2, 100),
        top_up("acme-eu", 3, 100),
        bad("amount", json!(0)),
        bad("amount", json!(-1)),
        bad("amount", json!(1.5)),
        bad("amount", json!(1_000_000_000_000_001_u64)),
        bad("currency", json!("XYZ")),
        bad("event_id", json!("")),
        bad("colour", json!("red")),
        "no object",
        top_up("acme", 4, 1),
    ]});

    let results = server.deliver("billing", &secret, &events).is(200).json["results"].as_array().unwrap().clone();

    let of = |field: &str| results.iter().map(|result| result[field].clone()).collect::<Vec<Value>>();
    let recorded = "recorded";
    let expected = [recorded, recorded, recorded, "duplicate"].into_iter().chain(vec!["refused"; 11]).chain([recorded]);
    assert_eq!(of("result"), expected.map(Value::from).collect::<Vec<Value>>());
    let codes: Vec<&str> = results[4..15].iter().map(|result| result["error"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes[..3], ["event_conflict", "not_found", "not_a_main_account"]);
    assert!(codes[3..].iter().all(|code| *code == "invalid_request"), "{codes:?}");
    let pointer = |at: usize| results[at]["error"]["errors"][0]["pointer"].clone();
    assert_eq!([pointer(7), pointer(11), pointer(13)], [json!("/amount"), json!("/currency"), json!("/colour")]);
    assert_eq!((&results[7]["event_id"], results[12].get("event_id")), (&json!("e7"), None));
    assert_eq!(results[2]["payment"]["pending"], true);
    let ledger = server.ledger("acme");
    let ids: Vec<&str> = ledger.iter().map(|entry| entry["event_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["e1", "r1", "r9", "e4"]);
    assert_eq!(ledger[3]["net_paid"], json!({"CNY": 71}));
}

#[test]
fn a_batch_has_from_1_to_256_events() {
    let server = Control::start();
    server.create("acme");
    let secret = server.source("billing", "generic");
    let batch = |events: u64| json!({"events": (1..=events).map(|n| top_up("acme", n, 1)).collect::<Vec<_>>()});

    for events in [0, 257] {
        let refused = server.deliver("billing", &secret, &batch(events));
        assert_eq!(refused.problem(422, "invalid_request"), "/events");
    }
    assert_eq!(server.ledger("acme").len(), 0);
    let most = server.deliver("billing", &secret, &batch(256)).is(200).json;

    assert_eq!(most["results"].as_array().unwrap().len(), 256);
    assert_eq!(server.digest()["count"], 256);
}

#[test]
fn one_event_alone_is_answered_with_its_own_error() {
    let server = Control::start();
    server.create("acme");
    let secret = server.source("billing", "generic");
    let deliver = |event: &Value| server.deliver("billing", &secret, event);

    deliver(&top_up("nobody", 1, 1)).refused(404, "not_found");
    assert_eq!(deliver(&json!({"kind": "top_up"})).problem(422, "invalid_request"), "/account");
    assert_eq!(deliver(&json!([])).problem(422, "invalid_request"), "");
    deliver(&top_up("acme", 1, 1)).is(200);
    deliver(&top_up("acme", 1, 2)).refused(409, "event_conflict");

    let body = "{\"kind\": ";
    let header = signature(&secret, seconds(0), body);
    server.deliver_as("billing", ("quotagate-signature", &header), body).refused(400, "invalid_json");
    assert_eq!(server.ledger("acme").len(), 1);
    // A conflict is looked into later: it is in the audit log, under the source's name.
    assert_eq!(server.audited("acme", "payment.refuse")[0]["actor"], "billing");
}

#[test]
fn what_stripe_sends_moves_the_tier() {
    let server = Control::start();
    server.create("acme");
    let secret = server.source("stripe", "stripe");
    let event = |id: &str, kind: &str, data: Value| {
        json!({"id": id, "object": "event", "api_version": "2025-03-31", "type": kind, "created": 1_769_846_400,
            "livemode": true, "data": data})
    };
    let charge = |id: &str, more: Value| {
        let mut charge = json!({"id": id, "object": "charge", "amount": 10_000, "amount_captured": 10_000,
            "amount_refunded": 0, "currency": "cny", "captured": true, "metadata": {"account": "acme", "order": "7"}});
        charge.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        charge
    };
    let send = |event: &Value| {
        let body = event.to_string();
        server.deliver_as("stripe", ("stripe-signature", &signature(&secret, seconds(0), &body)), &body)
    };
    let result = |event: &Value| send(event).is(200).json["results"][0].clone();

    let paid = result(&event("evt_1", "charge.succeeded", json!({"object": charge("ch_1", json!({}))})));
    assert_eq!((&paid["result"], &paid["payment"]["tier"]["effective"]), (&json!("recorded"), &json!("paid")));
    let entry = &server.ledger("acme")[0];
    assert_eq!(
        (&entry["event_id"], &entry["payment_id"], &entry["currency"], &entry["occurred_at"]),
        (&json!("evt_1"), &json!("ch_1"), &json!("CNY"), &json!("2026-01-31T08:00:00.000Z"))
    );
    assert_eq!(
        result(&event("evt_1", "charge.succeeded", json!({"object": charge("ch_1", json!({}))})))["result"],
        "duplicate"
    );

    // Two refunds of one charge: `amount_refunded` is of both together.
    let refunded = |id: &str, before: u64, now: u64| {
        let object = charge("ch_1", json!({"amount_refunded": now}));
        event(id, "charge.refunded", json!({"object": object, "previous_attributes": {"amount_refunded": before}}))
    };
    assert_eq!(result(&refunded("evt_3", 2_000, 5_000))["payment"]["amount"], 3_000);
    assert_eq!(result(&refunded("evt_2", 0, 2_000))["payment"]["amount"], 2_000);
    assert_eq!(server.ledger("acme")[2]["net_paid"], json!({"CNY": 5_000}));
    assert_eq!(send(&refunded("evt_x", 9, 2)).problem(422, "invalid_request"), "/data/object/amount_refunded");

    // Authorised first, captured in part later.
    let authorised = charge("ch_2", json!({"captured": false, "amount_captured": 0}));
    let ignored = result(&event("evt_4", "charge.succeeded", json!({"object": authorised})));
    assert_eq!(ignored["result"], "ignored");
    let captured = charge("ch_2", json!({"amount_captured": 700}));
    assert_eq!(result(&event("evt_5", "charge.captured", json!({"object": captured})))["payment"]["amount"], 700);

    // A dispute has no metadata of the charge's.
    let dispute =
        json!({"id": "dp_1", "object": "dispute", "charge": "ch_2", "amount": 700, "currency": "cny", "metadata": {}});
    let lost = result(&event("evt_6", "charge.dispute.funds_withdrawn", json!({"object": dispute})));
    assert_eq!((&lost["payment"]["kind"], &lost["payment"]["account"]), (&json!("chargeback"), &json!("acme")));
    assert_eq!(server.ledger("acme")[4]["net_paid"], json!({"CNY": 5_000}));

    let other = result(&event("evt_7", "customer.created", json!({"object": {"id": "cus_1"}})));
    assert_eq!((&other["result"], &other["event_id"]), (&json!("ignored"), &json!("evt_7")));
    assert_eq!(server.ledger("acme").len(), 5);
}

#[test]
fn an_event_of_stripe_that_cannot_be_mapped_says_what_is_missing() {
    let server = Control::start();
    server.create("acme");
    let secret = server.source("stripe", "stripe");
    let send = |event: Value| {
        let body = event.to_string();
        server.deliver_as("stripe", ("stripe-signature", &signature(&secret, seconds(0), &body)), &body)
    };
    let charge = |object: Value| json!({"id": "evt_1", "type": "charge.succeeded", "data": {"object": object}});
    let whole = json!({"id": "ch_1", "amount": 1, "currency": "usd", "metadata": {"account": "acme"}});
    let with = |field: &str, value: Value| {
        let mut object = whole.clone();
        object[field] = value;
        charge(object)
    };

    for (event, pointer) in [
        (with("metadata", json!({})), "/data/object/metadata/account"),
        (with("metadata", json!({"account": "a b"})), "/data/object/metadata/account"),
        (with("currency", json!("zzz")), "/data/object/currency"),
        (with("amount", json!(1.5)), "/data/object/amount"),
        (with("amount", json!(-1)), "/data/object/amount"),
        (with("amount", json!(0)), "/data/object/amount"),
        (with("amount", json!(1_000_000_000_000_001_u64)), "/data/object/amount"),
        (with("id", json!(7)), "/data/object/id"),
        (charge(json!(null)), "/data/object"),
        (json!({"id": "evt_1", "type": "charge.succeeded"}), "/data"),
        (json!({"type": "charge.succeeded"}), "/id"),
        (
            json!({"id": "evt_1", "type": "charge.dispute.funds_withdrawn", "data": {"object":
            {"charge": "ch_9", "amount": 1, "currency": "usd"}}}),
            "/data/object/metadata/account",
        ),
    ] {
        let text = event.to_string();
        assert_eq!(send(event).problem(422, "invalid_request"), pointer, "{text}");
    }
    let unknown = with("metadata", json!({"account": "nobody"}));
    send(unknown).refused(404, "not_found");
    assert_eq!(server.digest()["count"], 0);
}

#[test]
fn the_program_on_the_page_signs_what_it_delivers() {
    let server = Control::start();
    server.create("acme");
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("billing.secret");
    std::fs::write(&secret, server.source("billing", "generic") + "\n").unwrap();
    let page = include_str!("../../docs/billing.md");
    let program = page.split_once("```python\n").unwrap().1.split_once("```").unwrap().0;
    let mut python = Command::new("python3");
    python.arg("-c").arg(program).arg(secret).arg(format!("http://{}/v1/hooks/billing/billing", server.0.address));
    let child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return eprintln!("skipped: there is no python3") };

    child.stdin.take().unwrap().write_all(top_up("acme", 1, 100).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();

    assert!(output.status.success());
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["results"][0]["result"], "recorded");
    assert_eq!(server.ledger("acme").len(), 1);
}
