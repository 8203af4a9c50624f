//! Raise requests: from the customer's words to the next decision.

use crate::control::JSON;
use crate::support::{Reply, Server, serve_and_wait};
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

const PATH: &str = "/v1/raise-requests";
const PASSWORD: &str = "correct horse battery";
const HOUR_MS: i64 = 3_600_000;

const POLICY: &str = "
schema: quotagate.policy/v1
name: raises
tiers: [{id: free}]
default_tier: free
groups:
  - id: text.m2
    resources: [MiniMax-M2]
    limits:
      - {id: rpm, unit: requests, window: 1m, adjustable: {max: 50}, quotas: {free: 3}}
      - {id: tpm, unit: tokens, window: 1m, adjustable: false, quotas: {free: 100000}}
pools: [{group: text.m2, limit: rpm, capacity: 4321}]
";

/// A server with a calendar that has no end in sight and one week of holidays, and its people.
struct House {
    server: Server,
    key: String,
    arguments: Vec<String>,
    _folder: TempDir,
}

/// Who asks: with a key or the token of a login.
struct As<'s>(&'s House, String);

impl As<'_> {
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let authorization = format!("Bearer {}", self.1);
        let all = [&[JSON, ("authorization", &*authorization)], headers].concat();
        self.0.server.send(method, path, &all, body)
    }

    fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, &[], &body.to_string())
    }

    /// A step of a request, on whatever it is now.
    fn step(&self, id: &str, step: &str, body: Value) -> Reply {
        self.send("POST", &format!("{PATH}/{id}/{step}"), &[("if-match", "*")], &body.to_string())
    }

    fn read(&self, id: &str) -> Value {
        self.get(&format!("{PATH}/{id}")).is(200).json
    }

    fn list(&self, query: &str) -> Vec<String> {
        let items = self.get(&format!("{PATH}?{query}")).is(200).json["items"].clone();
        items.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn zone() -> TimeZone {
    TimeZone::get("Asia/Shanghai").unwrap()
}

/// The coming weekday at an hour in Shanghai.
fn coming(weekday: Weekday, hour: i8, after: Timestamp) -> Timestamp {
    let day = zone().to_datetime(after).date().nth_weekday(1, weekday).unwrap();
    zone().to_timestamp(day.at(hour, 0, 0, 0)).unwrap()
}

impl House {
    /// It is Friday, 15:00 in Shanghai; the week after next is a holiday, and its first Saturday is worked.
    fn open() -> Self {
        let friday = coming(Weekday::Friday, 15, Timestamp::now());
        let day = |days: i64| zone().to_datetime(friday).date().checked_add(days.days()).unwrap().to_string();
        let calendar = json!({
            "version": "test-1", "source": "test", "timezone": "Asia/Shanghai", "weekend": ["saturday", "sunday"],
            "covers": {"from": "2020-01-01", "to": "2099-12-31"},
            "holidays": [{"name": "a week", "from": day(10), "to": day(16)}], "extra_workdays": [day(8)],
        });
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (calendar, policy) = (file("calendar.json", &calendar.to_string()), file("policy.yaml", POLICY));
        let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
        let arguments = ["--calendar".to_owned(), path(&calendar), "--policy".to_owned(), path(&policy)].to_vec();
        let server = Server::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let mut house = Self { server, key: String::new(), arguments, _folder: folder };
        house.advance_to(friday);
        for account in ["acme", "globex"] {
            house.server.post("/v1/accounts", &json!({"id": account})).is(201);
        }
        for (name, role) in [("olga", "owner"), ("rita", "reviewer"), ("sam", "support"), ("vera", "viewer")] {
            let body = json!({"name": name, "role": role, "password": PASSWORD});
            house.server.post("/v1/operators", &body).is(201);
        }
        house.key = house.make_key("acme");
        house
    }

    fn make_key(&self, account: &str) -> String {
        let made =
            self.server.post("/v1/api-keys", &json!({"scopes": ["raise", "read", "decide"], "account": account}));
        made.is(201).json["secret"].as_str().unwrap().to_owned()
    }

    fn now(&self) -> Timestamp {
        self.advance_ms(0)
    }

    fn advance_ms(&self, by_ms: i64) -> Timestamp {
        let now = self.server.post("/test/clock", &json!({"advance_ms": by_ms})).is(200).json["now_ms"].as_i64();
        Timestamp::from_millisecond(now.unwrap()).unwrap()
    }

    fn advance_to(&self, time: Timestamp) {
        self.advance_ms(time.duration_since(self.now()).as_millis().try_into().unwrap());
    }

    fn login(&self, name: &str) -> As<'_> {
        let reply = self.server.post("/v1/sessions", &json!({"name": name, "password": PASSWORD})).is(200);
        As(self, reply.json["token"].as_str().unwrap().to_owned())
    }

    /// The customer's own key.
    fn customer(&self) -> As<'_> {
        As(self, self.key.clone())
    }

    fn allowed(&self) -> usize {
        self.allowed_to("acme")
    }

    fn allowed_to(&self, account: &str) -> usize {
        let decide = || self.server.decide(&json!({"account": account, "resource": "MiniMax-M2"}));
        // A minute later nothing of it counts any more.
        let allowed = (0..60).filter(|_| decide()["decision"] == "allow").count();
        self.advance_ms(61_000);
        allowed
    }

    /// Filed by a customer's own key.
    fn filed(&self, account: &str, quota: u64) -> Value {
        let mut wanted = self.wanted(quota);
        wanted["account"] = json!(account);
        As(self, self.make_key(account)).post(PATH, wanted).is(201).json
    }

    fn wanted(&self, quota: u64) -> Value {
        let end = self.now() + SignedDuration::from_hours(90 * 24);
        json!({
            "account": "acme", "group": "text.m2", "limits": [{"limit": "rpm", "quota": quota}],
            "expires_at": end.to_string(), "use_case": "Nightly summaries\nof all tickets",
            "expected_peak": "40 a minute", "links": ["https://example.com/launch"],
        })
    }

    /// Filed by the customer, and taken up by rita.
    fn in_review(&self, quota: u64) -> String {
        let filed = self.customer().post(PATH, self.wanted(quota)).is(201);
        let id = filed.json["id"].as_str().unwrap().to_owned();
        self.login("rita").step(&id, "assign", json!({})).is(200);
        id
    }

    /// On the same folder, at the same time.
    fn restart(self) -> Self {
        let before = self.now();
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).chain(["--accept-clock"]).collect();
        let server = self.server.restart_with(&arguments);
        let house = Self { server, ..self };
        house.advance_to(before);
        house
    }
}

fn rpm(quota: u64) -> Value {
    json!({"limits": [{"limit": "rpm", "quota": quota}]})
}

fn due(request: &Value, which: &str) -> Timestamp {
    let due = request["clock"][which]["due"].as_str();
    due.unwrap_or_else(|| panic!("{request}")).parse().unwrap()
}

#[test]
fn a_customer_asks_is_asked_gets_an_offer_and_more_from_the_next_decision_on() {
    let house = House::open();
    let customer = house.customer();
    assert_eq!(house.allowed(), 3);

    let filed = customer.post(PATH, house.wanted(40)).is(201);
    let id = filed.json["id"].as_str().unwrap().to_owned();
    assert_eq!(filed.header("location"), format!("{PATH}/{id}"));
    assert_eq!((&filed.json["state"], &filed.json["allowed_transitions"]), (&json!("submitted"), &json!(["withdraw"])));
    let open = customer.post(PATH, house.wanted(30)).refused(409, "raise_request_open");
    assert_eq!(open.json["link"], format!("{PATH}/{id}"));
    let rita = house.login("rita");
    let early = rita.step(&id, "approve", rpm(40)).refused(409, "wrong_state");
    assert_eq!(early.json["allowed_transitions"], json!(["assign", "withdraw"]));
    assert_eq!(rita.step(&id, "assign", json!({})).is(200).json["assigned_to"], "rita");
    rita.step(&id, "notes", json!({"text": "A large customer."})).is(200);
    rita.step(&id, "request-info", json!({"text": "At which hours?"})).is(200);
    let asked = customer.read(&id);
    assert_eq!((&asked["state"], &asked["clock"]["runs"]), (&json!("needs_info"), &json!(false)));
    assert_eq!(asked["messages"][0]["text"], "At which hours?");
    customer.step(&id, "reply", json!({"text": "From 2 to 4 am."})).is(200);
    let too_high = rita.step(&id, "counter-offer", rpm(9)).refused(403, "above_ceiling");
    assert!(too_high.json["detail"].as_str().unwrap().contains('6'), "{}", too_high.text);
    rita.step(&id, "counter-offer", rpm(5)).is(200);
    customer.step(&id, "decline-counter-offer", json!({"text": "Too little."})).is(200);
    house.login("olga").step(&id, "counter-offer", rpm(25)).is(200);
    assert_eq!(house.allowed(), 3);

    let accepted = customer.step(&id, "accept-counter-offer", json!({})).is(200).json;

    assert_eq!(house.allowed(), 25);
    assert_eq!(accepted["state"], "approved");
    let granted = &accepted["decision"]["granted"][0];
    let made = rita.get(&format!("/v1/overrides/{}", granted["override"].as_str().unwrap())).is(200).json;
    assert_eq!((&made["raise_request"], &made["expires_at"]), (&json!(id), &granted["expires_at"]));
    let steps: Vec<&str> = accepted["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    assert_eq!(
        steps,
        [
            "assign",
            "request-info",
            "reply",
            "counter-offer",
            "decline-counter-offer",
            "counter-offer",
            "accept-counter-offer"
        ]
    );
    let house = house.restart();
    assert_eq!(house.allowed(), 25);
    assert_eq!(house.customer().read(&id)["steps"], accepted["steps"]);
    let again = house.customer().post(PATH, house.wanted(40)).is(201).json;
    assert_eq!(again["previous"], json!(id));
    let closed = house.customer().step(&id, "withdraw", json!({})).refused(409, "wrong_state");
    assert_eq!(closed.json["allowed_transitions"], json!([]), "closed for good");
}

#[test]
fn an_approval_may_be_for_less_and_takes_the_place_of_what_was_in_force() {
    let house = House::open();
    let olga = house.login("olga");
    let end = (house.now() + SignedDuration::from_hours(400 * 24)).to_string();
    let contract = json!({"account": "acme", "group": "text.m2", "limit": "rpm", "quota": 5, "expires_at": end, "reason": "contract"});
    let held = olga.post("/v1/overrides", contract).is(201).json["id"].as_str().unwrap().to_owned();
    let id = house.in_review(40);
    let approve = format!("{PATH}/{id}/approve");
    olga.post(&approve, rpm(30)).refused(428, "precondition_required");
    olga.send("POST", &approve, &[("if-match", "\"1\"")], &rpm(30).to_string()).refused(412, "stale");
    let tag = olga.get(&format!("{PATH}/{id}")).etag().to_owned();
    let headers = [("if-match", &*tag), ("idempotency-key", "once")];
    let approve = || olga.send("POST", &approve, &headers, &rpm(30).to_string()).is(200);

    let (done, again) = (approve(), approve());

    assert_eq!((&done.json["state"], again.header("idempotent-replayed")), (&json!("partially_approved"), "true"));
    assert_eq!(house.allowed(), 30);
    assert_eq!(done.json["decision"]["granted"][0]["superseded"], json!([held]));
    let before = olga.get(&format!("/v1/overrides/{held}")).is(200).json;
    assert_eq!((&before["state"], &before["made"]["reason"]), (&json!("revoked"), &json!("contract")));
    assert_eq!(before["superseded_by"]["raise_request"], json!(id));
    assert_eq!(before["superseded_by"]["override"], done.json["decision"]["granted"][0]["override"]);
    let entry = olga.get(&format!("/v1/audit?subject=override:{held}&page_size=1")).is(200).json["items"][0].clone();
    assert_eq!(entry["action"], "raise_request.approve");
}

#[test]
fn what_cannot_be_raised_is_refused_with_how_far_it_goes() {
    let house = House::open();
    let customer = house.customer();

    let above = customer.post(PATH, house.wanted(51)).refused(422, "above_maximum");
    assert_eq!((&above.json["raise"]["ceiling"], &above.json["raise"]["in_force"]), (&json!(50), &json!(3)));
    assert_eq!(above.json["errors"][0]["pointer"], "/limits/0/quota");
    customer.post(PATH, house.wanted(3)).refused(422, "already_satisfied");
    let mut fixed = house.wanted(1);
    fixed["limits"] = json!([{"limit": "tpm", "quota": 200_000}]);
    let fixed = customer.post(PATH, fixed).refused(422, "not_adjustable");
    assert_eq!(fixed.json["raise"]["ceiling"], 100_000);
    let mut wordless = house.wanted(40);
    wordless["use_case"] = json!(" ");
    customer.post(PATH, wordless).refused(422, "invalid_request");
    let checked = customer.post(&format!("{PATH}?validate_only=true"), house.wanted(40)).is(200);
    assert!(customer.list("").is_empty() && checked.header("location").is_empty());
}

#[test]
fn a_denial_and_a_withdrawal_change_nothing_but_make_way_for_another() {
    let house = House::open();
    let id = house.in_review(40);
    let rita = house.login("rita");
    rita.step(&id, "deny", json!({"reason": "no_reason", "text": "No."})).refused(422, "invalid_request");
    rita.step(&id, "deny", json!({"reason": "low_usage", "text": "You use a tenth of it."})).is(200);
    assert_eq!(house.allowed(), 3);
    let denied = house.customer().read(&id);
    assert_eq!((&denied["state"], &denied["decision"]["reason"]), (&json!("denied"), &json!("low_usage")));
    assert_eq!((&denied["decision"]["by"], &denied["decision"]["granted"]), (&json!("operator"), &json!([])));
    let next = house.in_review(30);
    assert_eq!(house.customer().read(&next)["previous"], json!(id));

    house.customer().step(&next, "withdraw", json!({"text": "We found another way."})).is(200);

    rita.step(&next, "approve", rpm(6)).refused(409, "wrong_state");
    assert_eq!(house.allowed(), 3);
    assert_eq!(house.customer().list("state=withdrawn"), [next]);
}

#[test]
fn whoever_files_for_a_customer_does_not_decide_and_roles_have_their_own_steps() {
    let house = House::open();
    let (rita, sam, vera) = (house.login("rita"), house.login("sam"), house.login("vera"));
    vera.post(PATH, house.wanted(40)).refused(403, "forbidden");
    let own = rita.post(PATH, house.wanted(6)).is(201).json["id"].as_str().unwrap().to_owned();
    rita.step(&own, "assign", json!({})).is(200);
    for step in ["approve", "counter-offer"] {
        rita.step(&own, step, rpm(6)).refused(403, "own_request");
    }
    rita.step(&own, "deny", json!({"reason": "other", "text": "No."})).refused(403, "own_request");
    for step in ["assign", "approve", "deny", "request-info", "counter-offer", "notes", "evidence/refresh"] {
        sam.step(&own, step, rpm(6)).refused(403, "forbidden");
    }
    assert_eq!(vera.read(&own)["allowed_transitions"], json!([]));
    assert_eq!(sam.read(&own)["allowed_transitions"], json!(["withdraw"]));
    rita.step(&own, "assign", json!({"to": "sam"})).refused(422, "invalid_request");
    let olga = house.login("olga");
    olga.step(&own, "request-info", json!({"text": "Why?"})).is(200);
    sam.step(&own, "reply", json!({"text": "They launch tomorrow."})).is(200);
    olga.step(&own, "approve", rpm(6)).is(200);
    assert_eq!(house.allowed(), 6);
}

#[test]
fn an_offer_holds_as_long_as_the_one_who_made_it_could_make_it() {
    let house = House::open();
    let quota = || {
        let limits = house.server.get("/v1/accounts/acme/limits").is(200).json;
        limits["limits"][0]["quota"].clone()
    };
    let before = quota();
    let offered = |by: &str| {
        let id = house.in_review(40);
        house.login(by).step(&id, "counter-offer", rpm(40)).is(200);
        id
    };
    let accept = |id: &str| house.customer().step(id, "accept-counter-offer", json!({}));
    let olga = house.login("olga");
    let lower = |percent: u32| {
        let body = json!({"ceiling_percent": percent}).to_string();
        olga.send("PATCH", "/v1/operators/rita", &[("if-match", "*")], &body).is(200);
    };

    lower(2_000);
    let id = offered("rita");
    lower(100);
    assert!(accept(&id).refused(409, "offer_over").text.contains("ceiling"));
    lower(2_000);
    olga.send("PATCH", "/v1/operators/rita", &[("if-match", "*")], r#"{"role": "support"}"#).is(200);
    assert!(accept(&id).refused(409, "offer_over").text.contains("does not answer"));
    assert_eq!(quota(), before, "nothing was given");
    house.customer().step(&id, "decline-counter-offer", json!({})).is(200);
    let many: Vec<Value> = (0..100).map(|n| json!({"limit": format!("l{n}"), "quota": 1})).collect();
    let refused = olga.step(&id, "approve", json!({"limits": many})).refused(422, "invalid_request");
    assert!(refused.text.len() < 10_000, "{}", refused.text.len());

    olga.send("PATCH", "/v1/operators/rita", &[("if-match", "*")], r#"{"role": "reviewer"}"#).is(200);
    lower(2_000);
    house.login("rita").step(&id, "counter-offer", rpm(40)).is(200);
    accept(&id).is(200);
    assert_eq!(quota(), 40);
}

#[test]
fn a_bound_key_sees_its_own_requests_and_no_notes() {
    let house = House::open();
    let rita = house.login("rita");
    let mut theirs = house.wanted(40);
    theirs["account"] = json!("globex");
    house.customer().post(PATH, theirs.clone()).refused(404, "not_found");
    let theirs =
        As(&house, house.make_key("globex")).post(PATH, theirs).is(201).json["id"].as_str().unwrap().to_owned();
    let own = house.in_review(40);
    rita.step(&own, "notes", json!({"text": "between us"})).is(200);
    assert_eq!(rita.read(&own)["notes"][0]["text"], "between us");
    // Whatever the key: notes are for people.
    let admin = house.server.get(&format!("{PATH}/{own}")).is(200);
    assert!(!admin.text.contains("between us") && admin.text.contains("rita"));

    let customer = house.customer();

    let seen = customer.get(&format!("{PATH}/{own}")).is(200);
    assert!(!seen.text.contains("between us") && !seen.text.contains("rita"), "{}", seen.text);
    assert_eq!(customer.list(""), [own.as_str()]);
    customer.get(&format!("{PATH}?account=globex")).refused(404, "not_found");
    let missing = customer.get(&format!("{PATH}/rr_none")).refused(404, "not_found").json["detail"].clone();
    for (method, path) in crate::documents::operations(&house.server.get("/openapi.json").json) {
        let Some((_, rest)) = path.split_once("/v1/raise-requests/") else { continue };
        let rest = rest.split_once('/').map_or(String::new(), |(_, rest)| format!("/{rest}"));
        let body = json!({"text": "x"}).to_string();
        let at = |id: &str| customer.send(&method, &format!("{PATH}/{id}{rest}"), &[("if-match", "*")], &body);
        let (other, none) = (at(&theirs), at("rr_none"));
        assert!(matches!(other.status, 403 | 404 | 422), "{method} {path}: {}", other.text);
        assert_eq!((other.status, &other.json["code"]), (none.status, &none.json["code"]), "{method} {path}");
    }
    assert_eq!(
        customer.get(&format!("{PATH}/{theirs}")).json["detail"],
        missing.as_str().unwrap().replace("rr_none", &theirs)
    );
    let reader = house.server.post("/v1/api-keys", &json!({"scopes": ["decide"], "account": "acme"})).is(201);
    As(&house, reader.json["secret"].as_str().unwrap().to_owned()).get(PATH).refused(403, "forbidden");
    assert_eq!(rita.list("account=globex"), [theirs.as_str()]);
    assert_eq!(rita.list(""), [theirs, own]);
}

#[test]
fn the_clock_counts_working_days_over_a_weekend_and_a_holiday_week_with_a_make_up_day() {
    let house = House::open();
    let filed_at = house.now();
    let id = house.in_review(40);
    let request = house.login("rita").read(&id);
    let hours = |time: Timestamp| time.duration_since(filed_at).as_millis() as i64 / HOUR_MS;
    // Friday 15:00: Monday, Tuesday and Wednesday at 15:00; the weekend does not count.
    assert_eq!((hours(due(&request, "target")), hours(due(&request, "limit"))), (5 * 24, 7 * 24));
    assert_eq!((&request["clock"]["runs"], &request["clock"]["overdue"]), (&json!(true), &json!(false)));

    house.login("rita").step(&id, "request-info", json!({"text": "Why?"})).is(200);
    let standing = house.customer().read(&id);
    assert_eq!(standing["clock"]["target"]["due"], Value::Null);
    assert!(standing["clock"]["target"]["due_unknown"].as_str().unwrap().contains("stands still"), "{standing}");
    // Ten working days from Friday: the make-up Saturday counts, the week after it does not.
    assert_eq!(hours(due(&standing, "answer_by")), (7 + 1 + 13 - 1 + 1) * 24 - 24);
    // A reply a week later, on Friday at 15:00.
    house.advance_ms(7 * 24 * HOUR_MS);
    house.customer().step(&id, "reply", json!({"text": "For the launch."})).is(200);
    let request = house.login("rita").read(&id);
    // Saturday is worked, then a week of holidays: two days are left on the Monday after it.
    assert_eq!(hours(due(&request, "target")), 7 * 24 + (3 + 7) * 24 + 24);
    house.advance_to(due(&request, "target"));
    let late = house.login("rita").read(&id);
    assert_eq!((&late["clock"]["past_target"], &late["clock"]["overdue"]), (&json!(true), &json!(false)));
    let rita = house.login("rita");
    assert_eq!((rita.list("past_target=true"), rita.list("overdue=true")), (vec![id.clone()], vec![]));
    house.advance_to(due(&late, "limit"));
    let rita = house.login("rita");
    assert_eq!(rita.list("overdue=true"), [id.as_str()]);
    let metrics = house.server.get("/metrics").text;
    for line in [
        "quotagate_raise_requests_open{state=\"in_review\"} 1",
        "quotagate_raise_requests_breaches_total{of=\"target\"} 1",
        "quotagate_raise_requests_breaches_total{of=\"limit\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    rita.step(&id, "approve", rpm(6)).is(200);
    assert_eq!((rita.list("overdue=true"), house.allowed()), (vec![], 6));
    let house = house.restart();
    let metrics = house.server.get("/metrics").text;
    assert!(metrics.contains("quotagate_raise_requests_answers_total 1"), "{metrics}");
    assert!(metrics.contains("quotagate_raise_requests_answer_working_ms{quantile=\"0.95\"} 4"), "{metrics}");
}

#[test]
fn rules_answer_as_a_request_is_filed_and_what_they_give_ends() {
    let house = House::open();
    house.server.post("/v1/accounts", &json!({"id": "initech"})).is(201);
    let tag = house.server.get("/v1/policies/active").is(200).etag().to_owned();
    let rules = "
raise_rules:
  - id: modest
    when: {at_most_percent: 200, peak_use: {percent: 50, days: 2}, pool_has_room: true}
    approve: {for: 30d}
  - id: idle
    when: {peak_use_below: 20}
    request_info: What will need more, and from when on?
";
    let body = json!({"document": format!("{POLICY}{rules}"), "reason": "raises"}).to_string();
    house.server.send("POST", "/v1/policies/revisions", &[JSON, ("if-match", &*tag)], &body).is(201);
    for _ in 0..2 {
        assert_eq!((house.allowed_to("acme"), house.allowed_to("initech")), (3, 3));
        house.advance_ms(24 * HOUR_MS);
    }
    let check = |who: As<'_>| who.post(&format!("{PATH}?validate_only=true"), house.wanted(6)).is(200).json;
    let (told, shown) = (check(house.customer()), check(house.login("sam")));
    assert_eq!(told["verdict"], json!({"answer": "approve", "for_ms": 30 * 24 * HOUR_MS}));
    assert_eq!((&shown["verdict"]["rule"], &shown["verdict"]["rules"][0]["holds"]), (&json!("modest"), &json!(true)));
    assert_eq!(house.allowed(), 3);

    let (approved, asked, open) = (house.filed("acme", 6), house.filed("globex", 6), house.filed("initech", 7));

    assert_eq!((house.allowed(), house.allowed_to("globex"), house.allowed_to("initech")), (6, 3, 3));
    let states = [&approved, &asked, &open].map(|request| request["state"].as_str().unwrap());
    assert_eq!(states, ["partially_approved", "needs_info", "submitted"]);
    assert_eq!((&approved["decision"]["by"], &approved["steps"][1]["rule"]), (&json!("quotagate"), &Value::Null));
    let message = &asked["messages"][0];
    assert_eq!(
        (&message["from"], &message["text"]),
        (&json!("rules"), &json!("What will need more, and from when on?"))
    );
    assert_eq!((&asked["clock"]["runs"], &open["clock"]["runs"]), (&json!(false), &json!(true)));
    assert!(open["verdict"].is_null() && !approved.to_string().contains("4,321"), "{approved}");
    let rita = house.login("rita");
    let request = rita.read(approved["id"].as_str().unwrap());
    assert_eq!(request["steps"][1]["rule"], "modest");
    assert_eq!(
        request["verdict"]["rules"][0]["clauses"],
        json!([
            {"clause": "at_most_percent", "limit": "rpm", "needed": "at most 200 %", "measured": "200.00 %", "holds": true},
            {"clause": "peak_use", "limit": "rpm", "needed": "50 % on at least 2 of 28 days", "measured": "on 3 days", "holds": true},
            {"clause": "pool_has_room", "limit": "rpm", "needed": "within the capacity", "measured": "6 of 4,321 with this", "holds": true},
        ])
    );
    let made = request["decision"]["granted"][0]["override"].as_str().unwrap();
    let entry = rita.get(&format!("/v1/audit?subject=override:{made}")).is(200).json["items"][0].clone();
    assert_eq!((&entry["action"], &entry["detail"]["rule"]["id"]), (&json!("raise_request.submit"), &json!("modest")));
    assert_eq!(rita.list("state=submitted"), [open["id"].as_str().unwrap()]);
    let waiting = rita.read(open["id"].as_str().unwrap());
    assert_eq!(waiting["verdict"]["rules"][0]["clauses"][0]["measured"], "233.34 %");
    let house = house.restart();
    house.advance_ms(29 * 24 * HOUR_MS);
    assert_eq!(house.allowed(), 6);
    house.advance_ms(24 * HOUR_MS);
    assert_eq!(house.allowed(), 3);
}

#[test]
fn what_lies_unanswered_for_ten_working_days_expires_on_its_own() {
    let house = House::open();
    let id = house.in_review(40);
    house.login("olga").step(&id, "counter-offer", rpm(20)).is(200);
    let by = due(&house.customer().read(&id), "answer_by");
    house.advance_to(by - SignedDuration::from_millis(1));
    assert_eq!(house.customer().read(&id)["state"], "counter_offered");

    house.advance_ms(1);

    let expired = house.customer().read(&id);
    assert_eq!((&expired["state"], &expired["allowed_transitions"]), (&json!("expired"), &json!([])));
    house.customer().step(&id, "accept-counter-offer", json!({})).refused(409, "wrong_state");
    assert_eq!(house.allowed(), 3);
    house.customer().post(PATH, house.wanted(30)).is(201);
    let audited = || house.server.get("/v1/audit?action=raise_request.expire").is(200).json["items"].clone();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while audited().as_array().unwrap().is_empty() {
        assert!(std::time::Instant::now() < until, "the expiry is never written down");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(audited()[0]["actor_kind"], "system");
    let house = house.restart();
    assert_eq!(house.customer().read(&id)["steps"], expired["steps"]);
}

#[test]
fn evidence_is_taken_with_the_request_and_never_changed() {
    let house = House::open();
    assert_eq!(house.allowed(), 3);
    let id = house.in_review(40);
    let path = format!("{PATH}/{id}/evidence");

    let first = house.login("rita").get(&path).is(200).json;

    assert_eq!((&first["number"], &first["complete"]), (&json!(1), &json!(true)));
    assert_eq!(first["evidence"]["limits"][0]["quota"], 3);
    let hash = first["hash"].as_str().unwrap();
    assert_eq!(hash.len(), 64);
    house.login("rita").step(&id, "evidence/refresh", json!({})).is(200);
    let customer = house.customer();
    let second = customer.get(&path).is(200).json;
    assert_eq!((&second["number"], &second["complete"]), (&json!(2), &json!(false)));
    assert_eq!(house.login("rita").get(&format!("{path}?number=1")).is(200).json, first);
    let page = customer.send("GET", &path, &[("accept", "text/html")], "").is(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.text.contains("Nightly summaries") && page.text.contains("<svg"), "{}", page.text);
    assert!(!page.text.contains("4,321") && !page.text.contains("not what hashed"), "{}", page.text);
    let page = house.login("rita").send("GET", &path, &[("accept", "text/html")], "").is(200);
    assert!(page.text.contains("4,321") && !page.text.contains("not what hashed"), "{}", page.text);
    assert!(page.header("content-security-policy").contains("style-src 'sha256-"));
    customer.get(&format!("{path}?number=3")).refused(404, "not_found");
    customer.step(&id, "withdraw", json!({})).is(200);
    house.login("rita").step(&id, "evidence/refresh", json!({})).refused(409, "wrong_state");
}

#[test]
fn a_customer_is_shown_where_a_quota_comes_from_without_the_houses_reasons() {
    let house = House::open();
    let with = |quota: u64, reason: &str| {
        json!({
            "account": "acme", "group": "text.m2", "limit": "rpm", "quota": quota, "permanent": true, "reason": reason,
        })
    };
    let over = house.server.post("/v1/overrides", &with(5, "they threaten: to leave")).is(201).json["id"].clone();
    let clamp = house.server.post("/v1/clamps", &with(4, "suspected: resale")).is(201).json["id"].clone();
    let path = format!("{PATH}/{}/evidence", house.in_review(40));
    let limits = "/v1/accounts/acme/limits";
    let (customer, rita) = (house.customer(), house.login("rita"));
    let origins = |limit: &Value| -> Vec<Value> {
        limit["sources"].as_array().unwrap().iter().map(|source| source["origin"].clone()).collect()
    };
    let of_limits = |who: &As| origins(&who.get(limits).is(200).json["limits"][0]);
    let of_evidence = |who: &As| origins(&who.get(&path).is(200).json["evidence"]["limits"][0]);
    let page = |who: &As| who.send("GET", &path, &[("accept", "text/html")], "").is(200).text;
    let whole = |id: &Value, reason: &str| json!(format!("{}: {reason}", id.as_str().unwrap()));

    assert_eq!(of_limits(&customer), [over.clone(), json!("free"), clamp.clone()]);
    assert_eq!(of_evidence(&customer), [over.clone(), json!("free"), clamp.clone()]);
    assert_eq!(customer.get(&path).json["complete"], false);
    assert!(!page(&customer).contains("threaten") && !page(&customer).contains("resale"));
    assert!(page(&customer).contains(clamp.as_str().unwrap()));
    let all = [whole(&over, "they threaten: to leave"), json!("free"), whole(&clamp, "suspected: resale")];
    assert_eq!((&of_limits(&rita)[..], &of_evidence(&rita)[..]), (&all[..], &all[..]));
    assert!(page(&rita).contains("threaten") && page(&rita).contains("resale"));
}

#[test]
fn a_calendar_that_is_none_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calendar.json");
    let start = || {
        let output = serve_and_wait(folder.path(), &["--listen", "127.0.0.1:0", "--calendar", file.to_str().unwrap()]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };

    let (missing, complaint) = start();
    assert!(missing == Some(1) && complaint.contains("cannot read the calendar"), "{complaint}");
    std::fs::write(&file, "{}").unwrap();
    let (invalid, complaint) = start();
    assert!(invalid == Some(1) && complaint.contains("calendar.json") && complaint.contains("version"), "{complaint}");
}
