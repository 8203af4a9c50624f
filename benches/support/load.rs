//! What every measurement of the engine decides on: one policy, accounts with 16-byte ids, requests drawn at random.

use quotagate::domain::account::MainFacts;
use quotagate::domain::ids::AccountId;
use quotagate::engine::{Costs, Engine, Options, Request};
use std::sync::Arc;

pub const BEGUN: i64 = 1_700_000_000_000;
pub const RESOURCE: &str = "model";
/// So few requests a minute that denials are soon all there is.
pub const TIGHT_RPM: u64 = 8;

/// More requests a minute than a measurement makes.
pub const AMPLE_RPM: u64 = 1_000_000_000_000;

/// RPM and TPM as sliding windows; tokens never run out.
pub fn policy(rpm: u64) -> Arc<quotagate::domain::policy::Policy> {
    let text = format!(
        "schema: quotagate.policy/v1\nname: bench\ntiers: [{{id: free}}]\ndefault_tier: free\ngroups:\n  - id: text\n    \
         resources: [{RESOURCE}]\n    limits:\n      \
         - {{id: rpm, unit: requests, window: 1m, algorithm: sliding_window, quotas: {{free: {rpm}}}}}\n      \
         - {{id: tpm, unit: tokens, window: 1m, algorithm: sliding_window, quotas: {{free: 1000000000000000}}}}\n"
    );
    match quotagate::policy::parse(&text) {
        Ok(parsed) => Arc::new(parsed.policy),
        Err(findings) => panic!("the policy is not valid: {findings:?}"),
    }
}

/// A small generator of its own, so that every target sees the same draws.
pub struct Draws(u64);

impl Draws {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

pub type Id = [u8; 16];

/// Random hexadecimal ids of 16 bytes.
pub fn ids(count: usize) -> Vec<Id> {
    let mut draws = Draws::seeded(1);
    let hex = |number: u64| std::array::from_fn(|digit| b"0123456789abcdef"[(number >> (4 * digit)) as usize & 15]);
    (0..count).map(|_| hex(draws.next())).collect()
}

/// A million ids drawn uniformly, laid out in the order in which they are used.
pub fn drawn(ids: &[Id], seed: u64) -> Vec<Id> {
    let mut draws = Draws::seeded(seed);
    (0..1 << 20).map(|_| ids[((u128::from(draws.next()) * ids.len() as u128) >> 64) as usize]).collect()
}

pub fn text(id: &Id) -> &str {
    std::str::from_utf8(id).expect("ids are hexadecimal digits")
}

/// The same without looking at the bytes, so that a measurement does not pay for it.
#[inline]
pub fn text_unchecked(id: &Id) -> &str {
    // SAFETY: ids come from `ids`, which writes hexadecimal digits only.
    unsafe { std::str::from_utf8_unchecked(id) }
}

/// An engine that knows the accounts.
pub fn engine(rpm: u64, ids: &[Id]) -> Engine {
    engine_with(rpm, ids, Options::default())
}

/// The same, run in a way of its own.
pub fn engine_with(rpm: u64, ids: &[Id], options: Options) -> Engine {
    let engine = Engine::new(policy(rpm), options);
    for id in ids {
        let id = AccountId::parse(text(id)).expect("an account id");
        engine.put_main(&id, MainFacts::created(BEGUN)).expect("there is room");
    }
    engine
}

/// One request and 1,200 tokens of an account.
pub fn request<'a>(account: &'a str, costs: &'a Costs) -> Request<'a> {
    Request { account, resource: RESOURCE, costs, reserve: None, dry_run: false }
}

pub fn costs() -> Costs {
    Costs::new(1, 1_200, [])
}
