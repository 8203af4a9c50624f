//! Payment events and what they add up to (SEMANTICS, section 2).

use super::ids::{Currency, PaymentRef};
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentKind {
    TopUp,
    Refund,
    Chargeback,
}

impl PaymentKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TopUp => "top_up",
            Self::Refund => "refund",
            Self::Chargeback => "chargeback",
        }
    }
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
    moments: Vec<Moment>,
    /// Events that it was made of, those that wait for their top-up among them.
    events: u64,
}

/// All that counts from one time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    pub at_ms: i64,
    /// Events that count from this moment; a moment without any is none.
    events: u32,
    chargebacks: u32,
    /// Minor units, top-ups less what counts of refunds and chargebacks. What adds up to 0 is left out.
    pub net: Vec<(Currency, i128)>,
}

impl Moment {
    /// Whether a chargeback counts from this moment.
    #[must_use]
    pub fn has_chargeback(&self) -> bool {
        self.chargebacks > 0
    }

    fn add(&mut self, currency: &Currency, amount: i128) {
        match self.net.iter_mut().find(|(known, _)| known == currency) {
            Some((_, net)) => *net += amount,
            None => self.net.push((currency.clone(), amount)),
        }
        self.net.retain(|(_, net)| *net != 0);
        self.net.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    }
}

/// What one event adds, once it is known what counts of it.
struct Step<'a> {
    at_ms: i64,
    currency: &'a Currency,
    amount: i128,
    chargeback: bool,
}

impl Timeline {
    #[must_use]
    pub fn of(events: &[PaymentEvent]) -> Self {
        let payments = by_payment(events);
        let mut steps: Vec<Step<'_>> = payments.values().flat_map(|events| steps(events)).collect();
        steps.sort_unstable_by_key(|step| step.at_ms);
        let mut timeline = Self { moments: Vec::new(), events: events.len() as u64 };
        for step in steps {
            timeline.add(&step);
        }
        timeline
    }

    /// Exchanges the events of one payment: `before` as they were counted so far, `after` as they are now.
    ///
    /// Payments do not depend on each other, so this is what all events together would give.
    pub fn replace(&mut self, before: &[PaymentEvent], after: &[PaymentEvent]) {
        for step in steps(before) {
            self.take_away(&step);
        }
        for step in steps(after) {
            self.add(&step);
        }
        self.events = (self.events + after.len() as u64).saturating_sub(before.len() as u64);
    }

    /// How many events it was made of, those that count nothing among them.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Ascending by time, each time once.
    #[must_use]
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    fn add(&mut self, step: &Step<'_>) {
        let at = match self.moments.binary_search_by_key(&step.at_ms, |moment| moment.at_ms) {
            Ok(at) => at,
            Err(at) => {
                self.moments.insert(at, Moment { at_ms: step.at_ms, events: 0, chargebacks: 0, net: Vec::new() });
                at
            }
        };
        let moment = &mut self.moments[at];
        moment.events += 1;
        moment.chargebacks += u32::from(step.chargeback);
        moment.add(step.currency, step.amount);
    }

    fn take_away(&mut self, step: &Step<'_>) {
        let Ok(at) = self.moments.binary_search_by_key(&step.at_ms, |moment| moment.at_ms) else { return };
        let moment = &mut self.moments[at];
        moment.events = moment.events.saturating_sub(1);
        moment.chargebacks = moment.chargebacks.saturating_sub(u32::from(step.chargeback));
        moment.add(step.currency, -step.amount);
        if moment.events == 0 {
            self.moments.remove(at);
        }
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

/// What a refund or chargeback takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reversal {
    /// When it counts from.
    pub at_ms: i64,
    pub currency: Currency,
    /// Minor units, as far as it counts: 0 where all of its top-up was taken back before.
    pub amount: u64,
    pub chargeback: bool,
}

/// What refunds and chargebacks take back, the earliest first; those without their top-up are not there.
#[must_use]
pub fn reversals(events: &[PaymentEvent]) -> Vec<Reversal> {
    let mut reversals: Vec<Reversal> = by_payment(events)
        .values()
        // The first is the top-up.
        .flat_map(|events| steps(events).into_iter().skip(1))
        .map(|step| Reversal {
            at_ms: step.at_ms,
            currency: step.currency.clone(),
            amount: u64::try_from(-step.amount).unwrap_or(0),
            chargeback: step.chargeback,
        })
        .collect();
    reversals.sort_unstable_by(|a, b| (a.at_ms, &a.currency, a.amount).cmp(&(b.at_ms, &b.currency, b.amount)));
    reversals
}

fn by_payment(events: &[PaymentEvent]) -> HashMap<&PaymentRef, Vec<&PaymentEvent>> {
    let mut payments: HashMap<&PaymentRef, Vec<&PaymentEvent>> = HashMap::new();
    for event in events {
        payments.entry(&event.payment_id).or_default().push(event);
    }
    payments
}

/// The events of one payment as they count: the top-up, then reversals in their order, together at most its amount.
///
/// Without a top-up nothing counts.
fn steps<E: Borrow<PaymentEvent>>(events: &[E]) -> Vec<Step<'_>> {
    let events = || events.iter().map(Borrow::borrow);
    let top_up = events()
        .filter(|event| event.kind == PaymentKind::TopUp)
        .find_map(|event| event.currency.as_ref().map(|currency| (event, currency)));
    let Some((top_up, currency)) = top_up else { return Vec::new() };
    let mut left = top_up.amount;
    let mut steps = vec![Step { at_ms: top_up.occurred_at_ms, currency, amount: i128::from(left), chargeback: false }];
    let mut reversals: Vec<&PaymentEvent> = events().filter(|event| event.kind != PaymentKind::TopUp).collect();
    reversals.sort_by(|a, b| (a.occurred_at_ms, &a.event_id).cmp(&(b.occurred_at_ms, &b.event_id)));
    for event in reversals {
        let counted = event.amount.min(left);
        left -= counted;
        steps.push(Step {
            at_ms: event.occurred_at_ms.max(top_up.occurred_at_ms),
            currency,
            amount: -i128::from(counted),
            chargeback: event.kind == PaymentKind::Chargeback,
        });
    }
    steps
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

        let timeline = Timeline::of(&events);

        assert_eq!((timeline.moments(), timeline.events()), (&[][..], 1));
    }

    #[test]
    fn reversals_are_told_as_far_as_they_count() {
        let events = [
            event(PaymentKind::TopUp, "e1", 100, 0),
            event(PaymentKind::Chargeback, "e3", 70, 20),
            event(PaymentKind::Refund, "e2", 70, 10),
            PaymentEvent { payment_id: PaymentRef::parse("p2").unwrap(), ..event(PaymentKind::Refund, "e4", 9, 30) },
        ];

        let told: Vec<_> = reversals(&events).into_iter().map(|it| (it.at_ms, it.amount, it.chargeback)).collect();

        assert_eq!(told, [(10, 70, false), (20, 30, true)]);
    }

    #[test]
    fn replacing_the_events_of_one_payment_is_counting_all_anew() {
        let other =
            PaymentEvent { payment_id: PaymentRef::parse("p2").unwrap(), ..event(PaymentKind::TopUp, "o1", 55, 10) };
        let of_one = [
            event(PaymentKind::Refund, "e2", 70, 10),
            event(PaymentKind::TopUp, "e1", 100, 0),
            event(PaymentKind::Chargeback, "e0", 70, 5),
            event(PaymentKind::Refund, "e3", 70, 10),
        ];

        let mut timeline = Timeline::of(std::slice::from_ref(&other));
        for known in 1..=of_one.len() {
            timeline.replace(&of_one[..known - 1], &of_one[..known]);
            let all: Vec<PaymentEvent> = of_one[..known].iter().chain([&other]).cloned().collect();
            assert_eq!(timeline, Timeline::of(&all), "{known}");
        }
        timeline.replace(&of_one, &[]);
        assert_eq!(timeline, Timeline::of(&[other]));
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
