//! The counters' log: what a power cut, rot and the way from an older version leave of usage.

mod power;
mod rot;
mod takeover;

use quotagate::store::CounterStore;
use quotagate::store::embedded::EmbeddedStore;
use std::collections::BTreeMap;

pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

pub fn records(store: &EmbeddedStore) -> Records {
    let mut records = Records::new();
    let damaged = store.for_each(&mut |key, value| _ = records.insert(key.to_vec(), value.to_vec())).unwrap();
    assert_eq!(damaged, 0);
    records
}

/// How many rounds a campaign has; the environment may ask for more.
pub fn rounds(few: u64) -> u64 {
    std::env::var("COUNTER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(few)
}
