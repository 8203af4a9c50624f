//! What is there after a kill, compared with what was acknowledged and with itself.

use super::people::{Desk, PATH, Person};
use super::{LIMITS, OF_TIER};
use crate::promises::{Kept, Log};
use crate::server::Client;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const CLOSED: [&str; 5] = ["approved", "partially_approved", "denied", "withdrawn", "expired"];
/// What is written with a step that has words to the other side.
const WITH_WORDS: [&str; 7] = [
    "raise_request.request_info",
    "raise_request.reply",
    "raise_request.counter_offer",
    "raise_request.decline_counter_offer",
    "raise_request.approve",
    "raise_request.deny",
    "raise_request.withdraw",
];
/// Before every start and after every end that is said.
const AT_ONCE: &str = "";
const NEVER: &str = "9999";

/// The audit log, kept outside from check to check, and what there was at the last one.
#[derive(Default)]
pub struct Seen {
    log: Log,
    pub requests: usize,
    pub overrides: usize,
    pub approvals: usize,
    pub superseded: usize,
}

/// All that the lists show, by id.
struct There {
    requests: BTreeMap<String, Value>,
    overrides: BTreeMap<String, Value>,
}

/// An override that is not over.
#[derive(Clone)]
struct Live {
    id: String,
    request: String,
    quota: u64,
    from: String,
    until: String,
}

impl Seen {
    pub fn check(&mut self, client: &Client, people: &mut [Person], desk: &Desk, round: &str) {
        // With the token of a login, so that notes are shown.
        let reviewer = client.with_key(people.iter().find_map(Person::token).unwrap());
        let by_id = |list: &str| -> BTreeMap<String, Value> {
            let items = reviewer.list(list).into_iter();
            items.map(|item| (item["id"].as_str().unwrap().to_owned(), item)).collect()
        };
        let there = There { requests: by_id(PATH), overrides: by_id("/v1/overrides") };
        self.log.read_on(client, round);
        self.log.has_each_once(people.iter_mut().map(|person| &mut person.promises), round);
        for person in people.iter() {
            for kept in &person.promises.kept {
                let request = there.requests.get(&kept.id);
                let request = request.unwrap_or_else(|| panic!("{round}: {kept:?} was acknowledged"));
                holds(kept, request, round);
            }
        }
        self.history_is_whole(&there, round);
        let live = self.overrides_are_those_of_approvals(&there, round);
        explained(client, &there, &live, round);
        open_ones(client, &there, round);
        let open = there.requests.iter().filter(|(_, request)| is_open(request));
        *desk.0.lock().unwrap() = open.map(|(id, _)| id.clone()).collect();
        self.requests = there.requests.len();
        self.overrides = there.overrides.len();
    }

    /// Of raise requests.
    fn entries(&self) -> impl Iterator<Item = &Value> {
        self.log.0.values().filter(|entry| entry["action"].as_str().unwrap().starts_with("raise_request."))
    }

    /// Each request is what the audit log says was done to it, step by step, and each step has its words.
    fn history_is_whole(&self, there: &There, round: &str) {
        let mut told = BTreeMap::<&str, Vec<&Value>>::new();
        for entry in self.entries() {
            told.entry(entry["subject"][0].as_str().unwrap().split_once(':').unwrap().1).or_default().push(entry);
        }
        assert!(told.keys().copied().eq(there.requests.keys()), "{round}: requests and what is told of them");
        for (id, request) in &there.requests {
            let entries = &told[id.as_str()];
            let names = |actions: &[&str]| -> Vec<&Value> {
                let of = entries.iter().filter(|entry| actions.iter().any(|action| entry["action"] == *action));
                of.map(|entry| &entry["request_id"]).collect()
            };
            assert_eq!(names(&["raise_request.submit"]), [&request["use_case"]], "{round}: {id}");
            assert_eq!(names(&["raise_request.note"]), texts(request, "notes"), "{round}: {id}");
            assert_eq!(names(&WITH_WORDS), texts(request, "messages"), "{round}: {id}");
            let taken = 1 + names(&["raise_request.refresh_evidence"]).len();
            assert_eq!(list(request, "evidence").len(), taken, "{round}: {id}");
            let no_steps = ["submit", "note", "refresh_evidence"];
            let actions = entries.iter().map(|entry| &entry["action"].as_str().unwrap()["raise_request.".len()..]);
            let actions: Vec<String> = actions.filter(|action| !no_steps.contains(action)).map(str::to_owned).collect();
            let steps = list(request, "steps").iter();
            let steps: Vec<String> = steps.map(|step| action(step["step"].as_str().unwrap())).collect();
            assert_eq!(steps, actions, "{round}: {id}");
            let state = list(request, "steps").last().map_or(json!("submitted"), |step| step["state"].clone());
            assert_eq!(request["state"], state, "{round}: {request}");
            assert_eq!(is_approved(request), !granted(request).is_empty(), "{round}: {request}");
        }
    }

    /// Every override is what an approval has granted, unless a later one took its place, and says by what. Returns
    /// those that are not over, by account and limit.
    fn overrides_are_those_of_approvals(
        &mut self,
        there: &There,
        round: &str,
    ) -> BTreeMap<(String, String), Vec<Live>> {
        let mut live = BTreeMap::<(String, String), Vec<Live>>::new();
        let mut expected = BTreeMap::<String, Value>::new();
        let approved = self.entries().filter(|entry| !entry["detail"]["decision"]["granted"].is_null());
        let approved: Vec<String> =
            approved.map(|entry| entry["subject"][0].as_str().unwrap().split_once(':').unwrap().1.to_owned()).collect();
        let every: BTreeSet<&String> = approved.iter().collect();
        let all = there.requests.iter().filter(|(_, request)| is_approved(request)).map(|(id, _)| id);
        assert_eq!(
            (every.len(), every),
            (approved.len(), all.collect()),
            "{round}: approvals and what is told of them"
        );
        for id in &approved {
            let request = &there.requests[id];
            for grant in granted(request) {
                let (own, limit) = (text(grant, "override"), text(grant, "limit"));
                let new = Live {
                    id: own.clone(),
                    request: id.clone(),
                    quota: grant["quota"].as_u64().unwrap(),
                    from: grant.get("starts_at").map_or(AT_ONCE.to_owned(), |_| text(grant, "starts_at")),
                    until: grant.get("expires_at").map_or(NEVER.to_owned(), |_| text(grant, "expires_at")),
                };
                let held = live.entry((text(request, "account"), limit)).or_default();
                let (met, mut clear): (Vec<Live>, Vec<Live>) =
                    held.drain(..).partition(|other| other.from < new.until && new.from < other.until);
                let ids: BTreeSet<&str> = met.iter().map(|other| other.id.as_str()).collect();
                let said = list(grant, "superseded").iter().map(|id| id.as_str().unwrap()).collect::<BTreeSet<_>>();
                assert_eq!(said, ids, "{round}: {request}");
                for other in met {
                    let was = expected.get_mut(&other.id).unwrap();
                    was["by"] = json!([own, id]);
                    if other.from < new.from {
                        was["until"] = json!(new.from);
                        clear.push(Live { until: new.from.clone(), ..other });
                    } else {
                        was["revoked"] = json!(true);
                    }
                }
                let what = json!({"request": id, "limit": grant["limit"], "quota": grant["quota"], "from": new.from,
                    "until": new.until, "by": null, "revoked": false, "account": request["account"]});
                assert!(expected.insert(own, what).is_none(), "{round}: {request}");
                clear.push(new);
                *held = clear;
            }
        }
        let found: BTreeMap<String, Value> =
            there.overrides.iter().map(|(id, held)| (id.clone(), seen(held))).collect();
        for (id, what) in &expected {
            assert_eq!(found.get(id), Some(what), "{round}: {id}");
        }
        assert!(found.keys().eq(expected.keys()), "{round}: an override that nobody has approved");
        self.approvals = approved.len();
        self.superseded = expected.values().filter(|what| !what["by"].is_null()).count();
        live
    }
}

/// An override in the words of what is expected.
fn seen(held: &Value) -> Value {
    let by = held.get("superseded_by").map(|by| json!([by["override"], by["raise_request"]]));
    let or = |name: &str, absent: &str| held.get(name).cloned().unwrap_or(json!(absent));
    json!({"request": held["raise_request"], "limit": held["limit"], "quota": held["quota"],
        "from": or("starts_at", AT_ONCE), "until": or("expires_at", NEVER), "by": by,
        "revoked": held["state"] == "revoked", "account": held["account"]})
}

/// What was acknowledged is there, and nothing has come before it since.
fn holds(kept: &Kept, request: &Value, round: &str) {
    for (name, fields) in [
        ("steps", &["step", "state", "at"][..]),
        ("messages", &["from", "text", "at"]),
        ("notes", &["text", "at"]),
        ("evidence", &["number", "hash", "taken_at"]),
        ("limits", &["limit", "quota", "in_force"]),
    ] {
        let (then, now) = (list(&kept.answer, name), list(request, name));
        assert!(then.len() <= now.len(), "{round}: {name} of {kept:?} were acknowledged, and there is {request}");
        for (then, now) in then.iter().zip(now) {
            for field in fields {
                assert_eq!(then[*field], now[*field], "{round}: {name} of {kept:?}");
            }
        }
    }
    for name in ["account", "group", "use_case", "starts_at", "expires_at", "previous"] {
        assert_eq!(kept.answer[name], request[name], "{round}: {name} of {kept:?}");
    }
    if !kept.answer["decision"].is_null() {
        assert_eq!(kept.answer["decision"]["granted"], request["decision"]["granted"], "{round}: {kept:?}");
        assert_eq!(kept.answer["state"], request["state"], "{round}: {kept:?}");
    }
}

/// What the engine decides by, and says that it does, is what the overrides say.
fn explained(client: &Client, there: &There, live: &BTreeMap<(String, String), Vec<Live>>, round: &str) {
    let accounts: BTreeSet<&str> =
        there.requests.values().map(|request| request["account"].as_str().unwrap()).collect();
    for account in accounts {
        let explained = client.read(&format!("/v1/accounts/{account}/limits"));
        for limit in LIMITS {
            let held = live.get(&(account.to_owned(), limit.to_owned()));
            let held = held.and_then(|held| held.iter().find(|held| held.from == AT_ONCE));
            let found = list(&explained, "limits").iter().find(|found| found["id"] == limit).unwrap();
            let quota = held.map_or(OF_TIER, |held| held.quota);
            assert_eq!(found["quota"], quota, "{round}: {account}: {found}");
            let set = list(found, "sources").iter().find(|source| source["outcome"] == "set").unwrap();
            let origin = held.map(|held| format!("{}: raise request {}", held.id, held.request));
            assert_eq!(set["origin"], origin.as_deref().unwrap_or("free"), "{round}: {account}: {found}");
        }
    }
}

/// One is open for a limit of an account at most, and it and only it is in the way of another; they are counted.
fn open_ones(client: &Client, there: &There, round: &str) {
    let mut open = BTreeMap::<(&str, &str), &str>::new();
    let mut counts = BTreeMap::<&str, usize>::new();
    for (id, request) in there.requests.iter().filter(|(_, request)| is_open(request)) {
        *counts.entry(request["state"].as_str().unwrap()).or_default() += 1;
        for asked in list(request, "limits") {
            let key = (request["account"].as_str().unwrap(), asked["limit"].as_str().unwrap());
            assert_eq!(open.insert(key, id), None, "{round}: two are open for one limit: {request}");
        }
    }
    let accounts: BTreeSet<&str> =
        there.requests.values().map(|request| request["account"].as_str().unwrap()).collect();
    for (account, limit) in accounts.into_iter().flat_map(|account| LIMITS.map(|limit| (account, limit))) {
        let body = json!({"account": account, "group": "text", "use_case": "may it be asked for?",
            "limits": [{"limit": limit, "quota": OF_TIER * 2}]});
        let tried = client.post(&format!("{PATH}?validate_only=true"), body).unwrap();
        match open.get(&(account, limit)) {
            None => assert_eq!(tried.status, 200, "{round}: {account}, {limit}: {}", tried.json),
            Some(id) => {
                let said = (tried.status, &tried.json["code"], &tried.json["link"]);
                let link = json!(format!("{PATH}/{id}"));
                assert_eq!(said, (409, &json!("raise_request_open"), &link), "{round}: {account}, {limit}");
            }
        }
    }
    let metrics = client.get("/metrics").unwrap().text;
    for state in ["submitted", "in_review", "needs_info", "counter_offered"] {
        let count = counts.get(state).copied().unwrap_or_default();
        let line = format!("quotagate_raise_requests_open{{state=\"{state}\"}} {count}\n");
        assert!(metrics.contains(&line), "{round}: {line} is not in the metrics");
    }
}

fn is_open(request: &Value) -> bool {
    !CLOSED.iter().any(|state| request["state"] == *state)
}

fn is_approved(request: &Value) -> bool {
    request["state"] == "approved" || request["state"] == "partially_approved"
}

fn granted(request: &Value) -> &[Value] {
    request["decision"]["granted"].as_array().map_or(&[], Vec::as_slice)
}

fn list<'v>(of: &'v Value, name: &str) -> &'v [Value] {
    of[name].as_array().map_or(&[], Vec::as_slice)
}

fn texts<'v>(request: &'v Value, name: &str) -> Vec<&'v Value> {
    list(request, name).iter().map(|said| &said["text"]).collect()
}

fn text(of: &Value, name: &str) -> String {
    of[name].as_str().unwrap_or_else(|| panic!("{name} of {of}")).to_owned()
}

/// What the audit log calls a step.
fn action(step: &str) -> String {
    if step == "approve-partially" { "approve".to_owned() } else { step.replace('-', "_") }
}
