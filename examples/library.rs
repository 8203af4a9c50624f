//! The engine inside another program: no server, no files, and the time is whatever the caller says.

use quotagate::domain::account::MainFacts;
use quotagate::domain::ids::AccountId;
use quotagate::engine::{Costs, Engine, Options, Request};
use quotagate::policy;
use std::error::Error;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let document = include_str!("../policies/minimax.yaml");
    let parsed = policy::parse(document).map_err(|errors| errors[0].to_string())?;
    let engine = Engine::new(Arc::new(parsed.policy), Options::default());
    engine.put_main(&AccountId::parse("acme")?, MainFacts::created(1_700_000_000_000))?;

    let costs = Costs::new(1, 1_200, []);
    let request = Request { account: "acme", resource: "MiniMax-M2", costs: &costs, reserve: None, dry_run: false };
    let now = 1_700_000_000_000;
    let allowed = (0..25).filter(|_| engine.decide(&request, now).is_ok_and(|decision| decision.allowed())).count();
    let denied = engine.decide(&request, now)?;
    println!("{allowed} allowed; then {:?} for {:?} ms", denied.violated().collect::<Vec<_>>(), denied.retry_after_ms);

    let later = now + denied.retry_after_ms.unwrap_or_default();
    println!("after that: allowed = {}", engine.decide(&request, later)?.allowed());
    Ok(())
}
