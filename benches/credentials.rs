//! What it costs to tell who asks: the check of a key, beside the decision that follows it, and logins of names that exist
//! and that do not.
//!
//! Logins are asked of the use case itself, where failures wait for nothing. What is compared takes turns.

#[allow(dead_code, reason = "the measurements share it")]
#[path = "support/load.rs"]
mod load;

use criterion::{Criterion, criterion_group, criterion_main};
use quotagate::domain::ids::OperatorName;
use quotagate::ids::Ids;
use quotagate::services::api_keys::{self, NewKey, Scope};
use quotagate::services::credentials::Keyring;
use quotagate::services::operators::{self, NewOperator, NotLoggedIn, Role};
use quotagate::services::seal::Secret;
use quotagate::services::{Context, Services, boot};
use quotagate::store::embedded::{EmbeddedStore, Options};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NOW: i64 = 1_800_000_000_000;
/// Its check digits are wrong.
const MISTYPED: &str = "qg_000000000000000000000000000000000t";
/// Logins of each kind (`LOGINS`).
const LOGINS: usize = 300;

struct Made {
    _folder: TempDir,
    store: Arc<EmbeddedStore>,
    services: Services,
}

fn made(seed: u64) -> Made {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(EmbeddedStore::open(folder.path(), Options::default()).expect("the folder is fresh").0);
    let services = boot::without_accounts(store.clone(), Ids::seeded(seed));
    Made { _folder: folder, store, services }
}

/// A keyring of that many keys; the secret of one, and of one that was revoked. Another seed draws others.
fn keyring(keys: usize, seed: u64) -> (Arc<Keyring>, String, String) {
    let Made { _folder, store, services } = made(seed);
    let context = Context::system(NOW);
    let new = NewKey { name: None, scopes: vec![Scope::Admin], account: None, expires_at_ms: None };
    let make = || {
        let made = api_keys::create(&services, &context, &new).expect("a key is made").value;
        (made.id.to_string(), made.secret.expect("its secret is told").expose().to_owned())
    };
    let (_, valid) = make();
    let (gone, revoked) = make();
    std::thread::scope(|scope| {
        // Many at once share a sync.
        for thread in 0..32 {
            let make = &make;
            scope.spawn(move || (thread..keys.saturating_sub(2)).step_by(32).for_each(|_| _ = make()));
        }
    });
    api_keys::revoke(&services, &context, &gone, "a bench").expect("it is revoked");
    let keyring = boot::keyring(&*store, 0).expect("the keys are read");
    store.close().expect("it closes");
    (keyring, valid, revoked)
}

fn keys(criterion: &mut Criterion) {
    let ids = load::ids(10_000);
    let (engine, costs) = (load::engine(load::AMPLE_RPM, &ids), load::costs());
    let (_, unknown, _) = keyring(1, 2);
    let mut at = 0;
    criterion.bench_function("decision, 10000 accounts", |bencher| {
        bencher.iter(|| {
            at = (at + 1) % ids.len();
            engine.decide(&load::request(load::text(&ids[at]), &costs), load::BEGUN).is_ok()
        });
    });
    for keys in [1, 1_000, 10_000] {
        let (keyring, valid, revoked) = keyring(keys, 1);
        assert!(keyring.authenticate(&valid, NOW).is_ok() && keyring.authenticate(&revoked, NOW).is_err());
        for (what, secret) in [("valid", &*valid), ("unknown", &unknown), ("revoked", &revoked), ("mistyped", MISTYPED)]
        {
            criterion.bench_function(&format!("key check, {keys} keys, {what}"), |bencher| {
                bencher.iter(|| keyring.authenticate(black_box(secret), NOW).is_ok());
            });
        }
    }
}

/// First quartile, median and third quartile in milliseconds.
fn quartiles(times: &mut [Duration]) -> [f64; 3] {
    times.sort_unstable();
    [1, 2, 3].map(|quarter| times[times.len() * quarter / 4].as_secs_f64() * 1e3)
}

fn logins(_: &mut Criterion) {
    let Made { _folder, store, services } = made(1);
    let context = Context::system(NOW);
    let name = |text: &str| OperatorName::parse(text).expect("a name");
    for operator in 0..8 {
        let password = Secret::new("correct horse battery".to_owned());
        let name = name(&format!("known-{operator}"));
        let new = NewOperator { name, role: Role::Owner, ceiling_percent: None, password };
        operators::create(&services, &context, &new).expect("an operator is made");
    }
    let wrong = Secret::new("a wrong password".to_owned());
    let login = |name: &OperatorName| {
        let begun = Instant::now();
        assert!(matches!(operators::login(&services, &context, name, &wrong), Err(NotLoggedIn::Wrong)));
        begun.elapsed()
    };
    let most = std::env::var("LOGINS").ok().map_or(LOGINS, |n| n.parse().expect("LOGINS is a number"));
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for n in 0..most {
        let names = [name(&format!("known-{}", n % 8)), name(&format!("other-{}", n % 8))];
        // The first of a pair is the other one each time.
        for turn in [n % 2, 1 - n % 2] {
            [&mut known, &mut unknown][turn].push(login(&names[turn]));
        }
    }
    let [known, unknown] = [&mut known, &mut unknown].map(|times| quartiles(times));
    println!("wrong passwords, {most} logins each, ms: first quartile, median, third quartile");
    for (what, [low, middle, high]) in [("known names", known), ("unknown names", unknown)] {
        println!("  {what:<14} {low:.2} {middle:.2} {high:.2}");
    }
    let overlap = known[0] <= unknown[2] && unknown[0] <= known[2];
    println!("  median of unknown over known {:.3}; the middle halves overlap: {overlap}", unknown[1] / known[1]);
    store.close().expect("it closes");
}

criterion_group!(benches, logins, keys);
criterion_main!(benches);
