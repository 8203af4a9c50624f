//! The engine inside another program: no server, no disk, no clock of its own.
//!
//! ```text
//! cargo run --example embedded --no-default-features
//! ```

use quotagate::domain::account::MainFacts;
use quotagate::domain::ids::AccountId;
use quotagate::engine::{Amounts, Costs, Engine, Options, Request, Reserve};
use std::error::Error;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let document = include_str!("../policies/minimax.yaml");
    let policy = quotagate::policy::parse(document).map_err(|findings| format!("{findings:?}"))?.policy;
    let engine = Engine::new(Arc::new(policy), Options::default());

    // Time is yours: milliseconds since the Unix epoch, never going back.
    let now = 1_750_000_000_000;
    engine.put_main(&AccountId::parse("acme")?, MainFacts::created(now))?;

    // A chat request: its tokens are estimated first and settled when they are known.
    let costs = Costs::new(1, 4_000, []);
    let request = Request {
        account: "acme",
        resource: "MiniMax-M2",
        costs: &costs,
        reserve: Some(Reserve { id: Some("chat-1"), ttl_ms: Some(60_000) }),
        dry_run: false,
    };
    let decision = engine.decide(&request, now)?;
    println!("first request: {}", if decision.allowed() { "allowed" } else { "denied" });
    if let Some(held) = decision.reservation {
        engine.settle(&held.handle, &Amounts::new(None, Some(1_200), []), now + 900)?;
    }

    // Twenty requests a minute are free: the next nineteen pass, then one does not.
    let request = Request { reserve: None, ..request };
    let mut asked = 1;
    let denied = loop {
        let decision = engine.decide(&request, now + 1_000)?;
        asked += 1;
        if !decision.allowed() {
            break decision;
        }
    };
    let violated: Vec<&str> = denied.violated().collect();
    println!("request {asked}: denied by {violated:?}, retry after {:?} ms", denied.retry_after_ms);

    for state in &engine.status("acme", "MiniMax-M2", now + 1_000)?.limits {
        println!("  {}: {} of {}", engine.snapshot().limit_id(0, state.limit), state.used, state.quota);
    }
    Ok(())
}
