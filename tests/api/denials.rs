//! What a denied caller is told.

use crate::support::Server;
use serde_json::{Value, json};

/// Spends the six requests a minute of the free tier for music.
fn spend_all(server: &Server) {
    for _ in 0..6 {
        let body = json!({"account": "acme", "resource": "music-2.0", "reserve": {}});
        let decision = server.decide(&body);
        let handle = decision["reservation"]["handle"].as_str().unwrap();
        assert_eq!(server.post(&format!("/v1/reservations/{handle}/settle"), &json!({})).status, 200);
    }
}

#[test]
fn a_denial_says_what_refuses_for_how_long_and_what_to_forward() {
    let server = Server::start();
    spend_all(&server);

    let denied = server.decide(&json!({"account": "acme", "resource": "music-2.0", "reserve": {}}));

    assert_eq!(denied["decision"], "deny");
    assert_eq!(denied["reason"], "quota_exceeded");
    assert_eq!(denied["violated"], json!(["rpm"]));
    let retry_ms = denied["retry_after_ms"].as_i64().unwrap();
    assert!((50_000..=60_000).contains(&retry_ms), "{retry_ms}");
    let seconds = (retry_ms + 999) / 1_000;
    let headers = &denied["headers"];
    assert_eq!(headers["Retry-After"], seconds.to_string());
    assert_eq!(headers["retry-after-ms"], retry_ms.to_string());
    assert_eq!(headers["RateLimit-Policy"], "\"rpm\";q=6;w=60, \"conn\";q=3;qu=\"concurrent-requests\"");
    assert_eq!(headers["RateLimit"], format!("\"rpm\";r=0;t={seconds}, \"conn\";r=3"));
    assert!(headers.get("x-should-retry").is_none());
    assert!(denied.get("reservation").is_none());
}

#[test]
fn the_way_out_names_the_tier_and_what_it_takes() {
    let server = Server::start();
    spend_all(&server);

    let denied = server.decide(&json!({"account": "acme", "resource": "music-2.0", "reserve": {}}));

    let needs = json!({"net_paid": {"CNY": 1}, "have": {"CNY": 0}});
    assert_eq!(denied["way_out"], json!({"tier": "paid", "needs": needs, "raise_request": true}));
}

#[test]
fn where_waiting_cannot_help_clients_are_told_not_to_try_again() {
    let server = Server::start_with(&[]);
    let unknown = server.decide(&json!({"account": "nobody", "resource": "MiniMax-M2"}));
    let default_tier = Server::start();
    let never = default_tier.decide(&json!({"account": "a", "resource": "MiniMax-M2", "tokens": 1_000_001}));
    let no_such = default_tier.decide(&json!({"account": "a", "resource": "gpt-9"}));

    for (denied, reason) in
        [(&unknown, "unknown_account"), (&never, "cost_exceeds_quota"), (&no_such, "unknown_resource")]
    {
        assert_eq!(denied["reason"], reason);
        assert_eq!(denied["headers"]["x-should-retry"], "false");
        assert!(denied.get("retry_after_ms").is_none(), "{denied}");
        assert!(denied["headers"].get("Retry-After").is_none(), "{denied}");
    }
    assert_eq!(unknown["violated"], json!([]));
    assert_eq!(unknown["limits"], json!([]));
    assert_eq!(never["violated"], json!(["tpm"]));
}

#[test]
fn where_only_concurrency_refuses_there_is_no_retry_after_but_the_first_expiry() {
    let server = Server::start();
    let reserve =
        |ttl_ms: u64| server.decide(&json!({"account": "a", "resource": "music-2.0", "reserve": {"ttl_ms": ttl_ms}}));
    for ttl_ms in [30_000, 20_000, 40_000] {
        assert_eq!(reserve(ttl_ms)["decision"], "allow");
    }

    let denied = reserve(1_000);

    assert_eq!(denied["reason"], "concurrency_exceeded");
    assert_eq!(denied["violated"], json!(["conn"]));
    assert_eq!(denied.get("retry_after_ms"), None);
    let expires = denied["slot_expires_in_ms"].as_i64().unwrap();
    assert!((15_000..=20_000).contains(&expires), "{expires}");
    let conn = &denied["limits"][1];
    assert_eq!((&conn["quota"], &conn["used"], &conn["remaining"]), (&json!(3), &json!(3), &json!(0)));
    for absent in ["unit", "window_ms", "reset_after_ms"] {
        assert_eq!(conn.get(absent), None::<&Value>);
    }
}

#[test]
fn a_way_out_is_named_only_where_it_leads_out() {
    let server = crate::control::Control::start();
    server.create("acme");
    let ask = |tokens: u64| server.decide("acme", "MiniMax-M2", tokens);
    let way = || ask(2_000_000).get("way_out").cloned();
    assert_eq!(
        way().map(|way| (way["tier"].clone(), way["raise_request"].clone())),
        Some((json!("paid"), json!(true)))
    );

    let set = json!({"account": "acme", "group": "text.m2", "limit": "tpm", "quota": 1_500_000, "permanent": true,
        "reason": "r"});
    server.post("/v1/overrides", set).is(201);
    assert_eq!(way(), Some(json!({"raise_request": true})), "the override stands before every tier");
    let clamp = json!({"group": "text.m2", "limit": "tpm", "quota": 1_000_000, "reason": "r"});
    server.post("/v1/clamps", clamp).is(201);

    assert_eq!(ask(2_000_000)["reason"], "cost_exceeds_quota");
    assert_eq!(way(), None, "the clamp stands before both");
}
