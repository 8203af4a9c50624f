use crate::harness::{MINUTE, Plane, START, account, id, key, refused, units};
use quotagate::domain::account::LimitKey;
use quotagate::domain::four_eyes::FourEyes;
use quotagate::domain::quantity::Quota;
use quotagate::domain::raise_request::{Side, State, Step};
use quotagate::services::overrides::{self, NewOverride, OverrideState};
use quotagate::services::raise_requests::{
    self as requests, Approval, Asked, Denial, DenyReason, DueAt, Grant, Handling, MAX_FILED_A_DAY, MAX_MESSAGE,
    MAX_OPEN_OF_ACCOUNT, MAX_SNAPSHOTS, MAX_STEPS, NewRequest, Offer, Party, RequestFilter, RequestView, Sees,
};
use quotagate::services::{ActorKind, Context, Done, Error, Paging};
use std::sync::Barrier;

const DAY: i64 = 24 * 60 * MINUTE;
const STAFF: Party = Party { account: None, sides: &[Side::Requester, Side::Reviewer], sees: Sees::All };

const POLICY: &str = r#"
schema: quotagate.policy/v1
name: raises
tiers: [{id: free}, {id: paid}]
default_tier: free
groups:
  - id: text.m2
    resources: [MiniMax-M2]
    limits:
      - {id: rpm, unit: requests, window: 1m, adjustable: {max: 50}, quotas: {free: 3, paid: 10}}
      - {id: tpm, unit: tokens, window: 1m, quotas: {free: 1000, paid: 2000}}
      - {id: rpd, unit: requests, window: 1d, adjustable: false, quotas: {free: 1000, paid: 2000}}
"#;

fn plane() -> Plane {
    let plane = Plane::empty();
    plane.publish(POLICY).unwrap();
    plane.create("acme");
    plane.create("beta");
    plane
}

fn customer() -> Party {
    Party { account: Some(account("acme")), sides: &[Side::Requester], sees: Sees::Shared }
}

/// Of the account's own key.
fn by_key(plane: &Plane) -> Context {
    Context { actor: "key_1".to_owned(), actor_kind: ActorKind::ApiKey, ..plane.context() }
}

fn wanted(limits: &[(&str, Quota)]) -> NewRequest {
    NewRequest {
        account: account("acme"),
        group: id("text.m2"),
        limits: limits.iter().map(|(limit, quota)| Asked { limit: id(limit), quota: *quota }).collect(),
        starts_at_ms: None,
        expires_at_ms: Some(START + 90 * DAY),
        use_case: "Nightly summaries\nof all tickets".to_owned(),
        expected_peak: Some("40 a minute at 2 am".to_owned()),
        links: vec!["https://example.com/launch".to_owned()],
    }
}

fn submit(plane: &Plane, new: &NewRequest) -> Result<Done<RequestView>, Error> {
    requests::submit(&plane.services, &by_key(plane), &customer(), new)
}

fn filed(plane: &Plane, quota: u64) -> String {
    submit(plane, &wanted(&[("rpm", units(quota))])).unwrap().value.id.into()
}

fn read(plane: &Plane, id: &str) -> RequestView {
    requests::get(&plane.services, &STAFF, id, plane.now).unwrap().value
}

/// Steps of one request, each by alice, a reviewer, or by the customer's key.
struct On<'p>(&'p Plane, String);

impl On<'_> {
    fn staff<T>(&self, step: impl FnOnce(&Handling<'_>) -> T) -> T {
        let stored = requests::get(&self.0.services, &STAFF, &self.1, self.0.now).unwrap();
        let context = self.0.on(stored.revision);
        step(&Handling { context: &context, party: &STAFF, id: &self.1 })
    }

    fn customer<T>(&self, step: impl FnOnce(&Handling<'_>) -> T) -> T {
        step(&Handling { context: &by_key(self.0), party: &customer(), id: &self.1 })
    }

    fn assign(&self) -> &Self {
        self.staff(|on| requests::assign(&self.0.services, on, None)).unwrap();
        self
    }

    fn ask(&self, text: &str) -> Result<Done<RequestView>, Error> {
        self.staff(|on| requests::request_info(&self.0.services, on, text))
    }

    fn reply(&self) -> Result<Done<RequestView>, Error> {
        self.customer(|on| requests::reply(&self.0.services, on, "It is for the launch."))
    }

    fn approve(&self, grants: Vec<Grant>) -> Result<Done<RequestView>, Error> {
        let approval = Approval { grants, comment: Some("Enjoy.".to_owned()) };
        self.staff(|on| requests::approve(&self.0.services, on, &approval))
    }

    fn offer(&self, grants: Vec<Grant>) -> Result<Done<RequestView>, Error> {
        let offer = Offer { grants, comment: None };
        self.staff(|on| requests::counter_offer(&self.0.services, on, &offer))
    }

    /// By somebody who may answer whatever happens: there are no operators here.
    fn offer_by_console(&self, grants: Vec<Grant>) {
        let offer = Offer { grants, comment: None };
        let context = Context { actor_kind: ActorKind::Console, ..self.0.context() };
        let on = Handling { context: &context, party: &STAFF, id: &self.1 };
        requests::counter_offer(&self.0.services, &on, &offer).unwrap();
    }

    fn accept(&self) -> Result<Done<RequestView>, Error> {
        self.customer(|on| requests::accept_counter_offer(&self.0.services, on))
    }

    fn withdraw(&self) -> Result<Done<RequestView>, Error> {
        self.customer(|on| requests::withdraw(&self.0.services, on, None))
    }

    fn deny(&self) -> Result<Done<RequestView>, Error> {
        let denial = Denial { reason: DenyReason::LowUsage, text: "You use a tenth of it.".to_owned() };
        self.staff(|on| requests::deny(&self.0.services, on, &denial))
    }
}

fn as_asked(limit: &str) -> Grant {
    Grant { limit: id(limit), quota: None, starts_at_ms: None, expires_at_ms: None, permanent: false }
}

fn of(limit: &str, quota: u64) -> Grant {
    Grant { quota: Some(units(quota)), ..as_asked(limit) }
}

#[test]
fn an_approval_acts_on_the_next_decision_and_ends_when_it_was_said() {
    let mut plane = plane();
    let on = On(&plane, filed(&plane, 40));
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 9), 3);
    on.assign();

    let done = on.approve(vec![as_asked("rpm")]).unwrap().value;

    assert_eq!(done.record.state, State::Approved);
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 37);
    let granted = &done.record.decision.unwrap().granted[0];
    let made = overrides::get(&plane.services, &granted.override_id, plane.now).unwrap().value;
    assert_eq!(made.record.raise_request.as_deref(), Some(done.id.as_str()));
    assert_eq!(made.record.expires_at_ms, Some(START + 90 * DAY));
    let trail = plane.audited(&format!("raise_request:{}", done.id));
    assert_eq!(trail, ["raise_request.approve", "raise_request.assign", "raise_request.submit"]);
    assert_eq!(plane.audited(&format!("override:{}", made.id)), ["raise_request.approve"]);
    plane.now += 90 * DAY;
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 3);
}

#[test]
fn several_limits_are_given_in_one_commit_and_less_of_any_is_partial() {
    let plane = plane();
    let new = wanted(&[("rpm", units(40)), ("tpm", Quota::Unlimited)]);
    let on = On(&plane, submit(&plane, &new).unwrap().value.id.into());
    on.assign();
    let before = plane.seq();

    let later = Grant { starts_at_ms: Some(START + DAY), ..of("rpm", 20) };
    let done = on.approve(vec![later, as_asked("tpm")]).unwrap().value;

    assert_eq!((plane.seq(), done.record.state), (before + 1, State::PartiallyApproved));
    assert_eq!(done.record.decision.unwrap().granted.len(), 2);
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 9), 3, "not before it starts");
    let mut plane = plane;
    plane.now += DAY;
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 20);
}

#[test]
fn what_leaves_a_limit_out_or_ends_early_is_partial_and_nothing_is_given_that_was_not_asked_for() {
    let plane = plane();
    let new = wanted(&[("rpm", units(40)), ("tpm", units(5_000))]);
    let on = On(&plane, submit(&plane, &new).unwrap().value.id.into());
    on.assign();
    let refused = |grants| refused(on.approve(grants));

    assert_eq!(refused(vec![]), "/limits required");
    assert_eq!(refused(vec![of("rpm", 41)]), "/limits/0/quota above_asked");
    assert_eq!(refused(vec![as_asked("rpd")]), "/limits/0/limit not_asked_for");
    assert_eq!(refused(vec![as_asked("rpm"), as_asked("rpm")]), "/limits/1/limit duplicate");
    assert_eq!(refused(vec![of("rpm", 3)]), "/limits/0/quota already_satisfied");
    let over = Grant { expires_at_ms: Some(START), ..as_asked("rpm") };
    assert_eq!(refused(vec![over]), "/limits/0/expires_at not_ahead");
    let done = on.approve(vec![as_asked("rpm")]).unwrap().value;

    assert_eq!(done.record.state, State::PartiallyApproved);
}

#[test]
fn an_end_is_asked_for_or_given_or_having_none_is_meant() {
    let plane = plane();
    let new = NewRequest { expires_at_ms: None, ..wanted(&[("rpm", units(40))]) };
    let on = On(&plane, submit(&plane, &new).unwrap().value.id.into());
    on.assign();

    assert_eq!(refused(on.approve(vec![as_asked("rpm")])), "/limits/0/expires_at required");
    let done = on.approve(vec![Grant { permanent: true, ..as_asked("rpm") }]).unwrap().value;

    assert_eq!(done.record.decision.unwrap().granted[0].grant.expires_at_ms, None);
    assert_eq!(done.record.state, State::Approved);
}

fn held(plane: &Plane, quota: u64, (starts_at_ms, expires_at_ms): (Option<i64>, Option<i64>)) -> String {
    let new = NewOverride {
        account: account("acme"),
        key: key("text.m2", "rpm"),
        quota: units(quota),
        starts_at_ms,
        permanent: expires_at_ms.is_none(),
        expires_at_ms,
        reason: "contract".to_owned(),
    };
    overrides::create(&plane.services, &plane.context(), &new).unwrap().value.id.into()
}

#[test]
fn what_is_in_force_and_what_was_to_come_gives_way_in_the_same_commit() {
    let plane = plane();
    let present = held(&plane, 5, (None, Some(START + 10 * DAY)));
    let later = held(&plane, 6, (Some(START + 20 * DAY), None));
    let on = On(&plane, filed(&plane, 40));
    on.assign();
    let before = plane.seq();

    let done = on.approve(vec![as_asked("rpm")]).unwrap().value;

    assert_eq!(plane.seq(), before + 1);
    let granted = done.record.decision.unwrap().granted.remove(0);
    assert_eq!(granted.superseded, [present.clone(), later.clone()]);
    for gone in [&present, &later] {
        let view = overrides::get(&plane.services, gone, plane.now).unwrap().value;
        assert_eq!(view.state, OverrideState::Revoked);
        assert_eq!(view.record.made.reason, "contract");
        let by = view.record.superseded_by.unwrap();
        assert_eq!((by.override_id, by.raise_request), (granted.override_id.clone(), done.id.to_string()));
    }
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 40);
    let rebuilt = plane.rebuilt();
    assert_eq!(rebuilt.explain("acme", plane.now), plane.engine().explain("acme", plane.now));
}

#[test]
fn what_is_in_force_holds_until_a_later_start() {
    let mut plane = plane();
    let present = held(&plane, 5, (None, None));
    let new = NewRequest { starts_at_ms: Some(START + 2 * DAY), ..wanted(&[("rpm", units(40))]) };
    let on = On(&plane, submit(&plane, &new).unwrap().value.id.into());
    on.assign();

    on.approve(vec![as_asked("rpm")]).unwrap();

    let view = overrides::get(&plane.services, &present, plane.now).unwrap().value;
    assert_eq!((view.state, view.record.expires_at_ms), (OverrideState::Active, Some(START + 2 * DAY)));
    assert!(view.record.superseded_by.is_some());
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 5);
    plane.now += 2 * DAY;
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 40);
}

#[test]
fn only_a_raise_within_the_policys_bounds_is_one() {
    let plane = plane();
    let refused = |limits: &[(&str, Quota)]| refused(submit(&plane, &wanted(limits)));

    assert_eq!(refused(&[("rpm", units(3))]), "/limits/0/quota already_satisfied");
    assert_eq!(refused(&[("rpm", Quota::Blocked)]), "/limits/0/quota already_satisfied");
    assert_eq!(refused(&[("tpm", units(5_000)), ("rpm", units(51))]), "/limits/1/quota above_maximum");
    assert_eq!(refused(&[("rpm", Quota::Unlimited)]), "/limits/0/quota above_maximum");
    assert_eq!(refused(&[("rpd", units(2_000))]), "/limits/0/quota not_adjustable");
    assert_eq!(refused(&[("rpx", units(1))]), "/limits/0/limit unknown_limit");
    assert_eq!(refused(&[]), "/limits required");
    assert_eq!(refused(&[("rpm", units(5)), ("rpm", units(6))]), "/limits/1/limit duplicate");
    held(&plane, 30, (None, Some(START + DAY)));
    assert_eq!(refused(&[("rpm", units(30))]), "/limits/0/quota already_satisfied");
    // To go on after what is in force ends is a raise.
    let renewal = NewRequest { starts_at_ms: Some(START + DAY), ..wanted(&[("rpm", units(30))]) };
    let view = submit(&plane, &renewal).unwrap().value;
    assert_eq!(view.record.limits[0].in_force, units(3));
    let told = submit(&plane, &wanted(&[("tpm", units(10)), ("rpm", units(99))])).unwrap_err();
    let Error::NotRaisable(why) = told else { panic!("{told:?}") };
    assert_eq!((why.in_force, why.ceiling), (units(1_000), None));
}

#[test]
fn words_are_bounded_and_links_are_links() {
    let plane = plane();
    let refused = |change: &dyn Fn(&mut NewRequest)| {
        let mut new = wanted(&[("rpm", units(40))]);
        change(&mut new);
        refused(submit(&plane, &new))
    };

    assert_eq!(refused(&|new| new.use_case = " \n".to_owned()), "/use_case required");
    assert_eq!(refused(&|new| new.use_case = "x".repeat(4_001)), "/use_case too_long");
    assert_eq!(refused(&|new| new.use_case = "a\u{7}".to_owned()), "/use_case control_character");
    assert_eq!(refused(&|new| new.links = vec!["javascript:alert(1)".to_owned()]), "/links/0 invalid_value");
    assert_eq!(refused(&|new| new.links = vec!["https://a b".to_owned()]), "/links/0 invalid_value");
    assert_eq!(refused(&|new| new.expires_at_ms = Some(START)), "/expires_at not_ahead");
    assert_eq!(refused(&|new| new.starts_at_ms = new.expires_at_ms), "/expires_at not_ahead");
    assert_eq!(refused(&|new| new.account = account("nobody")), "no account");
}

#[test]
fn of_two_filed_at_once_for_one_limit_one_wins_and_the_other_is_told_which() {
    let plane = plane();
    let start = Barrier::new(6);
    let race = || {
        start.wait();
        submit(&plane, &wanted(&[("tpm", units(5_000)), ("rpm", units(40))]))
    };

    let done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(race)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    let (won, lost): (Vec<_>, Vec<_>) = done.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 5));
    let id = won.into_iter().next().unwrap().unwrap().value.id;
    for error in lost {
        assert!(matches!(error.unwrap_err(), Error::RaiseRequestOpen { id: open, .. } if open == id));
    }
    // Another limit of the group is free only if it was not asked for.
    assert_eq!(refused(submit(&plane, &wanted(&[("rpm", units(7))]))), "raise_request_open");
    On(&plane, id.to_string()).withdraw().unwrap();
    let next = submit(&plane, &wanted(&[("rpm", units(7))])).unwrap().value;
    assert_eq!(next.record.previous.as_deref(), Some(id.as_str()));
}

#[test]
fn withdrawn_while_being_approved_one_wins_and_nothing_is_half_done() {
    for _ in 0..12 {
        let plane = plane();
        let on = On(&plane, filed(&plane, 40));
        on.assign();
        let start = Barrier::new(2);

        let (approved, withdrawn) = std::thread::scope(|scope| {
            let approving = scope.spawn(|| {
                start.wait();
                on.approve(vec![as_asked("rpm")])
            });
            start.wait();
            let withdrawn = on.withdraw();
            (approving.join().unwrap(), withdrawn)
        });

        assert!(approved.is_ok() != withdrawn.is_ok(), "{approved:?} {withdrawn:?}");
        let (state, allowed) = if approved.is_ok() { (State::Approved, 40) } else { (State::Withdrawn, 3) };
        assert_eq!(read(&plane, &on.1).record.state, state);
        assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), allowed);
    }
}

#[test]
fn a_step_that_the_state_has_not_says_which_there_are_for_who_asks() {
    let plane = plane();
    let on = On(&plane, filed(&plane, 40));
    let allowed = |result: Result<Done<RequestView>, Error>| match result.unwrap_err() {
        Error::Conflict { code: "wrong_state", allowed_transitions, .. } => allowed_transitions,
        other => panic!("{other:?}"),
    };

    assert_eq!(allowed(on.approve(vec![as_asked("rpm")])), ["assign", "withdraw"]);
    assert_eq!(allowed(on.reply()), ["withdraw"]);
    on.assign();
    assert_eq!(allowed(on.reply()), ["withdraw"]);
    on.ask("Which hours?").unwrap();
    assert_eq!(allowed(on.accept()), ["reply", "withdraw"]);
    assert_eq!(read(&plane, &on.1).steps, [Step::Reply, Step::Withdraw]);
    on.reply().unwrap();
    on.deny().unwrap();
    assert!(allowed(on.withdraw()).is_empty());
    assert!(allowed(on.approve(vec![as_asked("rpm")])).is_empty());
    let denied = read(&plane, &on.1);
    assert_eq!(
        (denied.record.state, denied.record.decision.unwrap().reason),
        (State::Denied, Some(DenyReason::LowUsage))
    );
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 9), 3);
}

#[test]
fn an_offer_is_accepted_as_it_was_made_or_declined() {
    let plane = plane();
    let on = On(&plane, filed(&plane, 40));
    on.assign();
    assert_eq!(refused(on.offer(vec![of("rpm", 41)])), "/limits/0/quota above_asked");
    on.offer(vec![of("rpm", 9)]).unwrap();
    on.customer(|on| requests::decline_counter_offer(&plane.services, on, Some("Too little."))).unwrap();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 9), 3);
    on.offer_by_console(vec![of("rpm", 25)]);

    let done = on.accept().unwrap().value;

    assert_eq!(done.record.state, State::Approved);
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 22);
    assert_eq!(done.record.messages.len(), 1);
}

#[test]
fn an_offer_that_has_run_out_is_not_accepted() {
    let mut plane = plane();
    let id = filed(&plane, 40);
    On(&plane, id.clone()).assign();
    On(&plane, id.clone()).offer(vec![Grant { expires_at_ms: Some(START + DAY), ..of("rpm", 25) }]).unwrap();
    plane.now += DAY;

    assert_eq!(refused(On(&plane, id).accept()), "offer_over");
}

#[test]
fn nobody_decides_their_own_request_or_goes_above_their_ceiling() {
    let plane = plane();
    let new = wanted(&[("rpm", units(40))]);
    let own = requests::submit(&plane.services, &plane.context(), &STAFF, &new).unwrap().value;
    let on = On(&plane, own.id.into());
    on.assign();
    assert_eq!(refused(on.approve(vec![as_asked("rpm")])), "own_request");
    assert_eq!(refused(on.offer(vec![of("rpm", 9)])), "own_request");
    assert_eq!(refused(on.deny()), "own_request");
    on.withdraw().unwrap();
    let on = On(&plane, filed(&plane, 40));
    on.assign();
    let stored = requests::get(&plane.services, &STAFF, &on.1, plane.now).unwrap();
    let context = Context { ceiling_percent: Some(300), ..plane.on(stored.revision) };
    let handling = Handling { context: &context, party: &STAFF, id: &on.1 };
    let approve = |grant| {
        let approval = Approval { grants: vec![grant], comment: None };
        requests::approve(&plane.services, &handling, &approval)
    };

    assert_eq!(refused(approve(of("rpm", 10))), "above_ceiling");
    let offer = Offer { grants: vec![of("rpm", 10)], comment: None };
    assert_eq!(refused(requests::counter_offer(&plane.services, &handling, &offer)), "above_ceiling");
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 3);
    approve(of("rpm", 9)).unwrap();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 6);
}

#[test]
fn where_overrides_take_two_operators_a_high_raise_takes_one_who_files_and_another_who_approves() {
    let mut plane = plane();
    plane.services = plane.services.with_four_eyes(FourEyes { overrides: true, ..FourEyes::default() });
    let on = On(&plane, filed(&plane, 40));
    on.assign();
    assert_eq!(refused(on.approve(vec![of("rpm", 7)])), "above_ceiling");
    assert_eq!(refused(on.offer(vec![of("rpm", 7)])), "above_ceiling");
    on.withdraw().unwrap();
    let sam = Context { actor: "sam".to_owned(), ..plane.context() };
    let filed = requests::submit(&plane.services, &sam, &STAFF, &wanted(&[("rpm", units(40))])).unwrap().value;
    let on = On(&plane, filed.id.into());
    on.assign();

    on.approve(vec![as_asked("rpm")]).unwrap();

    assert_eq!(plane.allowed("acme", "MiniMax-M2", 99), 40);
}

#[test]
fn approvals_and_denials_name_what_was_read() {
    let plane = plane();
    let on = On(&plane, filed(&plane, 40));
    on.assign();
    let deny = |context: &Context| {
        let denial = Denial { reason: DenyReason::Other, text: "No.".to_owned() };
        requests::deny(&plane.services, &Handling { context, party: &STAFF, id: &on.1 }, &denial)
    };

    assert_eq!(refused(deny(&plane.context())), "precondition required");
    assert_eq!(refused(deny(&plane.on(1))), "stale");
}

#[test]
fn a_customer_sees_their_own_requests_without_notes_and_names() {
    let plane = plane();
    let on = On(&plane, filed(&plane, 40));
    on.assign();
    on.staff(|on| requests::add_note(&plane.services, on, "They asked twice this year.")).unwrap();
    on.ask("Which hours?").unwrap();
    let others = NewRequest { account: account("beta"), ..wanted(&[("rpm", units(40))]) };
    let theirs = requests::submit(&plane.services, &plane.context(), &STAFF, &others).unwrap().value.id;

    let seen = requests::get(&plane.services, &customer(), &on.1, plane.now).unwrap().value;

    assert!(seen.record.notes.is_empty() && seen.record.assigned_to.is_none());
    assert_eq!(seen.record.messages[0].text, "Which hours?");
    assert_eq!(seen.record.messages[0].written.by, "operator");
    assert_eq!((read(&plane, &on.1).record.notes.len(), seen.record.filed.by), (1, "key_1".to_owned()));
    assert_eq!(refused(requests::get(&plane.services, &customer(), &theirs, plane.now)), "no raise request");
    let theirs = On(&plane, theirs.into());
    assert_eq!(refused(theirs.withdraw()), "no raise request");
    assert_eq!(refused(theirs.accept()), "no raise request");
    let ids = |party: &Party, filter| {
        let page =
            requests::list(&plane.services, (party, &filter), &Paging { after: None, size: 9 }, plane.now).unwrap();
        page.items.into_iter().map(|found| found.value.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&customer(), RequestFilter::default()), [on.1.as_str()]);
    let of_beta = RequestFilter { account: Some(account("beta")), ..RequestFilter::default() };
    assert_eq!(ids(&customer(), of_beta.clone()), [""; 0]);
    assert_eq!(ids(&STAFF, of_beta), [theirs.1.as_str()]);
    let waiting = RequestFilter { state: Some(State::NeedsInfo), ..RequestFilter::default() };
    assert_eq!(ids(&STAFF, waiting), [on.1.as_str()]);
    let mine = RequestFilter { assigned_to: Some("alice".to_owned()), ..RequestFilter::default() };
    assert_eq!(ids(&STAFF, mine), [on.1.as_str()]);
    // The audit log has not the words of notes.
    let audit = plane.store_audit_text();
    assert!(audit.contains("raise_request.note") && !audit.contains("twice this year"), "{audit}");
}

#[test]
fn what_lies_unanswered_expires_whether_or_not_it_is_written_down() {
    let mut plane = plane();
    let id = filed(&plane, 40);
    On(&plane, id.clone()).assign();
    On(&plane, id.clone()).ask("Which hours?").unwrap();
    let asked_at = plane.now;
    let Some(DueAt::Ms(by)) = read(&plane, &id).timing.answer_by else { panic!() };
    // Ten working days from Monday 21 September 2026: Mid-Autumn and National Day lie between, and make-up days.
    assert!(by > asked_at + 14 * DAY, "{by}");
    plane.now = by - 1;
    assert_eq!(read(&plane, &id).record.state, State::NeedsInfo);
    plane.now = by;

    let view = read(&plane, &id);

    assert_eq!((view.record.state, view.record.closed_at_ms()), (State::Expired, Some(by)));
    assert_eq!(refused(On(&plane, id.clone()).reply()), "wrong_state");
    // Another may be filed before it is written down, and stays what is open.
    let next = filed(&plane, 30);
    plane.now += 5;
    let mut noticed = 0;
    requests::expire(&plane.services, plane.now, || noticed += 1).unwrap();
    requests::expire(&plane.services, plane.now, || noticed += 1).unwrap();
    assert_eq!(noticed, 1);
    assert_eq!(read(&plane, &id).record.closed_at_ms(), Some(by));
    assert_eq!(plane.audited(&format!("raise_request:{id}"))[0], "raise_request.expire");
    assert_eq!(refused(submit(&plane, &wanted(&[("rpm", units(9))]))), "raise_request_open");
    let plane = plane.after_kill();
    assert_eq!(read(&plane, &id).record.state, State::Expired);
    assert_eq!(read(&plane, &next).record.state, State::Submitted);
}

#[test]
fn the_clock_counts_working_days_stands_while_the_customer_is_asked_and_says_where_it_ends() {
    let mut plane = plane();
    let id = filed(&plane, 40);
    let due = |plane: &Plane| {
        let timing = read(plane, &id).timing;
        (timing.target, timing.limit, timing.overdue)
    };
    // Monday, 21 September 2026, 21:33 in Shanghai; Friday the 25th is a holiday, Sunday the 20th was worked.
    let (target, limit, _) = due(&plane);
    assert_eq!(target, DueAt::Ms(START + 3 * DAY));
    assert!(matches!(limit, DueAt::Ms(at) if at > START + 7 * DAY), "{limit:?}");
    On(&plane, id.clone()).assign();
    On(&plane, id.clone()).ask("Which hours?").unwrap();
    plane.now += DAY;
    assert!(matches!(due(&plane).0, DueAt::Unknown(_)));
    On(&plane, id.clone()).reply().unwrap();
    let view = read(&plane, &id);
    assert_eq!((view.timing.worked_ms, view.timing.runs), (Some(0), true));
    plane.now += 12 * DAY;
    let late = read(&plane, &id).timing;
    assert!(late.past_target, "{late:?}");
    let overdue = RequestFilter { overdue: Some(true), ..RequestFilter::default() };
    let count = |plane: &Plane| {
        let page = requests::list(&plane.services, (&STAFF, &overdue), &Paging { after: None, size: 9 }, plane.now);
        page.unwrap().items.len()
    };
    plane.now += 20 * DAY;
    assert_eq!((due(&plane).2, count(&plane)), (true, 1));
    On(&plane, id.clone()).deny().unwrap();
    assert_eq!(count(&plane), 0);
    // Beyond the calendar nothing is guessed.
    plane.now = START + 120 * DAY;
    let new = NewRequest { expires_at_ms: None, ..wanted(&[("rpm", units(40))]) };
    let filed = submit(&plane, &new).unwrap().value;
    let timing = filed.timing;
    assert!(matches!(&timing.target, DueAt::Unknown(why) if why.contains("2026-12-31")), "{timing:?}");
    plane.now += DAY;
    let timing = read(&plane, &filed.id).timing;
    assert_eq!((timing.worked_ms, timing.overdue), (None, false));
}

#[test]
fn evidence_names_the_requests_before_and_a_refresh_adds_to_it() {
    let mut plane = plane();
    let first = filed(&plane, 40);
    On(&plane, first.clone()).assign().deny().unwrap();
    plane.now += DAY;
    let id = filed(&plane, 30);
    let read = |number| requests::evidence(&plane.services, &STAFF, (&id, number), plane.now).unwrap().value;
    let before = read(None);
    assert!(before.complete && before.snapshot.verify());
    let earlier = &before.snapshot.evidence.earlier;
    assert_eq!((earlier.len(), earlier[0].id.as_str(), earlier[0].state), (1, first.as_str(), State::Denied));
    assert_eq!((earlier[0].reason.as_deref(), earlier[0].limits[0].granted), (Some("low_usage"), None));

    for _ in 1..MAX_SNAPSHOTS {
        On(&plane, id.clone()).staff(|on| requests::refresh_evidence(&plane.services, on)).unwrap();
    }

    assert_eq!(read(Some(1)), before);
    assert_eq!(read(None).of.number as usize, MAX_SNAPSHOTS);
    let one_more = On(&plane, id.clone()).staff(|on| requests::refresh_evidence(&plane.services, on));
    assert_eq!(refused(one_more), "full: snapshots of evidence of one raise request");
    let page = requests::evidence_page(&plane.services, &customer(), (&id, Some(2)), plane.now).unwrap();
    assert_eq!(page.snapshots.len(), 2);
    let gone = requests::evidence(&plane.services, &STAFF, (&id, Some(99)), plane.now);
    assert_eq!(refused(gone), "no evidence of raise request");
}

#[test]
fn the_board_counts_what_the_store_has() {
    let mut plane = plane();
    let first = filed(&plane, 40);
    On(&plane, first.clone()).assign();
    plane.now += DAY;
    On(&plane, first).deny().unwrap();
    let second = filed(&plane, 40);
    On(&plane, second.clone()).assign();
    plane.now += 10 * DAY;
    let standing = plane.services.board().standing(plane.now);

    assert_eq!(standing.open.map(|(_, count)| count), [0, 1, 0, 0]);
    assert_eq!((standing.answers, standing.breaches), (1, [1, 1]));
    let p50 = standing.p50_ms.unwrap();
    assert!(p50 <= DAY && p50 > DAY * 7 / 8, "{p50}");
    assert!(standing.oldest_ms > 4 * DAY, "{}", standing.oldest_ms);
    let plane = plane.after_kill();
    assert_eq!(plane.services.board().standing(plane.now), standing);
}

#[test]
fn steps_messages_and_open_requests_are_bounded() {
    let plane = plane();
    let on = On(&plane, filed(&plane, 40));
    on.assign();
    assert_eq!(refused(on.ask(&"x".repeat(MAX_MESSAGE + 1))), "/text too_long");
    for _ in 0..(MAX_STEPS - 1) / 2 {
        on.ask("And now?").unwrap();
        on.reply().unwrap();
    }
    on.ask("And now?").unwrap();
    assert_eq!(refused(on.reply()), "full: steps of one raise request");
    on.withdraw().unwrap();
    let groups: String = (0..=MAX_OPEN_OF_ACCOUNT)
        .map(|n| {
            format!("  - {{id: g{n}, resources: [r{n}], limits: [{{id: rpm, unit: requests, window: 1m, quotas: {{free: 1}}}}]}}\n")
        })
        .collect();
    plane
        .publish(&format!(
            "schema: quotagate.policy/v1\nname: many\ntiers: [{{id: free}}]\ndefault_tier: free\ngroups:\n{groups}"
        ))
        .unwrap();
    let file = |n: usize| submit(&plane, &NewRequest { group: id(&format!("g{n}")), ..wanted(&[("rpm", units(9))]) });
    for n in 0..MAX_OPEN_OF_ACCOUNT {
        file(n).unwrap();
    }
    assert_eq!(
        refused(file(MAX_OPEN_OF_ACCOUNT)),
        "too often: 50 raise requests of the account are open, which is the most: withdraw one, or wait for an answer"
    );
}

#[test]
fn who_files_and_withdraws_again_and_again_has_to_wait() {
    let mut plane = plane();
    for _ in 0..MAX_FILED_A_DAY {
        let id = filed(&plane, 40);
        On(&plane, id).withdraw().unwrap();
        plane.now += 1;
    }

    let error = submit(&plane, &wanted(&[("rpm", units(40))])).unwrap_err();
    // The first of them is a day ago then.
    let wait = DAY - MAX_FILED_A_DAY as i64;
    assert!(matches!(error, Error::FiledTooOften { retry_after_ms: Some(ms), .. } if ms == wait), "{error:?}");

    plane.now += DAY;
    filed(&plane, 40);
}

#[test]
fn a_request_is_filed_and_decided_once_under_one_key_and_a_check_writes_nothing() {
    let plane = plane();
    let new = wanted(&[("rpm", units(40))]);
    let checked = requests::submit(&plane.services, &plane.only_checked(), &STAFF, &new).unwrap();
    assert_eq!(checked.revision, None);
    let submit = || requests::submit(&plane.services, &plane.once("k", 1), &STAFF, &new).unwrap();

    let (first, again) = (submit(), submit());

    assert_eq!((first.value.id, again.replayed), (again.value.id, true));
    let filter = RequestFilter::default();
    let page = requests::list(&plane.services, (&STAFF, &filter), &Paging { after: None, size: 9 }, plane.now).unwrap();
    assert_eq!(page.items.len(), 1);
}

#[test]
fn a_limit_that_is_gone_by_then_is_not_given() {
    let plane = plane();
    let on = On(&plane, filed(&plane, 40));
    on.assign();
    plane.publish(&POLICY.replace("adjustable: {max: 50}", "adjustable: {max: 30}")).unwrap();
    assert_eq!(refused(on.approve(vec![as_asked("rpm")])), "/limits/0/quota above_maximum");
    plane.publish(&POLICY.replace("id: rpm,", "id: rps,")).unwrap();
    assert_eq!(refused(on.approve(vec![as_asked("rpm")])), "/limits/0/limit unknown_limit");
    let gone = LimitKey { group: id("text.m2"), limit: id("rps") };
    assert!(
        plane
            .engine()
            .explain("acme", plane.now)
            .unwrap()
            .limits
            .iter()
            .any(|limit| limit.limit == gone.limit.as_str())
    );
    on.deny().unwrap();
}

#[test]
fn however_many_give_way_the_approval_is_kept() {
    let plane = plane();
    for n in 1..=70 {
        held(&plane, 5, (Some(START + n * DAY), Some(START + (n + 1) * DAY)));
    }
    let on = On(&plane, filed(&plane, 40));
    on.assign();

    let done = on.approve(vec![as_asked("rpm")]).unwrap().value;

    let granted = done.record.decision.unwrap().granted.remove(0);
    assert_eq!(granted.superseded.len(), 70);
    assert_eq!(plane.audited(&format!("override:{}", granted.override_id)), ["raise_request.approve"]);
    for gone in granted.superseded {
        let view = overrides::get(&plane.services, &gone, plane.now).unwrap().value;
        assert!(view.state == OverrideState::Revoked && view.record.superseded_by.is_some());
    }
}
