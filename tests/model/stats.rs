//! Counts of what the generated cases reach.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Debug, Default)]
pub struct Stats(BTreeMap<String, u64>);

/// Everything that the generator must reach.
pub const WANTED: &[&str] = &[
    "reason unknown_account",
    "reason account_suspended",
    "reason unknown_resource",
    "reason blocked",
    "reason cost_exceeds_quota",
    "reason quota_exceeded",
    "reason concurrency_exceeded",
    "decide allow",
    "decide allow unlisted",
    "decide allow replayed",
    "decide dry_run allow",
    "decide dry_run deny",
    "decide reservation_required",
    "decide reservation_conflict",
    "decide reservation_ended settled",
    "decide reservation_ended cancelled",
    "decide reservation_ended expired",
    "decide id free again",
    "settle ok",
    "settle replayed",
    "settle late",
    "settle late replayed",
    "settle unknown_reservation",
    "settle reservation_ended settled",
    "settle reservation_ended cancelled",
    "cancel ok",
    "cancel unknown_reservation",
    "cancel reservation_ended settled",
    "cancel reservation_ended cancelled",
    "cancel reservation_ended expired",
    "renew ok",
    "renew ok held at 24 h",
    "renew unknown_reservation",
    "renew reservation_ended settled",
    "renew reservation_ended cancelled",
    "renew reservation_ended expired",
    "status limits",
    "status unknown_account",
    "status unknown_resource",
    "retry fixed",
    "retry sliding",
    "retry bucket",
    "retry after 1 ms",
    "retry of a debt",
    "slot expires",
    "retry absent beside a refusing rate",
    "violated twice, named once",
    "fixed window with offset",
    "burst scaled",
    "burst from a tier without integer",
    "huge quota charged",
    "quota unlimited",
    "quota blocked",
    "sub-account limit",
    "sub-account cap refuses",
    "give back fixed all",
    "give back fixed partly",
    "give back fixed none",
    "give back sliding all",
    "give back sliding partly",
    "give back sliding none",
    "give back bucket all",
    "give back bucket partly",
    "give back bucket held at what is left",
    "give back bucket none",
    "charge more fixed",
    "charge more sliding",
    "charge more bucket",
    "charge more held at two bursts",
    "charge more under blocked bucket",
    "charge under unlimited bucket",
    "charge more past the quota",
    "settle skips a gone charge",
    "slot gone with its counter",
    "tier paid",
    "tier by age too",
    "tier pinned",
    "tier pin ended",
    "tier floor",
    "tier grace",
    "tier grace ended by a chargeback",
    "tier grace over",
    "tier floor unknown",
    "tier pin unknown",
    "refund before its top-up",
    "payment sent again",
    "payment in the future",
    "refunds above the top-up",
    "override in force",
    "override ended",
    "override to come",
    "override dormant",
    "clamp lowers",
    "clamp dormant",
    "cap dormant",
    "clamp of a tier",
    "clamp of an account",
    "policy change",
    "identity gone fixed",
    "identity gone sliding",
    "identity gone bucket",
    "identity gone slot",
    "identity gone and back",
    "usage kept over a policy change",
    "cap removed with usage",
    "cap returned",
    "moved resource",
    "bad line",
];

impl Stats {
    /// Counts one more.
    pub fn add(&mut self, name: &str) {
        *self.0.entry(name.to_string()).or_default() += 1;
    }

    /// Counts one more where this holds.
    pub fn when(&mut self, holds: bool, name: &str) {
        if holds {
            self.add(name);
        }
    }

    /// How often.
    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// All counts, for a person.
    pub fn shown(&self) -> String {
        let lines = self.0.iter().map(|(name, n)| format!("{n:>9}  {name}\n"));
        lines.collect()
    }
}
