//! Writing usage behind.

use crate::harness::Plane;
use quotagate::engine::{Costs, Engine, Request};
use quotagate::services::flush::Flusher;
use quotagate::store::{CounterGroup, CounterStore, StoreError};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A disk that takes a while, and during whose writes more is charged.
struct Slow {
    engine: Arc<Engine>,
    writes: Mutex<Sender<Instant>>,
}

const TAKES: Duration = Duration::from_millis(60);

impl CounterStore for Slow {
    fn put_batch(&self, _: &[(Vec<u8>, Vec<u8>)]) -> Result<(), StoreError> {
        self.writes.lock().unwrap().send(Instant::now()).unwrap();
        std::thread::sleep(TAKES);
        charge(&self.engine);
        Ok(())
    }

    fn put_groups(&self, _: Vec<CounterGroup>) -> Result<(), StoreError> {
        self.put_batch(&[])
    }

    fn remove(&self, _: &[Vec<u8>]) -> Result<(), StoreError> {
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn for_each(&self, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<u64, StoreError> {
        Ok(0)
    }
}

fn charge(engine: &Engine) {
    let costs = Costs::new(0, 1, []);
    let request = Request { account: "acme", resource: "MiniMax-M2", costs: &costs, reserve: None, dry_run: false };
    engine.decide(&request, crate::harness::START).unwrap();
}

#[test]
fn the_lag_covers_what_was_charged_while_usage_was_being_written() {
    let plane = Plane::new();
    let engine = plane.engine().clone();
    charge(&engine);
    let (sender, writes): (_, Receiver<Instant>) = channel();
    let store = Arc::new(Slow { engine: engine.clone(), writes: Mutex::new(sender) });

    let flusher = Flusher::start(engine, store, Duration::from_millis(1), None);
    let first = writes.recv().unwrap();
    writes.recv().unwrap();
    // The second write is under way, so all that is kept is what the first was given.
    let safe_until = Instant::now() - flusher.lag();

    assert!(safe_until <= first, "{:?} after the first write had begun", safe_until - first);
    flusher.stop().unwrap();
}
