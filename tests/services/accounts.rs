use crate::harness::{MINUTE, Plane, account, id, new_account, new_sub, refused};
use quotagate::engine::Reason;
use quotagate::services::accounts::{self, AccountFilter, AccountPatch};
use quotagate::services::{Paging, sub_accounts};

fn listed(plane: &Plane, filter: &AccountFilter) -> Vec<String> {
    let mut ids = Vec::new();
    let mut paging = Paging { after: None, size: 2 };
    loop {
        let page = accounts::list(&plane.services, filter, &paging, plane.now).unwrap();
        assert!(page.items.len() <= 2);
        ids.extend(page.items.iter().map(|item| item.value.id.to_string()));
        match page.next {
            Some(next) => paging.after = Some(next),
            None => return ids,
        }
    }
}

#[test]
fn a_created_account_is_known_to_the_next_decision_and_read_back() {
    let plane = Plane::new();

    let done = accounts::create(
        &plane.services,
        &plane.context(),
        accounts::NewAccount { tier: Some(id("paid")), name: Some("Beta".to_owned()), ..new_account("beta") },
    )
    .unwrap();

    assert_eq!(plane.allowed("beta", "MiniMax-M2", 10), 10);
    assert_eq!(done.revision, Some(plane.tag("beta")));
    assert_eq!(plane.account("beta"), done.value);
    assert_eq!(done.value.tier.effective, id("paid"));
    assert_eq!(plane.audited("account:beta"), ["account.create"]);
}

#[test]
fn what_is_wrong_with_a_new_account_is_told_at_once() {
    let plane = Plane::new();
    let bad = accounts::NewAccount {
        tier: Some(id("gold")),
        name: Some("a\u{7}b".to_owned()),
        labels: [("Team".to_owned(), "x".to_owned())].into(),
        ..new_account("beta")
    };

    let result = accounts::create(&plane.services, &plane.context(), bad);

    assert_eq!(refused(result), "/name control_character, /labels invalid, /tier unknown_tier");
    assert_eq!(refused(accounts::get(&plane.services, &account("beta"), plane.now)), "no account");
}

#[test]
fn main_and_sub_accounts_share_one_name_space() {
    let plane = Plane::new();
    plane.create_sub("acme", "acme-eu");

    let again = accounts::create(&plane.services, &plane.context(), new_account("acme-eu"));
    let taken = sub_accounts::create(&plane.services, &plane.context(), &account("acme"), new_sub("acme"));
    let nested = sub_accounts::create(&plane.services, &plane.context(), &account("acme-eu"), new_sub("deep"));
    let orphan = sub_accounts::create(&plane.services, &plane.context(), &account("nobody"), new_sub("x"));

    assert_eq!(refused(again), "account_exists");
    assert_eq!(refused(taken), "account_exists");
    assert_eq!(refused(nested), "not_a_main_account");
    assert_eq!(refused(orphan), "no account");
}

#[test]
fn sub_accounts_share_their_main_accounts_bucket() {
    let plane = Plane::new();
    plane.create_sub("acme", "acme-a");
    plane.create_sub("acme", "acme-b");
    let decide = |account: &str, tries| plane.allowed(account, "voice-cloning", tries);
    accounts::patch(&plane.services, &plane.on(plane.tag("acme")), &account("acme"), &patch_tier(Some("paid")))
        .unwrap();

    assert_eq!((decide("acme", 20), decide("acme-a", 30), decide("acme-b", 30)), (20, 30, 10));
}

fn patch_tier(tier: Option<&str>) -> AccountPatch {
    AccountPatch { tier: Some(tier.map(id)), ..AccountPatch::default() }
}

#[test]
fn a_patch_needs_the_revision_that_was_seen() {
    let plane = Plane::new();
    let seen = plane.tag("acme");
    let patch = |context, tier| accounts::patch(&plane.services, &context, &account("acme"), &patch_tier(tier));

    assert_eq!(refused(patch(plane.context(), Some("paid"))), "precondition required");
    let done = patch(plane.on(seen), Some("paid")).unwrap();
    assert_eq!(refused(patch(plane.on(seen), Some("vip"))), "stale");

    assert_eq!(done.value.tier.floor, id("paid"));
    let same = patch(plane.on(plane.tag("acme")), Some("paid")).unwrap();
    assert_eq!(same.revision, done.revision);
    assert_eq!(patch(plane.on(plane.tag("acme")), None).unwrap().value.tier.floor, id("free"));
    assert_eq!(plane.audited("account:acme"), ["account.update", "account.update", "account.create"]);
}

#[test]
fn a_sub_account_has_no_tier_of_its_own() {
    let plane = Plane::new();
    plane.create_sub("acme", "acme-eu");
    let context = plane.on(plane.tag("acme-eu"));

    let result = accounts::patch(&plane.services, &context, &account("acme-eu"), &patch_tier(Some("paid")));

    assert_eq!(refused(result), "/tier misplaced");
}

#[test]
fn a_suspended_account_is_denied_with_its_sub_accounts_until_it_is_resumed() {
    let plane = Plane::new();
    plane.create_sub("acme", "acme-eu");
    let suspend = || accounts::suspend(&plane.services, &plane.context(), &account("acme"), "fraud").unwrap();

    let first = suspend();
    let again = suspend();

    assert_eq!(first.revision, again.revision);
    assert_eq!(plane.decide("acme-eu", "MiniMax-M2").denied, Some(Reason::AccountSuspended));
    assert_eq!(plane.account("acme").record.suspended.unwrap().reason, "fraud");
    accounts::resume(&plane.services, &plane.context(), &account("acme"), "cleared").unwrap();
    assert!(plane.decide("acme-eu", "MiniMax-M2").allowed());
    let blank = accounts::suspend(&plane.services, &plane.context(), &account("acme"), "  ");
    assert_eq!(refused(blank), "/reason required");
}

#[test]
fn lists_are_paged_and_filtered() {
    let mut plane = Plane::new();
    for name in ["b1", "b2", "b3", "c1"] {
        plane.create(name);
    }
    plane.create_sub("acme", "a1");
    plane.create_sub("acme", "z9");
    plane.now += MINUTE;
    accounts::suspend(&plane.services, &plane.context(), &account("b2"), "why").unwrap();
    accounts::patch(&plane.services, &plane.on(plane.tag("b3")), &account("b3"), &patch_tier(Some("vip"))).unwrap();
    let by = |filter| listed(&plane, &filter);

    assert_eq!(by(AccountFilter::default()), ["a1", "acme", "b1", "b2", "b3", "c1", "z9"]);
    assert_eq!(by(AccountFilter { parent: Some(account("acme")), ..Default::default() }), ["a1", "z9"]);
    assert_eq!(
        by(AccountFilter { parent: Some(account("acme")), id_prefix: Some("z".to_owned()), ..Default::default() }),
        ["z9"]
    );
    assert_eq!(by(AccountFilter { id_prefix: Some("b".to_owned()), ..Default::default() }), ["b1", "b2", "b3"]);
    assert_eq!(by(AccountFilter { suspended: Some(true), ..Default::default() }), ["b2"]);
    assert_eq!(by(AccountFilter { tier: Some(id("vip")), ..Default::default() }), ["b3"]);
}

#[test]
fn an_account_beyond_the_most_is_refused_before_it_is_written() {
    let plane = Plane::with_room_for(2);
    plane.create("a");
    plane.create("b");
    let seq = plane.seq();

    let third = accounts::create(&plane.services, &plane.context(), new_account("c"));
    let sub = sub_accounts::create(&plane.services, &plane.context(), &account("a"), new_sub("a1"));

    assert_eq!((refused(third), refused(sub)), ("full: accounts".to_owned(), "full: accounts".to_owned()));
    assert_eq!(plane.seq(), seq);
}
