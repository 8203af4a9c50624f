//! How far above its tier a reviewer may raise a quota.

use super::{Context, Error, Services};
use crate::domain::account::LimitKey;
use crate::domain::ids::{AccountId, PolicyId};
use crate::domain::policy::Policy;
use crate::domain::quantity::{MAX_AMOUNT, Quota};

/// Of a reviewer for whom nothing else was said: twice the tier's quota.
pub const USUAL_CEILING_PERCENT: u32 = 200;
/// The least that a ceiling can be, the tier's quota itself: of those who raise nothing.
pub const MIN_CEILING_PERCENT: u32 = 100;
pub const MAX_CEILING_PERCENT: u32 = 1_000_000;

/// The highest quota that is within `percent` of the tier's.
fn ceiling(of_tier: Quota, percent: u32) -> Quota {
    match of_tier {
        Quota::Units(units) => {
            let most = u128::from(units) * u128::from(percent) / 100;
            Quota::Units(u64::try_from(most).map_or(MAX_AMOUNT, |most| most.min(MAX_AMOUNT)))
        }
        word => word,
    }
}

/// Errors: `quota` is above the ceiling of who asks, counted from the tier that the account has without a pin.
pub(super) fn check_quota(
    services: &Services,
    context: &Context,
    account: &AccountId,
    (key, quota): (&LimitKey, Quota),
) -> Result<(), Error> {
    let Some(percent) = context.ceiling_percent else { return Ok(()) };
    let policy = &services.engine.snapshot().policy;
    let tier = own_tier(services, policy, account, context.now)?;
    let limit = policy.group(key.group.as_str()).and_then(|group| group.limit(key.limit.as_str()));
    // That there is such a limit was checked before.
    let most = limit.map_or(Quota::Blocked, |limit| ceiling(limit.quotas[tier], percent));
    within(quota, most, percent, (&key.group, &key.limit))
}

/// Errors: a pin to `tier` would bring a quota above the ceiling of who asks.
pub(super) fn check_tier(
    services: &Services,
    context: &Context,
    account: &AccountId,
    tier: &PolicyId,
) -> Result<(), Error> {
    let Some(percent) = context.ceiling_percent else { return Ok(()) };
    let policy = &services.engine.snapshot().policy;
    let own = own_tier(services, policy, account, context.now)?;
    let Some(pinned) = policy.tier_index(tier.as_str()) else { return Ok(()) };
    for group in &policy.groups {
        for limit in &group.limits {
            let most = ceiling(limit.quotas[own], percent);
            within(limit.quotas[pinned], most.max(limit.quotas[own]), percent, (&group.id, &limit.id))?;
        }
    }
    Ok(())
}

/// Errors: a floor of `tier` would be more than the present one, and whoever has a ceiling, or would have to wait for a
/// second operator, cannot give that for good; what was reached by payments can be lost again. None: the policy's
/// default tier.
pub(super) fn check_floor(
    services: &Services,
    context: &Context,
    account: Option<&AccountId>,
    tier: Option<&PolicyId>,
) -> Result<(), Error> {
    let alone = context.ceiling_percent.is_none() && !services.four_eyes.overrides;
    if alone || context.owns_machine() {
        return Ok(());
    }
    let policy = &services.engine.snapshot().policy;
    let own = match account {
        Some(account) => {
            let record = services.main_record(account)?.value;
            let floor = services.tier_of(account, &record, context.now)?.floor;
            policy.tier_index(floor.as_str()).unwrap_or_default()
        }
        None => policy.default_tier,
    };
    let floor = tier.and_then(|tier| policy.tier_index(tier.as_str())).unwrap_or(policy.default_tier);
    if floor <= own {
        return Ok(());
    }
    let tier = policy.tiers[floor].id.as_str();
    let detail = format!(
        "a floor of `{tier}` is more than the present one, and stays for good: pin the tier instead, or have somebody do it who may"
    );
    Err(Error::AboveCeiling { detail })
}

/// The rank of the tier that the account has without a pin.
fn own_tier(services: &Services, policy: &Policy, account: &AccountId, now: i64) -> Result<usize, Error> {
    let record = services.main_record(account)?.value;
    let tier = services.tier_of(account, &record, now)?;
    let rank = |id: &PolicyId| policy.tier_index(id.as_str()).unwrap_or_default();
    Ok(rank(&tier.floor).max(rank(&tier.reached)))
}

fn within(quota: Quota, most: Quota, percent: u32, (group, limit): (&PolicyId, &PolicyId)) -> Result<(), Error> {
    if quota <= most {
        return Ok(());
    }
    let detail = format!(
        "`{quota}` for `{group}/{limit}` is above your ceiling of `{most}`, {percent} % of the tier's quota: somebody with a \
         higher ceiling has to do it"
    );
    Err(Error::AboveCeiling { detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_is_a_part_of_the_quota_and_words_stay_what_they_are() {
        assert_eq!(ceiling(Quota::Units(21), 150), Quota::Units(31));
        assert_eq!(ceiling(Quota::Units(MAX_AMOUNT), 1_000_000), Quota::Units(MAX_AMOUNT));
        assert_eq!(ceiling(Quota::Unlimited, 100), Quota::Unlimited);
        assert_eq!(ceiling(Quota::Blocked, 1_000), Quota::Blocked);
    }
}
