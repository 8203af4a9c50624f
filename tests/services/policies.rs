use crate::harness::{POLICY, Plane, account, id, key, refused, revision_of, units};
use quotagate::domain::quantity::Quota;
use quotagate::services::policies::{self, NewRevision, Source, Warnings};
use quotagate::services::tiers::{self, NewTierQuota};
use quotagate::services::{Error, Paging};

fn paging() -> Paging {
    Paging { after: None, size: 200 }
}

fn tier_quota(quota: Quota) -> NewTierQuota {
    NewTierQuota { tier: id("free"), key: key("text.m2", "rpm"), quota, reason: "more".to_owned() }
}

#[test]
fn before_the_first_publish_nothing_is_known() {
    let plane = Plane::empty();
    plane.create("acme");

    assert!(policies::active(&plane.services).unwrap().is_none());
    assert!(!plane.decide("acme", "MiniMax-M2").allowed());
    assert_eq!(plane.account("acme").tier.effective, id("default"));
    let stale = policies::publish(&plane.services, &plane.on(3), &revision_of(POLICY));
    assert_eq!(refused(stale), "stale");
}

#[test]
fn a_publish_changes_the_next_decision_and_usage_stays() {
    let plane = Plane::new();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 3);

    let done = plane.publish(&POLICY.replace("free: 3", "free: 5")).unwrap();

    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 2);
    assert_eq!((done.value.head.revision, done.value.activation.previous), (2, Some(1)));
    assert_eq!(done.revision, Some(plane.policy_tag()));
    assert_eq!(plane.audited("policy:2"), ["policy.publish"]);
}

#[test]
fn the_same_content_is_not_published_twice_in_a_row() {
    let plane = Plane::new();

    assert_eq!(refused(plane.publish(&format!("{POLICY}\n# a comment"))), "unchanged");
    plane.publish(&POLICY.replace("free: 3", "free: 5")).unwrap();
    assert_eq!(plane.publish(POLICY).unwrap().value.head.revision, 3);
}

#[test]
fn every_error_of_a_document_is_told_with_its_place() {
    let plane = Plane::new();
    let bad = POLICY.replace("paid: 500", "paid: -1").replace("resources: [music-2.0]", "resources: [MiniMax-M2]");

    let Err(Error::Invalid(errors)) = plane.publish(&bad) else { panic!("it is not valid") };

    let told: Vec<_> = errors.iter().map(|error| (error.pointer.as_str(), error.code.as_ref())).collect();
    assert_eq!(
        told,
        [("/document/groups/0/limits/0/quotas/paid", "out_of_range"), ("/document/groups/1/resources/0", "duplicate")]
    );
    assert!(errors[0].detail.starts_with("line "), "{}", errors[0].detail);
}

#[test]
fn warnings_are_told_or_refused() {
    let plane = Plane::new();
    let odd = POLICY.replace("paid: 500", "paid: 2");

    let strict = NewRevision { warnings: Warnings::Refused, ..revision_of(&odd) };
    let refusal = policies::publish(&plane.services, &plane.on(plane.policy_tag()), &strict);

    assert!(refused(refusal).contains("quota_falls"));
    let told = plane.publish(&odd).unwrap().value.head.warnings;
    assert!(told.iter().any(|warning| warning.code == "quota_falls"), "{told:?}");
}

#[test]
fn a_publish_names_the_revision_it_replaces() {
    let plane = Plane::new();
    let seen = plane.policy_tag();
    let publish = |context, free: u32| {
        let yaml = POLICY.replace("free: 3", &format!("free: {free}"));
        policies::publish(&plane.services, &context, &revision_of(&yaml))
    };

    assert_eq!(refused(publish(plane.context(), 4)), "precondition required");
    publish(plane.on(seen), 4).unwrap();
    assert_eq!(refused(publish(plane.on(seen), 5)), "stale");
}

#[test]
fn an_earlier_revision_is_activated_again() {
    let plane = Plane::new();
    plane.publish(&POLICY.replace("free: 3", "free: 50")).unwrap();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 10), 10);

    let done = policies::activate(&plane.services, &plane.context(), 1, "rollback").unwrap();

    assert_eq!(plane.allowed("acme", "MiniMax-M2", 1), 0);
    assert_eq!((done.value.activation.activation, done.value.activation.previous), (3, Some(2)));
    let history = policies::activations(&plane.services, &paging()).unwrap().items;
    assert_eq!(history.iter().map(|entry| entry.value.revision).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(plane.publish(&POLICY.replace("free: 3", "free: 9")).unwrap().value.head.revision, 3);
    assert_eq!(refused(policies::activate(&plane.services, &plane.context(), 3, "")), "already_active");
    assert_eq!(refused(policies::activate(&plane.services, &plane.context(), 9, "")), "no revision");
}

#[test]
fn revisions_are_listed_and_read() {
    let plane = Plane::new();
    let json: serde_json::Value = policies::get(&plane.services, 1).unwrap().value.document;
    let mut changed = json.clone();
    changed["name"] = "changed".into();
    let new = NewRevision { source: Source::Json(changed.clone()), ..revision_of("") };

    policies::publish(&plane.services, &plane.on(plane.policy_tag()), &new).unwrap();

    let list = policies::list(&plane.services, &paging()).unwrap().items;
    assert_eq!(list.iter().map(|item| item.value.name.as_str()).collect::<Vec<_>>(), ["changed", "test"]);
    let second = policies::get(&plane.services, 2).unwrap().value;
    assert_eq!((second.document, second.active), (changed, true));
    assert!(!policies::get(&plane.services, 1).unwrap().value.active);
    assert_eq!(refused(policies::get(&plane.services, 0)), "no revision");
}

#[test]
fn one_quota_of_one_tier_is_changed_in_one_step() {
    let plane = Plane::new();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 3);

    let set = |context, quota| tiers::set_quota(&plane.services, &context, &tier_quota(quota));
    assert_eq!(refused(set(plane.context(), units(4))), "precondition required");
    let done = set(plane.on(plane.policy_tag()), units(4)).unwrap();

    assert_eq!(done.value.head.revision, 2);
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 1);
    assert_eq!(refused(set(plane.on(plane.policy_tag()), units(4))), "unchanged");
    set(plane.on(plane.policy_tag()), Quota::Unlimited).unwrap();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 5);
    let unknown = NewTierQuota { tier: id("gold"), ..tier_quota(units(1)) };
    assert_eq!(refused(tiers::set_quota(&plane.services, &plane.on(plane.policy_tag()), &unknown)), "no tier");
}

#[test]
fn usage_of_a_limit_that_was_gone_does_not_come_back() {
    let plane = Plane::new();
    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 3);

    plane
        .publish(&POLICY.replace(
            "{id: rpm, unit: requests, window: 1m, quotas: {free: 3",
            "{id: rpx, unit: requests, window: 1m, quotas: {free: 9",
        ))
        .unwrap();
    policies::activate(&plane.services, &plane.context(), 1, "").unwrap();

    assert_eq!(plane.allowed("acme", "MiniMax-M2", 5), 3);
    let engine = plane.rebuilt();
    assert_eq!(engine.identities(), plane.engine().identities());
    assert!(engine.main_of(account("acme").as_str()).is_some());
}
