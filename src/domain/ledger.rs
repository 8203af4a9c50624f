//! Payment events and what they add up to (SEMANTICS, section 2).

use super::ids::{Currency, PaymentRef};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentKind {
    TopUp,
    Refund,
    Chargeback,
}

/// One event of the billing system, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentEvent {
    pub event_id: PaymentRef,
    pub payment_id: PaymentRef,
    pub kind: PaymentKind,
    /// Minor units.
    pub amount: u64,
    /// Top-ups only: a refund or chargeback is in the currency of its top-up.
    pub currency: Option<Currency>,
    pub occurred_at_ms: i64,
}

/// How the net paid changes over time: a pure function of the set of events, whatever the order they came in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timeline {
    /// Ascending by time, each time once.
    pub moments: Box<[Moment]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    pub at_ms: i64,
    /// Whether a chargeback counts from this moment.
    pub chargeback: bool,
    /// Minor units, top-ups less what counts of refunds and chargebacks.
    pub net: Vec<(Currency, i128)>,
}

impl Timeline {
    #[must_use]
    pub fn of(events: &[PaymentEvent]) -> Self {
        let mut moments: BTreeMap<i64, (bool, BTreeMap<&Currency, i128>)> = BTreeMap::new();
        let mut top_ups: HashMap<&PaymentRef, (&Currency, u64, i64)> = HashMap::new();
        for event in events.iter().filter(|event| event.kind == PaymentKind::TopUp) {
            let Some(currency) = &event.currency else { continue };
            top_ups.insert(&event.payment_id, (currency, event.amount, event.occurred_at_ms));
            let moment = moments.entry(event.occurred_at_ms).or_default();
            *moment.1.entry(currency).or_default() += i128::from(event.amount);
        }

        let mut reversals: Vec<&PaymentEvent> = events.iter().filter(|e| e.kind != PaymentKind::TopUp).collect();
        reversals.sort_by(|a, b| (a.occurred_at_ms, &a.event_id).cmp(&(b.occurred_at_ms, &b.event_id)));
        for event in reversals {
            let Some((currency, left, paid_at)) = top_ups.get_mut(&event.payment_id) else { continue };
            let counted = event.amount.min(*left);
            *left -= counted;
            let moment = moments.entry(event.occurred_at_ms.max(*paid_at)).or_default();
            *moment.1.entry(*currency).or_default() -= i128::from(counted);
            moment.0 |= event.kind == PaymentKind::Chargeback;
        }

        let moments = moments.into_iter().map(|(at_ms, (chargeback, net))| Moment {
            at_ms,
            chargeback,
            net: net.into_iter().map(|(currency, amount)| (currency.clone(), amount)).collect(),
        });
        Self { moments: moments.collect() }
    }

    /// Net paid by currency, up to and including `now_ms`. Minor units.
    #[must_use]
    pub fn net_paid(&self, now_ms: i64) -> BTreeMap<Currency, i128> {
        let mut net = BTreeMap::new();
        for moment in self.moments.iter().take_while(|moment| moment.at_ms <= now_ms) {
            for (currency, amount) in &moment.net {
                *net.entry(currency.clone()).or_default() += amount;
            }
        }
        net
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: PaymentKind, event_id: &str, amount: u64, occurred_at_ms: i64) -> PaymentEvent {
        PaymentEvent {
            event_id: PaymentRef::parse(event_id).unwrap(),
            payment_id: PaymentRef::parse("p1").unwrap(),
            kind,
            amount,
            currency: (kind == PaymentKind::TopUp).then(|| Currency::parse("CNY").unwrap()),
            occurred_at_ms,
        }
    }

    fn net_at(events: &[PaymentEvent], now_ms: i64) -> i128 {
        Timeline::of(events).net_paid(now_ms).values().sum()
    }

    #[test]
    fn refunds_together_count_at_most_the_top_up() {
        let events = [
            event(PaymentKind::TopUp, "e1", 100, 0),
            event(PaymentKind::Refund, "e2", 70, 10),
            event(PaymentKind::Refund, "e3", 70, 20),
        ];

        assert_eq!([net_at(&events, 9), net_at(&events, 10), net_at(&events, 20)], [100, 30, 0]);
    }

    #[test]
    fn a_refund_from_before_its_top_up_counts_from_the_top_up() {
        let events = [event(PaymentKind::Refund, "e2", 40, 5), event(PaymentKind::TopUp, "e1", 100, 50)];

        assert_eq!([net_at(&events, 49), net_at(&events, 50)], [0, 60]);
    }

    #[test]
    fn a_refund_without_its_top_up_is_not_there() {
        let events = [event(PaymentKind::Chargeback, "e2", 40, 5)];

        assert_eq!(Timeline::of(&events), Timeline::default());
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let mut events = vec![
            event(PaymentKind::TopUp, "e1", 100, 0),
            event(PaymentKind::Refund, "e2", 70, 10),
            event(PaymentKind::Chargeback, "e3", 70, 10),
        ];
        let expected = Timeline::of(&events);

        events.reverse();

        assert_eq!(Timeline::of(&events), expected);
    }
}
