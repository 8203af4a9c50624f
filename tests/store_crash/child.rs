//! What the child writes, and how it is told afterwards whether it is there.

use crate::changes::{audit, open};
use quotagate::store::embedded::EmbeddedStore;
use quotagate::store::{AdminStore, Changeset, CounterStore, Expect, Idempotency, Key, Table, Write};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

pub const WRITERS: u64 = 32;
/// Names the folder to the child, and makes a process the child.
pub const FOLDER: &str = "QUOTAGATE_TEST_CRASH_FOLDER";

fn head(writer: u64) -> Key {
    Key::number(writer)
}

fn step(writer: u64, n: u64) -> Key {
    Key::build().u64(writer).u64(n).finish()
}

/// Every tenth change carries a value that is kept in pieces.
fn document(n: u64) -> Option<Value> {
    n.is_multiple_of(10).then(|| json!({"n": n, "text": "d".repeat(9_000)}))
}

/// Every seventh change deletes the step five before it.
fn deleted_by(n: u64) -> Option<u64> {
    n.is_multiple_of(7).then(|| n.checked_sub(5)).flatten()
}

/// The n-th change of a writer: its head moves on, a step is added, and now and then more.
fn change(writer: u64, n: u64, revision: Option<u64>) -> Changeset {
    let (table, key) = (Table::Accounts, head(writer));
    let mut writes = vec![
        Write::put(table, key.clone(), json!(n)),
        Write::put(Table::Overrides, step(writer, n), json!({"writer": writer, "n": n})),
    ];
    writes.extend(document(n).map(|value| Write::put(Table::Policies, head(writer), value)));
    writes.extend(deleted_by(n).map(|old| Write::delete(Table::Overrides, step(writer, old))));
    Changeset {
        at_ms: n as i64,
        expects: vec![match revision {
            None => Expect::Absent { table, key },
            Some(revision) => Expect::Revision { table, key, revision },
        }],
        writes,
        audit: audit("step.take", &[&format!("writer:{writer}")]),
        idempotency: Some(Idempotency {
            key: format!("{writer}/{n}").into_bytes(),
            fingerprint: [1; 32],
            response: json!(n),
            expires_at_ms: n as i64 + 20,
        }),
        accepted_clock: None,
    }
}

/// Writes until it is killed, and says on its output what was acknowledged.
pub fn work(folder: &Path) {
    let (store, _) = open(folder);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || take_steps(store, writer));
        }
        scope.spawn(|| count(&store));
    });
}

fn take_steps(store: &EmbeddedStore, writer: u64) {
    let found = store.get(Table::Accounts, &head(writer)).unwrap();
    let mut revision = found.as_ref().map(|found| found.revision);
    let first = found.map_or(0, |found| found.value.as_u64().unwrap() + 1);
    for n in first.. {
        let seq = store.commit(change(writer, n, revision)).wait().unwrap().committed().unwrap().seq;
        revision = Some(seq);
        say(&format!("ack {writer} {n} {seq}\n"));
    }
}

fn count(store: &EmbeddedStore) {
    for n in last_counter(store) + 1.. {
        let value = n.to_be_bytes().to_vec();
        store.put_batch(&[(b"left".to_vec(), value.clone()), (b"right".to_vec(), value)]).unwrap();
        say(&format!("counter {n}\n"));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn last_counter(store: &EmbeddedStore) -> u64 {
    let mut least = u64::MAX;
    let damaged = store.for_each(&mut |_, value| least = least.min(u64::from_be_bytes(value.try_into().unwrap())));
    assert_eq!(damaged.unwrap(), 0);
    if least == u64::MAX { 0 } else { least }
}

fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes()).unwrap();
    output.flush().unwrap();
}

/// What a reopened store holds.
pub struct Checks<'a> {
    store: &'a EmbeddedStore,
    /// Revision of each (writer, n).
    steps: BTreeMap<(u64, u64), u64>,
    /// The last change of each writer that is there.
    heads: BTreeMap<u64, (u64, u64)>,
}

impl<'a> Checks<'a> {
    pub fn new(store: &'a EmbeddedStore) -> Self {
        let (mut steps, mut heads) = (BTreeMap::new(), BTreeMap::new());
        let mut after = None;
        loop {
            let page = store.scan(Table::Overrides, &Key::empty(), after.as_ref(), 1_000).unwrap();
            for (key, found) in &page {
                let mut parts = key.read();
                let (writer, n) = (parts.u64().unwrap(), parts.u64().unwrap());
                assert_eq!(found.value, json!({"writer": writer, "n": n}));
                steps.insert((writer, n), found.revision);
            }
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
        }
        for (key, found) in store.scan(Table::Accounts, &Key::empty(), None, 1_000).unwrap() {
            heads.insert(key.read().u64().unwrap(), (found.value.as_u64().unwrap(), found.revision));
        }
        Self { store, steps, heads }
    }

    /// Everything that the writer's changes up to its head write is there, and nothing of any later one.
    pub fn nothing_is_half_there(&self, writer: u64, round: &str) {
        let Some((last, revision)) = self.heads.get(&writer).copied() else {
            assert_eq!(self.steps.range((writer, 0)..=(writer, u64::MAX)).count(), 0, "{round}");
            return;
        };
        let mut expected: Vec<u64> = (0..=last).collect();
        let deleted: Vec<u64> = (0..=last).filter_map(deleted_by).collect();
        expected.retain(|n| !deleted.contains(n));
        let found: Vec<u64> = self.steps.range((writer, 0)..=(writer, u64::MAX)).map(|((_, n), _)| *n).collect();
        assert_eq!(found, expected, "{round}: writer {writer}");
        assert_eq!(self.steps.get(&(writer, last)), Some(&revision), "{round}: writer {writer}");
        let kept = self.store.get(Table::Policies, &head(writer)).unwrap().map(|found| found.value);
        assert_eq!(kept, document(last - last % 10), "{round}: writer {writer}");
    }

    pub fn is_there(&self, writer: u64, n: u64, revision: u64, round: &str) {
        let last = self.heads.get(&writer).map_or(0, |(last, _)| *last);
        assert!(last >= n, "{round}: change {n} of writer {writer} was acknowledged, the last there is {last}");
        if let Some(found) = self.steps.get(&(writer, n)) {
            assert_eq!(*found, revision, "{round}: change {n} of writer {writer}");
        }
    }

    pub fn counter_is_at_least(&self, promised: u64, round: &str) {
        let least = last_counter(self.store);
        assert!(least >= promised, "{round}: counters were written up to {promised}, {least} is there");
    }
}
