use crate::control::Control;
use serde_json::{Value, json};

const DAY: u64 = 24 * 60;

fn tier(server: &Control) -> Value {
    server.get("/v1/accounts/acme/tier").is(200).json
}

/// Ids of the accounts of a tier.
fn of_tier(server: &Control, tier: &str) -> Vec<String> {
    let page = server.get(&format!("/v1/accounts?tier={tier}")).is(200).json;
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_refund_leaves_the_tier_for_its_grace_and_then_it_falls() {
    let server = Control::start();
    server.create("acme");
    server.create("beta");
    server.top_up_long_ago("acme", "e1", "p1", 100);

    let refunded = server.take_back("acme", "refund", "e2", "p1", 100).is(201);

    assert_eq!((&refunded.json["kind"], &refunded.json["net_paid"]), (&json!("refund"), &json!({"CNY": 0})));
    let until = refunded.json["tier"]["granted_until"].clone();
    assert!(until.is_string(), "{}", refunded.text);
    assert_eq!((&tier(&server)["effective"], &tier(&server)["granted_until"]), (&json!("paid"), &until));
    let server = server.after_kill();
    assert_eq!(tier(&server)["granted_until"], until);
    server.advance_minutes(30 * DAY - 2);
    assert_eq!((of_tier(&server, "paid"), of_tier(&server, "free")), (vec!["acme".into()], vec!["beta".into()]));
    assert_eq!(server.audited("acme", "account.tier_changed").len(), 0);

    server.advance_minutes(3);

    assert_eq!(of_tier(&server, "paid"), Vec::<String>::new());
    assert_eq!(of_tier(&server, "free"), ["acme", "beta"]);
    assert_eq!(server.allowed("acme", "MiniMax-M2", 21), 20);
    let noticed = &server.soon_audited("acme", "account.tier_changed", 1)[0];
    assert_eq!(noticed["detail"]["tier"], json!({"before": "paid", "after": "free"}));
    assert_eq!((&noticed["detail"]["cause"], &noticed["actor_kind"]), (&json!("grace_ended"), &json!("system")));
    assert!(server.get("/metrics").text.contains("\nquotagate_tier_changes_total 1\n"));
}

#[test]
fn a_grace_that_is_over_stays_over_after_a_kill() {
    let server = Control::start();
    server.create("acme");
    server.top_up_long_ago("acme", "e1", "p1", 100);
    let refund = json!({"event_id": "e2", "payment_id": "p1", "amount": 100, "occurred_at": "2025-02-01T00:00:00Z"});

    let refunded = server.post("/v1/accounts/acme/refunds", refund).is(201);

    assert_eq!(refunded.json["tier"]["effective"], "free");
    let before = server.money("acme");
    let server = server.after_kill();
    assert_eq!(server.money("acme"), before);
    assert_eq!(server.allowed("acme", "MiniMax-M2", 21), 20);
}

#[test]
fn a_fall_that_a_top_up_follows_at_once_is_in_the_audit_log_all_the_same() {
    let server = Control::start();
    server.create("acme");
    server.top_up("acme", "e1", "p1", 100).is(201);
    server.advance_minutes(1);
    server.take_back("acme", "refund", "e2", "p1", 100).is(201);

    server.advance_minutes(31 * DAY);
    server.top_up("acme", "e3", "p2", 100).is(201);

    assert_eq!(tier(&server)["effective"], "paid");
    let noticed = server.soon_audited("acme", "account.tier_changed", 1);
    assert_eq!(noticed[0]["detail"]["tier"], json!({"before": "paid", "after": "free"}));
    // The rise is told by the payment itself, and the time that it counts from is looked at once more.
    server.soon_audited("acme", "account.tier_checked", 1);
    assert_eq!(server.audited("acme", "account.tier_changed"), noticed);
}

#[test]
fn a_top_up_of_a_time_to_come_counts_from_then() {
    let server = Control::start();
    server.create("acme");
    let event = json!({"event_id": "e1", "payment_id": "p1", "amount": 1, "currency": "CNY",
        "occurred_at": "2099-01-01T00:00:00Z"});

    let early = server.post("/v1/accounts/acme/top-ups", event).is(201);

    assert_eq!((&early.json["tier"]["effective"], &early.json["net_paid"]), (&json!("free"), &json!({"CNY": 1})));
    server.advance_minutes(80 * 366 * DAY);
    assert_eq!(tier(&server)["effective"], "paid");
    let noticed = &server.soon_audited("acme", "account.tier_changed", 1)[0];
    assert_eq!((&noticed["detail"]["tier"]["after"], &noticed["detail"]["cause"]), (&json!("paid"), &json!("payment")));
}

#[test]
fn a_chargeback_falls_at_once_and_ends_a_grace() {
    let server = Control::start();
    server.create("acme");
    server.top_up("acme", "e1", "p1", 100).is(201);

    let fallen = server.take_back("acme", "chargeback", "e2", "p1", 100).is(201);

    assert_eq!(fallen.json["tier"], json!({"effective": "free", "floor": "free", "reached": "free"}));
    assert_eq!(server.allowed("acme", "MiniMax-M2", 21), 20);
    let server = server.after_kill();
    assert_eq!(tier(&server)["effective"], "free");
    server.top_up("acme", "e3", "p2", 100).is(201);
    server.take_back("acme", "refund", "e4", "p2", 99).is(201);
    assert_eq!(tier(&server)["effective"], "paid");
    server.advance_minutes(1);
    server.take_back("acme", "refund", "e5", "p2", 1).is(201);
    assert!(tier(&server)["granted_until"].is_string());
    // Nothing is left to be taken back; it is a chargeback all the same.
    server.take_back("acme", "chargeback", "e6", "p2", 1).is(201);
    assert_eq!(tier(&server)["effective"], "free");
}

#[test]
fn a_refund_before_its_top_up_waits_and_is_counted_then() {
    let server = Control::start();
    server.create("acme");

    let early = server.take_back("acme", "refund", "e1", "p1", 40).is(201);

    assert_eq!((&early.json["pending"], &early.json["net_paid"]), (&json!(true), &json!({})));
    assert_eq!(tier(&server)["effective"], "free");
    // A change of the account does not make the engine forget it.
    let tag = server.tag("/v1/accounts/acme");
    server.on(&tag, "PATCH", "/v1/accounts/acme", json!({"name": "Acme"})).is(200);
    let server = server.after_kill();
    assert_eq!(server.take_back("acme", "refund", "e1", "p1", 40).is(200).json["pending"], true);
    let paid = server.top_up("acme", "e2", "p1", 100).is(201);
    assert_eq!((&paid.json["net_paid"], &paid.json["tier"]["effective"]), (&json!({"CNY": 60}), &json!("paid")));
    let ledger = server.ledger("acme");
    assert_eq!((ledger[0].get("pending"), &ledger[1]["net_paid"]), (None, &json!({"CNY": 60})));
    server.take_back("acme", "refund", "e3", "p1", 1_000).is(201);
    assert_eq!(server.ledger("acme")[2]["net_paid"], json!({"CNY": 0}));
    let before = server.money("acme");
    assert_eq!(server.after_kill().money("acme"), before);
}
