use crate::control::Control;
use serde_json::{Value, json};

fn new(minutes: i64, quota: u64) -> Value {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
    json!({
        "account": "acme", "group": "text.m2", "limit": "rpm", "quota": quota,
        "expires_at": end.to_string(), "reason": "launch week",
    })
}

#[test]
fn an_override_raises_a_quota_until_its_end() {
    let server = Control::start();
    server.create("acme");

    let made = server.post("/v1/overrides", new(10, 40)).is(201);
    assert_eq!(made.header("location"), format!("/v1/overrides/{}", made.json["id"].as_str().unwrap()));
    assert_eq!((&made.json["state"], &made.json["window_ms"]), (&json!("active"), &json!(60_000)));
    assert_eq!(server.allowed("acme", "MiniMax-M2", 45), 40);

    let overlapping = server.post("/v1/overrides", new(5, 50)).refused(409, "override_overlaps");
    assert!(overlapping.json["detail"].as_str().unwrap().contains(made.json["id"].as_str().unwrap()));

    server.advance_minutes(11);
    assert_eq!(server.allowed("acme", "MiniMax-M2", 45), 20);
    let ended = server.get("/v1/overrides?account=acme&state=ended").is(200).json;
    assert_eq!(ended["items"][0]["id"], made.json["id"]);
}

#[test]
fn a_revoked_override_ends_at_once() {
    let server = Control::start();
    server.create("acme");
    let made = server.post("/v1/overrides", new(10, 40)).is(201);
    let path = made.header("location").to_owned();
    assert_eq!(server.allowed("acme", "MiniMax-M2", 30), 30);

    let revoked = server.post(&format!("{path}/revoke"), json!({"reason": "mistake"})).is(200);

    assert_eq!(revoked.json["revoked"]["reason"], "mistake");
    assert_eq!(server.allowed("acme", "MiniMax-M2", 5), 0);
    assert_eq!(server.get(&path).is(200).json["state"], "revoked");
    server.post(&format!("{path}/revoke"), json!({"reason": "again"})).refused(409, "override_ended");
}

#[test]
fn an_override_without_an_end_must_say_so() {
    let server = Control::start();
    server.create("acme");
    let mut body = new(10, 40);
    body["expires_at"] = Value::Null;

    let refused = server.post("/v1/overrides", body.clone()).refused(422, "invalid_request");
    assert_eq!(refused.json["errors"][0]["pointer"], "/expires_at");
    body["permanent"] = json!(true);
    server.post("/v1/overrides", body).is(201);

    let limits = server.get("/v1/accounts/acme/limits").is(200).json;
    let source = &limits["limits"][0]["sources"][0];
    assert_eq!(
        (&source["kind"], &source["outcome"], &source["quota"]),
        (&json!("override"), &json!("set"), &json!(40))
    );
}

#[test]
fn what_ends_soon_is_listed_with_a_proposal_by_its_use() {
    let server = Control::start();
    server.create("acme");
    let made = server.post("/v1/overrides", new(3 * 24 * 60, 40)).is(201);
    assert_eq!(server.allowed("acme", "MiniMax-M2", 30), 30);

    let soon = server.get("/v1/overrides?ending_within=7d").is(200).json;

    assert_eq!(soon["items"][0]["id"], made.json["id"]);
    let proposal = &soon["items"][0]["proposal"];
    assert_eq!(
        (&proposal["action"], &proposal["quota"], &proposal["peak"]),
        (&json!("shrink"), &json!(38), &json!(30))
    );
    assert_eq!(proposal["why"], "the peak of 30 is 75 % of it, above the tier's 20");
    assert_eq!(server.allowed("acme", "MiniMax-M2", 5), 5);
    let fuller = server.get("/v1/overrides?ending_within=7d&account=acme").is(200).json;
    assert_eq!(fuller["items"][0]["proposal"]["action"], "renew");
    assert_eq!(server.get("/v1/overrides?ending_within=2d").is(200).json["items"], json!([]));
    assert!(server.get("/v1/overrides").is(200).json["items"][0].get("proposal").is_none());
    for bad in ["0d", "7", "7s", "367d", "07d", "-1d"] {
        let refused = server.get(&format!("/v1/overrides?ending_within={bad}")).refused(422, "invalid_request");
        assert_eq!(refused.json["errors"][0]["pointer"], "/ending_within");
    }
}
