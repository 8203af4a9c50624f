//! The engine against a naive model of it, field by field, over random traces.

mod compare;
mod engine;
mod generate;
mod reference;
mod selftest;
mod stats;

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use std::path::PathBuf;

/// How many random cases a test runs (`QUOTAGATE_MODEL_CASES`).
fn cases() -> u32 {
    let set = std::env::var("QUOTAGATE_MODEL_CASES").ok();
    set.map_or(256, |n| n.parse().expect("QUOTAGATE_MODEL_CASES is a number"))
}

/// A folder of this run's own.
fn folder() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("quotagate-model-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary folder can be made");
    dir
}

#[test]
fn engine_and_model_answer_alike() {
    let dir = folder();
    let config = Config { cases: cases(), failure_persistence: None, max_shrink_iters: 3_000, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&generate::cases(), |case| {
        let model = compare::model_answers(&case);
        let engine = engine::engine_answers(&dir, &case);
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
