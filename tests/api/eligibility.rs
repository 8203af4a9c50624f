use crate::control::Control;
use serde_json::{Value, json};

const DAY_MS: u64 = 86_400_000;
const POLICY: &str = r#"
schema: quotagate.policy/v1
name: ladder
tiers:
  - {id: free}
  - {id: one, reached_by: {net_paid_at_least: {CNY: 100, USD: 15}}, grace: 1d}
  - {id: two, reached_by: {net_paid_at_least: {CNY: 500}, account_age_at_least: 7d}, grace: 1d}
  - {id: staff}
default_tier: free
groups:
  - id: text
    resources: [text]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 1, one: 2, two: 3, staff: 4}}
"#;

fn start() -> Control {
    let server = Control::start();
    let tag = server.tag("/v1/policies/active");
    server.on(&tag, "POST", "/v1/policies/revisions", json!({"document": POLICY, "reason": "test"})).is(201);
    server.create("acme");
    server
}

fn read(server: &Control) -> Value {
    server.get("/v1/accounts/acme/tier-eligibility").is(200).json
}

#[test]
fn each_tier_says_what_it_takes_and_what_is_there() {
    let server = start();
    let created = server.get("/v1/accounts/acme").json["created_at"].as_str().unwrap().to_owned();
    server.top_up("acme", "e1", "p1", 40).is(201);

    let eligibility = read(&server);

    assert_eq!((&eligibility["effective"], &eligibility["reached"]), (&json!("free"), &json!("free")));
    let tiers = eligibility["tiers"].as_array().unwrap();
    assert_eq!(tiers[0], json!({"tier": "free", "reached": true, "granted": true}));
    assert_eq!(tiers[1]["net_paid"], json!({"CNY": {"have": 40, "need": 100}, "USD": {"have": 0, "need": 15}}));
    assert_eq!((&tiers[1]["reached"], tiers[1].get("account_age_ms")), (&json!(false), None));
    let age = &tiers[2]["account_age_ms"];
    assert_eq!(age["need"], 7 * DAY_MS);
    assert!(age["have"].as_u64().unwrap() < DAY_MS, "{age}");
    assert!(age["holds_from"].as_str().unwrap() > created.as_str(), "{age}");
    assert_eq!(tiers[3], json!({"tier": "staff", "reached": false, "granted": false, "operator_only": true}));

    let in_usd = json!({"event_id": "u1", "payment_id": "u", "amount": 15, "currency": "USD"});
    server.post("/v1/accounts/acme/top-ups", in_usd).is(201);
    assert_eq!((&read(&server)["reached"], &read(&server)["tiers"][1]["granted"]), (&json!("one"), &json!(true)));
    server.post("/v1/accounts/acme/sub-accounts", json!({"id": "acme-eu"})).is(201);
    assert_eq!(server.get("/v1/accounts/acme-eu/tier-eligibility").is(200).json["reached"], "one");
    server.get("/v1/accounts/nobody/tier-eligibility").refused(404, "not_found");
}

#[test]
fn age_lifts_by_time_alone_and_grace_is_told_for_each_tier() {
    let server = start();
    server.top_up("acme", "e1", "p1", 500).is(201);
    assert_eq!(read(&server)["effective"], "one");

    server.advance_minutes(7 * 24 * 60);

    assert_eq!(read(&server)["effective"], "two");
    let page = server.get("/v1/accounts?tier=two").is(200).json;
    assert_eq!(page["items"][0]["id"], "acme");
    let noticed = &server.soon_audited("acme", "account.tier_changed", 1)[0];
    assert_eq!(
        (&noticed["detail"]["tier"]["after"], &noticed["detail"]["cause"]),
        (&json!("two"), &json!("age_reached"))
    );

    server.advance_minutes(1);
    server.take_back("acme", "refund", "e2", "p1", 300).is(201);
    let tiers = read(&server)["tiers"].clone();
    assert_eq!((&tiers[2]["reached"], &tiers[2]["granted"]), (&json!(false), &json!(true)));
    assert_eq!(tiers[2]["granted_until"], read(&server)["granted_until"]);
    assert_eq!((&tiers[1]["reached"], tiers[1].get("granted_until")), (&json!(true), None));

    // A policy that takes less grants at once, and the fall to come is noticed by its rules.
    let document = POLICY.replace("grace: 1d", "grace: 2d");
    let tag = server.tag("/v1/policies/active");
    server.on(&tag, "POST", "/v1/policies/revisions", json!({"document": document, "reason": "longer"})).is(201);
    server.advance_minutes(36 * 60);
    assert_eq!(read(&server)["effective"], "two");
    server.advance_minutes(13 * 60);
    assert_eq!(read(&server)["effective"], "one");
    let noticed = &server.soon_audited("acme", "account.tier_changed", 2)[0];
    assert_eq!(noticed["detail"]["tier"], json!({"before": "two", "after": "one"}));
}
