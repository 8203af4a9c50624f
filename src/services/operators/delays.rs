//! Failed logins make the next one wait, by name and by address. Keys and sessions never wait.

use parking_lot::Mutex;
use std::collections::HashMap;

/// Names and addresses that are remembered, each.
const MAX_REMEMBERED: usize = 10_000;
/// Failures of a name without a wait.
const FREE_OF_NAME: u32 = 3;
/// Failures of an address without a wait: several people may share one.
const FREE_OF_ADDRESS: u32 = 10;
/// Longest wait. Short enough that nobody keeps an operator out for long.
const LONGEST_MS: i64 = 60_000;
/// A name or address without a failure for so long is forgotten.
const FORGOTTEN_AFTER_MS: i64 = 3_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed logins: wait for {} s", .retry_after_ms.div_ceil(1_000))]
pub struct Delayed {
    pub retry_after_ms: u64,
}

/// Who has failed lately.
#[derive(Debug, Default)]
pub struct Delays(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    names: Table,
    addresses: Table,
}

#[derive(Debug, Default)]
struct Table(HashMap<String, Failures>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last_ms: i64,
    wait_until_ms: i64,
}

impl Delays {
    /// Lets an attempt begin, and counts it as failed until [`Self::succeeded`] says otherwise: so attempts at the same
    /// time count too.
    ///
    /// Errors: it has to wait.
    pub fn begin(&self, name: &str, address: &str, now: i64) -> Result<(), Delayed> {
        let mut tables = self.0.lock();
        let waits = tables.names.wait_ms(name, now).max(tables.addresses.wait_ms(address, now));
        if waits > 0 {
            return Err(Delayed { retry_after_ms: waits.unsigned_abs() });
        }
        tables.names.count(name, FREE_OF_NAME, now);
        tables.addresses.count(address, FREE_OF_ADDRESS, now);
        Ok(())
    }

    pub fn succeeded(&self, name: &str, address: &str) {
        let mut tables = self.0.lock();
        tables.names.0.remove(name);
        tables.addresses.0.remove(address);
    }
}

impl Table {
    fn wait_ms(&self, who: &str, now: i64) -> i64 {
        self.0.get(who).map_or(0, |failures| failures.wait_until_ms.saturating_sub(now))
    }

    fn count(&mut self, who: &str, free: u32, now: i64) {
        if self.0.len() >= MAX_REMEMBERED && !self.0.contains_key(who) {
            self.make_room(now);
        }
        let failures = self.0.entry(who.to_owned()).or_insert(Failures { count: 0, last_ms: now, wait_until_ms: now });
        if now.saturating_sub(failures.last_ms) >= FORGOTTEN_AFTER_MS {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last_ms = now;
        if let Some(beyond @ 1..) = failures.count.checked_sub(free) {
            let wait_ms = 1_000_i64.checked_shl((beyond - 1).min(16)).unwrap_or(LONGEST_MS).min(LONGEST_MS);
            failures.wait_until_ms = now.saturating_add(wait_ms);
        }
    }

    /// Forgets what is old, else the one that has been quiet longest.
    fn make_room(&mut self, now: i64) {
        self.0.retain(|_, failures| now.saturating_sub(failures.last_ms) < FORGOTTEN_AFTER_MS);
        if self.0.len() >= MAX_REMEMBERED
            && let Some(oldest) = self.0.iter().min_by_key(|(_, failures)| failures.last_ms).map(|(who, _)| who.clone())
        {
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_a_name_wait_twice_as_long_each_time_and_a_success_ends_that() {
        let delays = Delays::default();
        let mut now = 0;
        for _ in 0..FREE_OF_NAME {
            delays.begin("alice", "a", now).unwrap();
        }

        delays.begin("alice", "a", now).unwrap();
        let mut waits = Vec::new();
        for address in 0..8 {
            let delayed = delays.begin("alice", &address.to_string(), now).unwrap_err();
            waits.push(delayed.retry_after_ms);
            now += i64::try_from(delayed.retry_after_ms).unwrap();
            delays.begin("alice", &address.to_string(), now).unwrap();
        }

        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(delays.begin("bob", "b", now), Ok(()));
        delays.succeeded("alice", "7");
        assert_eq!(delays.begin("alice", "c", now), Ok(()));
    }

    #[test]
    fn an_address_that_tries_many_names_waits_too_and_the_tables_are_bounded() {
        let delays = Delays::default();
        let tried = (0..100).filter(|name| delays.begin(&name.to_string(), "a", 0).is_ok()).count();

        for name in 0..2 * MAX_REMEMBERED {
            _ = delays.begin(&format!("n{name}"), &format!("a{name}"), 1);
        }

        assert_eq!(tried, 11);
        let tables = delays.0.lock();
        assert!(tables.names.0.len() <= MAX_REMEMBERED && tables.addresses.0.len() <= MAX_REMEMBERED);
    }
}
