use crate::control::Control;
use serde_json::{Value, json};

#[test]
fn a_ledger_has_every_event_with_the_net_after_it_in_pages() {
    let server = Control::start();
    server.create("acme");
    server.create("acme2");
    let in_usd = json!({"event_id": "u1", "payment_id": "u", "amount": 7, "currency": "USD"});
    server.top_up("acme", "e1", "p1", 100).is(201);
    server.post("/v1/accounts/acme/top-ups", in_usd).is(201);
    server.take_back("acme", "refund", "e2", "p1", 30).is(201);
    server.top_up("acme2", "e3", "p2", 1).is(201);
    server.take_back("acme", "chargeback", "e4", "p1", 30).is(201);

    let ledger = server.ledger("acme");

    let nets: Vec<&Value> = ledger.iter().map(|entry| &entry["net_paid"]).collect();
    assert_eq!(
        json!(nets),
        json!([{"CNY": 100}, {"CNY": 100, "USD": 7}, {"CNY": 70, "USD": 7}, {"CNY": 40, "USD": 7}])
    );
    let numbers: Vec<u64> = ledger.iter().map(|entry| entry["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);

    let (mut path, mut read) = ("/v1/accounts/acme/ledger?page_size=3".to_owned(), Vec::new());
    loop {
        let page = server.get(&path).is(200).json;
        read.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(token) = page["next_page_token"].as_str() else { break };
        path = format!("/v1/accounts/acme/ledger?page_size=3&page_token={token}");
    }
    assert_eq!(read, ledger);

    let of_kind =
        |kind: &str| server.get(&format!("/v1/accounts/acme/ledger?kind={kind}")).is(200).json["items"].clone();
    assert_eq!(of_kind("chargeback"), json!([ledger[3]]));
    assert_eq!(of_kind("top_up"), json!([ledger[0], ledger[1]]));
    server.get("/v1/accounts/acme/ledger?kind=gift").refused(422, "invalid_request");
    server.get("/v1/accounts/acme/ledger?sort=up").refused(422, "invalid_request");
    server.get("/v1/accounts/acme/ledger/x").refused(422, "invalid_request");
}
