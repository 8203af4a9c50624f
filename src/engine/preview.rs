//! What a settle, cancel or renew would come to: the change itself, made and taken back under one lock.

use super::answer::{EndError, Ended};
use super::counters::CounterKey;
use super::ending::{self, Change, find};
use super::handle::Handle;
use super::record::Record;
use super::reservations::Reservation;
use super::{Engine, unpack};
use crate::limits::Counter;
use smallvec::SmallVec;

/// All that an end may change.
struct Before {
    reservation: Reservation,
    /// Those that the reservation was charged to, where they are still there.
    counters: SmallVec<[(CounterKey, Counter); 2]>,
    dirty: bool,
}

impl Engine {
    /// The answer or the error that [`Self::end`] would give now; nothing is changed.
    pub fn preview(&self, handle: &Handle, change: Change<'_>, now: i64) -> Result<Ended, EndError> {
        let mut snapshot = self.snapshot.load();
        let previewed = self.shards.with_main(handle.main.as_str(), |record| {
            self.catch_up(record, &mut snapshot);
            // Time passes whatever is asked; the rest is taken back.
            let now = record.bring(&snapshot, now);
            let before = Before::of(record, handle)?;
            let previewed = ending::change(record, None, &snapshot, handle, (change, now));
            before.put_back(record, handle);
            previewed
        });
        unpack(snapshot, previewed)
    }
}

impl Before {
    fn of(record: &mut Record, handle: &Handle) -> Result<Self, EndError> {
        let reservation = find(record, handle).ok_or(EndError::UnknownReservation)?.clone();
        let keys = reservation.charges.iter().map(|charge| charge.key);
        let counters = keys.filter_map(|key| Some((key, record.counters.get(key)?.clone()))).collect();
        Ok(Self { reservation, counters, dirty: record.is_dirty() })
    }

    fn put_back(self, record: &mut Record, handle: &Handle) {
        for (key, before) in self.counters {
            if let Some(counter) = record.counters.get(key) {
                *counter = before;
            }
        }
        if let Some(reservations) = &mut record.reservations {
            reservations.put_back(handle.slot, self.reservation);
        }
        record.set_dirty(self.dirty);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::MainFacts;
    use crate::domain::ids::AccountId;
    use crate::engine::{Amounts, Costs, Decision, Options, Request, Reserve};
    use std::sync::Arc;

    const POLICY: &str = "
schema: quotagate.policy/v1
name: ends
tiers: [{id: free}]
default_tier: free
groups:
  - id: g
    resources: [m]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 10}}
      - {id: rph, unit: requests, window: 1h, algorithm: fixed_window, quotas: {free: 10}}
      - {id: tpm, unit: tokens, window: 1m, algorithm: token_bucket, quotas: {free: 100}}
      - {id: conn, kind: concurrency, quotas: {free: 2}}
";

    fn engine() -> Engine {
        let engine = Engine::new(Arc::new(crate::policy::parse(POLICY).unwrap().policy), Options::default());
        engine.put_main(&AccountId::parse("acme").unwrap(), MainFacts::created(0)).unwrap();
        engine
    }

    fn decide(engine: &Engine, reserve: Option<Reserve<'_>>, now: i64) -> Decision {
        let costs = Costs::new(3, 50, []);
        let request = Request { account: "acme", resource: "m", costs: &costs, reserve, dry_run: reserve.is_none() };
        engine.decide(&request, now).unwrap()
    }

    fn told(ended: Result<Ended, EndError>) -> Result<(crate::engine::Limits, bool, bool, i64), EndError> {
        ended.map(|ended| (ended.limits, ended.late, ended.replayed, ended.expires_at_ms))
    }

    #[test]
    fn a_preview_says_what_the_end_says_and_leaves_everything_as_it_was() {
        let amounts = [Amounts::new(Some(1), Some(10), []), Amounts::new(Some(9), Some(200), [])];
        let changes = [
            Change::Settle(&amounts[0]),
            Change::Settle(&amounts[1]),
            Change::Cancel,
            Change::Renew { ttl_ms: 86_400_000 },
        ];
        // Open, and expired: a late settle corrects, the rest is refused.
        for at in [2_000, 70_000] {
            for change in changes {
                let engine = engine();
                let reserve = Reserve { id: None, ttl_ms: Some(60_000) };
                let handle = decide(&engine, Some(reserve), 1_000).reservation.unwrap().handle;
                let standing = || (engine.reservation(&handle, at), decide(&engine, None, at).limits);
                let before = standing();
                engine.drain_dirty(|_, _| {});

                let previewed = told(engine.preview(&handle, change, at));
                let again = told(engine.preview(&handle, change, at));

                assert_eq!(standing(), before, "{change:?} at {at}");
                assert_eq!(engine.dirty(), 0, "{change:?} at {at}");
                assert_eq!(previewed, again, "{change:?} at {at}");
                assert_eq!(previewed, told(engine.end(&handle, change, at)), "{change:?} at {at}");
            }
        }
    }
}
