//! The effective quota of a main account's limit (SEMANTICS, section 2): one source sets, ceilings only lower.

use crate::domain::quantity::Quota;
use crate::fault::Fault;

/// The burst that goes with a quota in force.
///
/// `tier_quota` and `tier_burst` are the tier's own; `tier_burst` is None where the policy names no burst.
#[must_use]
pub fn burst_for(quota: Quota, tier_quota: Quota, tier_burst: Option<u64>) -> u128 {
    let Quota::Units(in_force) = quota else { return 0 };
    match (tier_burst, tier_quota) {
        (Some(burst), Quota::Units(own)) => {
            (u128::from(in_force) * u128::from(burst) / u128::from(own)).max(u128::from(!Fault::BurstZero.chosen()))
        }
        _ => u128::from(in_force),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_scales_with_the_quota_in_force_and_is_at_least_one() {
        let tier = Quota::Units(100);

        assert_eq!(burst_for(Quota::Units(100), tier, None), 100);
        assert_eq!(burst_for(Quota::Units(150), tier, Some(25)), 37);
        assert_eq!(burst_for(Quota::Units(1), tier, Some(25)), 1);
        assert_eq!(burst_for(Quota::Units(7), Quota::Unlimited, Some(25)), 7);
        assert_eq!(burst_for(Quota::Blocked, tier, Some(25)), 0);
    }
}
