use crate::control::Control;
use serde_json::json;

#[test]
fn thirty_requests_of_the_main_account_leave_ninety_for_its_sub_accounts() {
    let server = Control::start();
    server.create("acme");
    server.pin("acme", "paid");
    for id in ["acme-eu", "acme-us"] {
        let created = server.post("/v1/accounts/acme/sub-accounts", json!({"id": id})).is(201);
        assert_eq!((&created.json["parent"], &created.json["tier"]["effective"]), (&json!("acme"), &json!("paid")));
    }

    assert_eq!(server.allowed("acme", "music-2.0", 30), 30);
    assert_eq!(server.allowed("acme-eu", "music-2.0", 60), 60);
    assert_eq!(server.allowed("acme-us", "music-2.0", 60), 30);

    assert_eq!(server.reserve_and_settle("acme-us", "music-2.0")["violated"], json!(["rpm"]));
    let listed = server.get("/v1/accounts/acme/sub-accounts").is(200).json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
}

#[test]
fn there_is_one_level_and_one_name_space() {
    let server = Control::start();
    server.create("acme");
    server.post("/v1/accounts/acme/sub-accounts", json!({"id": "acme-eu"})).is(201);

    server.post("/v1/accounts/acme-eu/sub-accounts", json!({"id": "deep"})).refused(409, "not_a_main_account");
    server.post("/v1/accounts", json!({"id": "acme-eu"})).refused(409, "account_exists");
    server.post("/v1/accounts/nobody/sub-accounts", json!({"id": "x"})).refused(404, "not_found");
    server.get("/v1/accounts/nobody/sub-accounts").refused(404, "not_found");
}
