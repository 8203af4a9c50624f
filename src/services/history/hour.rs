//! One hour of one account and group, as it is stored.
//!
//! ```text
//! 1, then for each limit: its name, which minutes, which of them had denials, those counts,
//!    for each minute what was admitted and how far the peak was above that, the quotas in runs
//! 2, then for each limit: its name, what was admitted, denials, the peak minute, its peak, minutes by admitted cost
//!    and by utilisation
//! ```

use super::histogram::{Histogram, amount_bucket, utilisation_bucket};
use crate::domain::history::{Peak, Tally};
use crate::domain::ids::PolicyId;
use crate::domain::quantity::Quota;
use crate::engine::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// The first byte: every minute, or the hour as a whole.
const MINUTES: u8 = 1;
const WHOLE: u8 = 2;
const MINUTES_OF_HOUR: u8 = 60;

/// What is kept of a limit in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Each minute in which something was decided, by its place in the hour.
    Minutes(BTreeMap<u8, Tally>),
    Whole(Whole),
}

/// An hour as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    pub sum: Tally,
    /// The minute of the peak.
    pub peak_minute: u8,
    /// Minutes by what was admitted in them; below 0 counts as 0.
    pub by_admitted: Histogram,
    /// Minutes by utilisation; those without one are not in it.
    pub by_utilisation: Histogram,
}

/// The limits of a group in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hour(pub BTreeMap<PolicyId, Kept>);

impl Whole {
    pub fn of(minutes: impl IntoIterator<Item = (u8, Tally)>) -> Self {
        let (by_admitted, by_utilisation) = (Histogram::default(), Histogram::default());
        let mut whole = Self { sum: Tally::NONE, peak_minute: 0, by_admitted, by_utilisation };
        for (minute, tally) in minutes {
            whole.add(minute, &tally);
        }
        whole
    }

    fn add(&mut self, minute: u8, tally: &Tally) {
        if tally.peak > self.sum.peak {
            self.peak_minute = minute;
        }
        self.sum.add(tally);
        self.by_admitted.count(amount_bucket(u64::try_from(tally.admitted).unwrap_or(0)));
        if let Some(parts) = tally.peak.utilisation() {
            self.by_utilisation.count(utilisation_bucket(parts));
        }
    }
}

impl Hour {
    /// Adds what was decided in a minute; `minute` is its place in the hour.
    pub fn add(&mut self, limit: PolicyId, minute: u8, tally: &Tally) {
        match self.0.entry(limit).or_insert_with(|| Kept::Minutes(BTreeMap::new())) {
            Kept::Minutes(minutes) => minutes.entry(minute).or_insert(Tally::NONE).add(tally),
            Kept::Whole(whole) => whole.add(minute, tally),
        }
    }

    /// Drops the single minutes.
    pub fn thin(self) -> Self {
        let whole = |kept| match kept {
            Kept::Minutes(minutes) => Kept::Whole(Whole::of(minutes)),
            whole @ Kept::Whole(_) => whole,
        };
        Self(self.0.into_iter().map(|(limit, kept)| (limit, whole(kept))).collect())
    }

    /// Whether a stored hour has its single minutes still.
    pub fn has_minutes(bytes: &[u8]) -> bool {
        bytes.first() == Some(&MINUTES)
    }

    /// INVARIANT: either every limit has its minutes or none has.
    pub fn write(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(256);
        let thinned = self.0.values().any(|kept| matches!(kept, Kept::Whole(_)));
        to.byte(if thinned { WHOLE } else { MINUTES });
        to.unsigned(self.0.len() as u128);
        for (limit, kept) in &self.0 {
            to.text(limit.as_str());
            match kept {
                Kept::Minutes(minutes) if thinned => write_whole(&mut to, &Whole::of(minutes.clone())),
                Kept::Minutes(minutes) => write_minutes(&mut to, minutes),
                Kept::Whole(whole) => write_whole(&mut to, whole),
            }
        }
        to.finish()
    }

    /// None: it cannot be read.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes);
        let form = from.byte()?;
        let mut limits = BTreeMap::new();
        for _ in 0..from.length()? {
            let limit = PolicyId::parse(from.text()?).ok()?;
            let kept = match form {
                MINUTES => Kept::Minutes(read_minutes(&mut from)?),
                WHOLE => Kept::Whole(read_whole(&mut from)?),
                _ => return None,
            };
            limits.insert(limit, kept);
        }
        from.is_empty().then_some(Self(limits))
    }
}

fn write_minutes(to: &mut Writer, minutes: &BTreeMap<u8, Tally>) {
    let bits = |wanted: &dyn Fn(&Tally) -> bool| {
        minutes.iter().filter(|(_, tally)| wanted(tally)).fold(0_u64, |bits, (minute, _)| bits | 1 << minute)
    };
    to.raw(&bits(&|_| true).to_be_bytes());
    to.unsigned(u128::from(bits(&|tally| tally.denied > 0)));
    for tally in minutes.values().filter(|tally| tally.denied > 0) {
        to.unsigned(u128::from(tally.denied));
    }
    for tally in minutes.values() {
        to.signed(tally.admitted);
        // A minute's charges are still counted at its peak, as a rule. It wraps here and back again there.
        to.signed((tally.peak.used as i64).wrapping_sub(tally.admitted));
    }
    let mut quotas: Vec<(Quota, u32)> = Vec::new();
    for tally in minutes.values() {
        match quotas.last_mut() {
            Some((quota, count)) if *quota == tally.peak.quota => *count += 1,
            _ => quotas.push((tally.peak.quota, 1)),
        }
    }
    for (quota, count) in quotas {
        to.unsigned(u128::from(count));
        write_quota(to, quota);
    }
}

fn read_minutes(from: &mut Reader<'_>) -> Option<BTreeMap<u8, Tally>> {
    let bits = u64::from_be_bytes(from.take(8)?.try_into().ok()?);
    let denials = from.amount()?;
    let mut minutes = BTreeMap::new();
    for minute in (0..MINUTES_OF_HOUR).filter(|minute| bits >> minute & 1 == 1) {
        let denied = if denials >> minute & 1 == 1 { from.amount()? } else { 0 };
        minutes.insert(minute, Tally { denied, ..Tally::NONE });
    }
    for tally in minutes.values_mut() {
        tally.admitted = from.signed()?;
        tally.peak.used = from.signed()?.wrapping_add(tally.admitted) as u64;
    }
    let (mut count, mut quota) = (0, Quota::Blocked);
    for tally in minutes.values_mut() {
        if count == 0 {
            count = from.small().filter(|&count| count > 0)?;
            quota = read_quota(from)?;
        }
        tally.peak.quota = quota;
        count -= 1;
    }
    Some(minutes)
}

fn write_whole(to: &mut Writer, whole: &Whole) {
    let Tally { admitted, denied, peak } = whole.sum;
    to.signed(admitted);
    to.unsigned(u128::from(denied));
    to.byte(whole.peak_minute);
    to.unsigned(u128::from(peak.used));
    write_quota(to, peak.quota);
    whole.by_admitted.write(to);
    whole.by_utilisation.write(to);
}

fn read_whole(from: &mut Reader<'_>) -> Option<Whole> {
    let (admitted, denied) = (from.signed()?, from.amount()?);
    let peak_minute = from.byte().filter(|&minute| minute < MINUTES_OF_HOUR)?;
    let peak = Peak { used: from.amount()?, quota: read_quota(from)? };
    let (by_admitted, by_utilisation) = (Histogram::read(from)?, Histogram::read(from)?);
    Some(Whole { sum: Tally { admitted, denied, peak }, peak_minute, by_admitted, by_utilisation })
}

fn write_quota(to: &mut Writer, quota: Quota) {
    to.unsigned(match quota {
        Quota::Blocked => 0,
        Quota::Unlimited => 1,
        Quota::Units(units) => u128::from(units) + 2,
    });
}

fn read_quota(from: &mut Reader<'_>) -> Option<Quota> {
    Some(match from.unsigned()? {
        0 => Quota::Blocked,
        1 => Quota::Unlimited,
        units => Quota::Units(u64::try_from(units - 2).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quotas() -> impl Strategy<Value = Quota> {
        prop_oneof![
            Just(Quota::Blocked),
            Just(Quota::Unlimited),
            (1..5_u64).prop_map(Quota::Units),
            any::<u64>().prop_map(Quota::Units)
        ]
    }

    fn tallies() -> impl Strategy<Value = Tally> {
        let numbers = (any::<i64>(), prop_oneof![Just(0), any::<u64>()], any::<u64>(), quotas());
        numbers.prop_map(|(admitted, denied, used, quota)| Tally { admitted, denied, peak: Peak { used, quota } })
    }

    proptest! {
        #[test]
        fn an_hour_is_read_back_with_and_without_its_minutes(
            noted in prop::collection::vec((0..3_usize, 0..60_u8, tallies()), 0..80)
        ) {
            let mut hour = Hour::default();
            for (limit, minute, tally) in &noted {
                hour.add(PolicyId::parse(["rpm", "tpm", "conn"][*limit]).unwrap(), *minute, tally);
            }

            prop_assert_eq!(Hour::read(&hour.write()), Some(hour.clone()));
            let thinned = hour.thin();
            prop_assert_eq!(Hour::read(&thinned.write()), Some(thinned));
        }

        #[test]
        fn bytes_that_are_no_hour_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            _ = Hour::read(&bytes);
        }
    }

    #[test]
    fn a_minute_that_comes_after_the_hour_was_thinned_is_added() {
        let rpm = PolicyId::parse("rpm").unwrap();
        let tally = Tally { admitted: 2, denied: 1, peak: Peak { used: 2, quota: Quota::Units(2) } };
        let mut hour = Hour::default();
        hour.add(rpm.clone(), 3, &tally);
        let mut hour = hour.thin();

        hour.add(rpm.clone(), 4, &tally);
        hour.add(PolicyId::parse("tpm").unwrap(), 4, &tally);

        let read = Hour::read(&hour.write()).unwrap();
        let Kept::Whole(whole) = &read.0[&rpm] else { panic!("{read:?}") };
        assert_eq!((whole.sum.admitted, whole.sum.denied, whole.by_utilisation.total()), (4, 2, 2));
        assert_eq!(read.0.len(), 2);
    }
}
