//! Raise requests that the policy's rules answer as they are filed.

use crate::harness::{MINUTE, Plane, START, account, id, key, refused, units};
use quotagate::domain::four_eyes::FourEyes;
use quotagate::domain::ids::AccountId;
use quotagate::domain::raise_request::{Side, State, Step};
use quotagate::domain::raise_rule::Answer;
use quotagate::engine::Options;
use quotagate::services::overrides::{self, NewOverride, OverrideState};
use quotagate::services::raise_requests::{
    self as requests, Approval, Asked, Grant, Handling, NewRequest, Party, RequestFilter, RequestView, Sees,
};
use quotagate::services::{ActorKind, Context, Done, Error, Paging};
use std::sync::Barrier;

const DAY: i64 = 24 * 60 * MINUTE;
const STAFF: Party = Party { account: None, sides: &[Side::Requester, Side::Reviewer], sees: Sees::All };

const POLICY: &str = r#"
schema: quotagate.policy/v1
name: rules
tiers: [{id: free}]
default_tier: free
groups:
  - id: text.m2
    resources: [MiniMax-M2]
    limits:
      - {id: rpm, unit: requests, window: 1m, adjustable: {max: 50}, quotas: {free: 3}}
      - {id: tpm, unit: tokens, window: 1m, quotas: {free: 1000}}
pools: [{group: text.m2, limit: rpm, capacity: 15}]
"#;

const RULES: &str = "
raise_rules:
  - id: modest
    when: {at_most_percent: 400, peak_use: {percent: 50, days: 1}, pool_has_room: true}
    approve: {for: 30d}
  - id: idle
    when: {peak_use_below: 20}
    request_info: What will need more?
";

fn plane_of(policy: &str) -> Plane {
    let plane = Plane::bounded(Options { most_accounts: 1_000, history: true, ..Options::default() });
    plane.publish(policy).unwrap();
    for account in ["acme", "beta"] {
        plane.create(account);
    }
    plane
}

/// With the rules, and two accounts that use all they have.
fn plane() -> Plane {
    let plane = plane_of(&format!("{POLICY}{RULES}"));
    for account in ["acme", "beta"] {
        assert_eq!(plane.allowed(account, "MiniMax-M2", 9), 3);
    }
    plane
}

fn customer(of: &str) -> Party {
    Party { account: Some(account(of)), sides: &[Side::Requester], sees: Sees::Shared }
}

fn by_key(plane: &Plane) -> Context {
    Context { actor: "key_1".to_owned(), actor_kind: ActorKind::ApiKey, ..plane.context() }
}

fn wanted(of: &str, quota: u64) -> NewRequest {
    NewRequest {
        account: AccountId::parse(of).unwrap(),
        group: id("text.m2"),
        limits: vec![Asked { limit: id("rpm"), quota: units(quota) }],
        starts_at_ms: None,
        expires_at_ms: None,
        use_case: "Nightly summaries".to_owned(),
        expected_peak: None,
        links: Vec::new(),
    }
}

fn submit(plane: &Plane, new: &NewRequest) -> Result<Done<RequestView>, Error> {
    requests::submit(&plane.services, &by_key(plane), &customer(new.account.as_str()), new)
}

/// Filed by the customer, as an operator reads it.
fn filed(plane: &Plane, new: &NewRequest) -> RequestView {
    read(plane, &submit(plane, new).unwrap().value.id)
}

fn read(plane: &Plane, id: &str) -> RequestView {
    requests::get(&plane.services, &STAFF, id, plane.now).unwrap().value
}

fn measured(view: &RequestView, clause: &str) -> (String, bool) {
    let verdict = view.record.verdict.as_ref().unwrap();
    let found = verdict.rules.iter().flat_map(|rule| &rule.clauses).find(|result| result.clause == clause).unwrap();
    (found.measured.clone(), found.holds)
}

#[test]
fn a_rule_approves_in_the_commit_that_files_and_the_next_decision_has_it() {
    let mut plane = plane();
    plane.now += MINUTE;
    let before = plane.seq();

    let view = filed(&plane, &wanted("acme", 12));

    assert_eq!((plane.seq(), view.record.state), (before + 1, State::Approved));
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 12);
    let steps: Vec<_> = view.record.steps.iter().map(|step| (step.step, step.state)).collect();
    assert_eq!(steps, [(Step::Assign, State::InReview), (Step::Approve, State::Approved)]);
    for step in &view.record.steps {
        assert_eq!((&*step.done.by, step.done.kind, &step.rule), ("quotagate", ActorKind::System, &Some(id("modest"))));
    }
    let verdict = view.record.verdict.clone().unwrap();
    assert_eq!((verdict.rule, verdict.answer), (Some(id("modest")), Some(Answer::Approve { for_ms: 30 * DAY })));
    assert_eq!(verdict.rules.iter().map(|rule| rule.holds).collect::<Vec<_>>(), [true, false]);
    assert_eq!(measured(&view, "at_most_percent"), ("400.00 %".to_owned(), true));
    assert_eq!(measured(&view, "pool_has_room"), ("12 of 15 with this".to_owned(), true));
    assert_eq!(measured(&view, "peak_use_below"), ("100.00 %".to_owned(), false));
    let granted = &view.record.decision.as_ref().unwrap().granted[0];
    let made = overrides::get(&plane.services, &granted.override_id, plane.now).unwrap().value.record;
    assert_eq!((made.expires_at_ms, made.raise_request.as_deref()), (Some(plane.now + 30 * DAY), Some(&*view.id)));
    assert_eq!(plane.audited(&format!("override:{}", granted.override_id)), ["raise_request.submit"]);
    let log = plane.store_audit_text();
    assert!(log.contains(r#""rule":{"answer":{"approve":{"for_ms":2592000000}},"id":"modest"}"#), "{log}");
    let rebuilt = plane.rebuilt();
    assert_eq!(rebuilt.explain("acme", plane.now), plane.engine().explain("acme", plane.now));
    plane.now += 30 * DAY;
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 3);
}

#[test]
fn what_a_rule_gives_ends_with_it_or_when_it_was_asked_for() {
    let plane = plane();
    let until = |days: i64| NewRequest { expires_at_ms: Some(START + days * DAY), ..wanted("acme", 5) };
    let end = |view: &RequestView| view.record.decision.as_ref().unwrap().granted[0].grant.expires_at_ms;

    let short = filed(&plane, &until(7));
    let later = NewRequest { starts_at_ms: Some(START + 10 * DAY), expires_at_ms: Some(START + 99 * DAY), ..until(7) };
    let late = filed(&plane, &later);

    assert_eq!((short.record.state, end(&short)), (State::Approved, Some(START + 7 * DAY)));
    assert_eq!((late.record.state, end(&late)), (State::PartiallyApproved, Some(START + 40 * DAY)));
    assert_eq!(late.record.steps[1].step, Step::ApprovePartially);
}

#[test]
fn what_was_in_force_gives_way_to_what_a_rule_gives() {
    let plane = plane();
    let new = NewOverride {
        account: account("acme"),
        key: key("text.m2", "rpm"),
        quota: units(4),
        starts_at_ms: None,
        expires_at_ms: None,
        permanent: true,
        reason: "contract".to_owned(),
    };
    let held = overrides::create(&plane.services, &plane.context(), &new).unwrap().value.id;

    let view = filed(&plane, &wanted("acme", 12));

    assert_eq!(view.record.decision.unwrap().granted[0].superseded, [held.to_string()]);
    let gone = overrides::get(&plane.services, &held, plane.now).unwrap().value;
    assert_eq!((gone.state, gone.record.revoked.unwrap().by.as_str()), (OverrideState::Revoked, "quotagate"));
    assert!(plane.audited(&format!("override:{held}")).contains(&"raise_request.submit".to_owned()));
}

#[test]
fn neither_a_ceiling_nor_a_second_operator_bounds_what_rules_give() {
    let mut plane = plane();
    plane.services = plane.services.with_four_eyes(FourEyes { overrides: true, ..FourEyes::default() });
    let context = Context { ceiling_percent: Some(200), ..plane.context() };

    let view = requests::submit(&plane.services, &context, &STAFF, &wanted("acme", 12)).unwrap().value;

    assert_eq!(view.record.state, State::Approved);
    // The policy's own bound comes before all rules.
    assert_eq!(refused(submit(&plane, &wanted("beta", 51))), "/limits/0/quota above_maximum");
}

#[test]
fn what_a_rule_decided_is_closed_for_good_and_in_nobodys_way() {
    let plane = plane();
    let first = filed(&plane, &wanted("acme", 5)).id;
    assert_eq!(plane.services.board().standing(plane.now).open.map(|(_, open)| open), [0; 4]);

    let next = filed(&plane, &wanted("acme", 6));

    assert_eq!((next.record.state, next.record.previous.as_deref()), (State::Approved, Some(&*first)));
    let context = by_key(&plane);
    let acme = customer("acme");
    let on = Handling { context: &context, party: &acme, id: &first };
    assert_eq!(refused(requests::withdraw(&plane.services, &on, None)), "wrong_state");
    let standing = plane.services.board().standing(plane.now);
    assert_eq!(plane.restart().services.board().standing(START), standing, "also after a restart");
    assert_eq!((standing.answers, standing.p50_ms), (0, None), "it says nothing about how fast reviewers are");
}

#[test]
fn a_rule_asks_and_people_go_on_from_the_reply() {
    let mut plane = plane_of(&format!("{POLICY}{RULES}"));
    let before = plane.seq();

    let view = filed(&plane, &wanted("acme", 12));

    assert_eq!((plane.seq(), view.record.state), (before + 1, State::NeedsInfo));
    let message = &view.record.messages[0];
    assert_eq!(
        (message.from, &*message.text, &*message.written.by),
        (Side::Rules, "What will need more?", "quotagate")
    );
    assert_eq!(view.record.steps.last().unwrap().rule, Some(id("idle")));
    assert!(!view.timing.runs && view.timing.answer_by.is_some());
    assert_eq!(refused(submit(&plane, &wanted("acme", 9))), "raise_request_open");
    plane.now += MINUTE;
    let (key, acme) = (by_key(&plane), customer("acme"));
    let on = Handling { context: &key, party: &acme, id: &view.id };
    requests::reply(&plane.services, &on, "The launch.").unwrap();
    let stored = requests::get(&plane.services, &STAFF, &view.id, plane.now).unwrap();
    let context = plane.on(stored.revision);
    let grant = Grant { limit: id("rpm"), quota: None, starts_at_ms: None, expires_at_ms: None, permanent: true };
    let approval = Approval { grants: vec![grant], comment: None };
    let on = Handling { context: &context, party: &STAFF, id: &view.id };

    let done = requests::approve(&plane.services, &on, &approval).unwrap().value;

    assert_eq!(done.record.state, State::Approved);
    assert_eq!(plane.services.board().standing(plane.now).answers, 1, "a reviewer gave it");
    assert_eq!(done.record.verdict, view.record.verdict, "what was said stays");
}

#[test]
fn what_no_rule_answers_waits_for_people_with_what_was_measured() {
    let plane = plane();

    let view = filed(&plane, &wanted("acme", 13));

    assert_eq!((view.record.state, view.record.steps.len()), (State::Submitted, 0));
    let verdict = view.record.verdict.clone().unwrap();
    assert_eq!((verdict.rule, verdict.answer, verdict.rules.len()), (None, None, 2));
    assert_eq!(measured(&view, "at_most_percent"), ("433.34 %".to_owned(), false));
    assert_eq!(plane.services.board().standing(plane.now).open[0], (State::Submitted, 1));
    let without = plane_of(POLICY);
    let view = filed(&without, &wanted("acme", 12));
    assert_eq!((view.record.state, view.record.verdict), (State::Submitted, None));
}

#[test]
fn every_limit_that_is_asked_for_must_hold() {
    let plane = plane();
    let mut new = wanted("acme", 12);
    new.limits.push(Asked { limit: id("tpm"), quota: units(2_000) });

    let view = filed(&plane, &new);

    // Tokens were hardly used, and have no pool.
    assert_eq!(view.record.state, State::Submitted);
}

#[test]
fn of_two_that_a_pool_has_room_for_one_of_one_is_approved_and_the_other_waits() {
    for round in 0..20 {
        let plane = plane();
        let start = Barrier::new(2);
        let race = |of: &'static str| {
            start.wait();
            submit(&plane, &wanted(of, 12)).unwrap().value.id
        };

        let (acme, beta) = std::thread::scope(|scope| {
            let (acme, beta) = (scope.spawn(|| race("acme")), scope.spawn(|| race("beta")));
            (acme.join().unwrap(), beta.join().unwrap())
        });

        let views = [read(&plane, &acme), read(&plane, &beta)];
        let (won, lost): (Vec<_>, Vec<_>) = views.iter().partition(|view| view.record.state == State::Approved);
        assert_eq!((won.len(), lost.len()), (1, 1), "round {round}");
        assert_eq!(lost[0].record.state, State::Submitted);
        assert_eq!(measured(lost[0], "pool_has_room"), ("24 of 15 with this".to_owned(), false));
        assert_eq!(measured(won[0], "pool_has_room"), ("12 of 15 with this".to_owned(), true));
    }
}

#[test]
fn rules_that_were_taken_away_approve_nothing_any_more() {
    for round in 0..20 {
        let plane = plane();
        let start = Barrier::new(2);

        let (published, filed) = std::thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                start.wait();
                plane.publish(POLICY).unwrap()
            });
            start.wait();
            std::thread::sleep(std::time::Duration::from_micros(150 * round));
            let filed = submit(&plane, &wanted("acme", 12)).unwrap();
            (publishing.join().unwrap(), filed)
        });

        let before = filed.revision.unwrap() < published.revision.unwrap();
        assert!(before || filed.value.record.state == State::Submitted, "round {round}: {:?}", filed.value.record);
    }
}

#[test]
fn a_check_shows_what_the_rules_would_say_and_writes_nothing() {
    let plane = plane();
    let before = plane.seq();

    let new = wanted("acme", 12);
    let checked = requests::submit(&plane.services, &plane.only_checked(), &STAFF, &new).unwrap();

    assert_eq!((plane.seq(), checked.revision), (before, None));
    let verdict = checked.value.record.verdict.clone().unwrap();
    assert_eq!((verdict.rule, verdict.rules.len()), (Some(id("modest")), 2));
    assert_eq!(measured(&checked.value, "pool_has_room").0, "12 of 15 with this");
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 9), 0);
    let page = Paging { after: None, size: 9 };
    let list = || requests::list(&plane.services, (&STAFF, &RequestFilter::default()), &page, plane.now).unwrap();
    assert!(list().items.is_empty());
    filed(&plane, &new);
    let listed = list().items.remove(0).value.record.verdict.unwrap();
    assert_eq!((listed.rule, listed.rules.len()), (Some(id("modest")), 0), "a list has the answer alone");
}

#[test]
fn customers_are_told_the_answer_and_nothing_of_rules_and_pools() {
    let plane = plane();
    let only_checked = Context { validate_only: true, ..by_key(&plane) };
    let new = wanted("acme", 12);

    let checked = requests::submit(&plane.services, &only_checked, &customer("acme"), &new).unwrap().value;
    let done = submit(&plane, &new).unwrap().value;
    let waiting = submit(&plane, &wanted("beta", 12)).unwrap().value;

    for view in [&checked, &done] {
        let verdict = view.record.verdict.as_ref().unwrap();
        assert_eq!((&verdict.rule, verdict.rules.len()), (&None, 0));
        assert_eq!(verdict.answer, Some(Answer::Approve { for_ms: 30 * DAY }));
        assert!(view.record.steps.iter().all(|step| step.rule.is_none()));
    }
    assert_eq!((waiting.record.state, waiting.record.verdict), (State::Submitted, None));
}

#[test]
fn under_one_key_a_request_is_answered_once() {
    let plane = plane();
    let submit = || requests::submit(&plane.services, &plane.once("k", 1), &STAFF, &wanted("acme", 12)).unwrap();

    let (first, again) = (submit(), submit());

    assert_eq!((first.value, again.replayed), (again.value, true));
    let of = overrides::OverrideFilter { account: Some(account("acme")), ..Default::default() };
    let made = overrides::list(&plane.services, &of, &Paging { after: None, size: 9 }, plane.now).unwrap();
    assert_eq!(made.items.len(), 1);
}
