//! Overrides that are about to end, and what their use says about them.

use crate::evidence::plane;
use crate::harness::{MINUTE, Plane, account, key, units};
use quotagate::domain::history::{Peak, Tally};
use quotagate::domain::quantity::Quota;
use quotagate::services::Paging;
use quotagate::services::overrides::{self, NewOverride, OverrideFilter};
use quotagate::services::renewals::{self, Action, Proposal};

const DAY: i64 = 24 * 60 * MINUTE;

fn make(plane: &Plane, limit: &str, quota: Quota, from_day: i64, to_day: i64) {
    let new = NewOverride {
        account: account("acme"),
        key: key("text.m2", limit),
        quota,
        starts_at_ms: Some(plane.now + from_day * DAY),
        expires_at_ms: Some(plane.now + to_day * DAY),
        permanent: false,
        reason: "launch".to_owned(),
    };
    overrides::create(&plane.services, &plane.context(), &new).unwrap();
}

fn note(plane: &Plane, days_ago: i64, limit: &str, used: u64, quota: Quota) {
    let minute = (plane.now - days_ago * DAY) / MINUTE;
    let tally = Tally { admitted: used as i64, denied: 2, peak: Peak { used, quota } };
    plane.history.add(&account("acme"), minute, key("text.m2", limit), &tally);
}

fn ending(plane: &Plane, days: i64) -> Vec<Option<Proposal>> {
    let filter = OverrideFilter { ending_before_ms: Some(plane.now + days * DAY), ..OverrideFilter::default() };
    let paging = Paging { after: None, size: 50 };
    let page = renewals::list(&plane.services, &filter, &paging, plane.now).unwrap();
    page.items.into_iter().map(|item| item.value.proposal).collect()
}

#[test]
fn only_use_while_it_was_in_force_and_in_the_last_28_days_counts() {
    let mut plane = plane();
    make(&plane, "rpm", units(100), 0, 50);
    make(&plane, "tpm", units(2_000_000), 45, 51);
    plane.now += 48 * DAY;
    note(&plane, 30, "rpm", 99, units(100));
    note(&plane, 27, "rpm", 40, units(100));
    note(&plane, 1, "rpm", 30, units(100));
    note(&plane, 4, "tpm", 1_900_000, units(1_000_000));
    note(&plane, 2, "tpm", 600_000, units(2_000_000));

    let found = ending(&plane, 7);

    let [Some(rpm), Some(tpm)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((rpm.action, rpm.quota, rpm.denied), (Action::Shrink, units(50), 4));
    assert_eq!(rpm.peak, Some(((plane.now - 27 * DAY) / MINUTE * MINUTE, 40)));
    assert_eq!((tpm.action, tpm.quota), (Action::LetEnd, units(1_000_000)));
    assert_eq!(tpm.why, "the peak of 600,000 is within the tier's 1,000,000");
    assert_eq!(ending(&plane, 2), [], "neither ends before that");
}

#[test]
fn there_is_no_proposal_for_what_is_not_in_force_or_does_not_raise() {
    let mut plane = plane();
    make(&plane, "rpm", units(2), 0, 5);
    make(&plane, "tpm", units(2_000_000), 2, 5);

    assert_eq!(ending(&plane, 7), [None, None]);
    plane.now += 3 * DAY;
    let found = ending(&plane, 7);
    assert_eq!(found[0], None);
    assert_eq!(found[1].as_ref().map(|it| (it.action, it.why.as_str())), Some((Action::LetEnd, "nothing was used")));
}

#[test]
fn a_token_bucket_is_measured_by_the_share_of_its_burst() {
    let mut plane = plane();
    let bucket = crate::harness::POLICY.replacen(
        "window: 1m, quotas: {free: 3, paid: 500, vip: 1000}",
        "window: 1m, algorithm: token_bucket, quotas: {free: 100, paid: 500, vip: 1000}, burst: {free: 10, paid: 50, vip: 90}",
        1,
    );
    plane.publish(&bucket).unwrap();
    make(&plane, "rpm", units(1_000), 0, 5);
    plane.now += DAY;
    // Of a burst of 100 that goes with 1,000.
    note(&plane, 0, "rpm", 40, units(100));

    let found = ending(&plane, 7);

    let proposal = found[0].as_ref().unwrap();
    assert_eq!(
        (proposal.action, proposal.quota, proposal.peak.map(|it| it.1)),
        (Action::Shrink, units(500), Some(400))
    );
}
