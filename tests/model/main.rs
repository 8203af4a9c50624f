//! The engine against a naive model of it, field by field, over random traces.

mod compare;
mod engine;
#[cfg(feature = "mutations")]
mod faults;
mod generate;
mod reference;
mod selftest;
mod stats;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How many random cases a test runs (`QUOTAGATE_MODEL_CASES`).
fn cases() -> u32 {
    let set = std::env::var("QUOTAGATE_MODEL_CASES").ok();
    set.map_or(256, |n| n.parse().expect("QUOTAGATE_MODEL_CASES is a number"))
}

/// How far a failing case is made smaller (`QUOTAGATE_MODEL_SHRINK`).
fn shrinks() -> u32 {
    let set = std::env::var("QUOTAGATE_MODEL_SHRINK").ok();
    set.map_or(3_000, |n| n.parse().expect("QUOTAGATE_MODEL_SHRINK is a number"))
}

/// A folder of this run's own.
fn folder(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("quotagate-model-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary folder can be made");
    dir
}

/// The same cases every time (`QUOTAGATE_MODEL_SEED`), where chance is not wanted.
fn rng(seed: &str) -> TestRng {
    let seed: u64 = seed.parse().expect("QUOTAGATE_MODEL_SEED is a number");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

#[test]
fn engine_and_model_answer_alike() {
    compare_with_model("plain", cases(), engine::engine_answers);
}

#[test]
fn an_engine_rebuilt_from_its_store_answers_alike() {
    compare_with_model("rebuilt", cases() / 2, |dir, case| engine::rebuilt_engine_answers(dir, case, 3));
}

fn compare_with_model(
    name: &str,
    cases: u32,
    engine_answers: impl Fn(&Path, &generate::Case) -> Vec<Result<Value, String>>,
) {
    let dir = folder(name);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: shrinks(), ..Config::default() };
    let mut runner = match std::env::var("QUOTAGATE_MODEL_SEED") {
        Ok(seed) => TestRunner::new_with_rng(config, rng(&seed)),
        Err(_) => TestRunner::new(config),
    };
    let outcome = runner.run(&generate::cases(), |case| {
        let model = compare::model_answers(&case);
        let engine = engine_answers(&dir, &case);
        match compare::difference(&case, model, engine) {
            Some(told) => Err(TestCaseError::fail(told)),
            None => Ok(()),
        }
    });
    std::fs::remove_dir_all(&dir).expect("the temporary folder can be removed");
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(told, _)) => panic!("{told}"),
        Err(TestError::Abort(why)) => panic!("gave up: {why}"),
    }
}
