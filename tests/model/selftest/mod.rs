//! The model checked against itself: invariants, and what the generated cases reach.

mod calls;
mod invariants;
mod policies;
mod reach;
mod state;

use crate::generate::{self, Case};
use crate::reference::Model;
use crate::stats::{Stats, WANTED};
use serde_json::Value;
use std::path::PathBuf;

/// One event, with the model before and after it.
pub struct Step<'a> {
    pub before: &'a Model,
    pub after: &'a Model,
    pub event: &'a Value,
    pub answer: &'a Value,
    pub now: i128,
}

fn run(case: &Case, stats: &mut Stats) {
    let mut model = Model::new(case.policies[0].clone(), PathBuf::new()).with_files(case.files());
    let mut reach = reach::Reach::default();
    for (number, event) in (1..).zip(&case.events) {
        let mut before = model.clone();
        stats.add("events");
        let Ok(answer) = model.event(number, event) else {
            stats.add("bad line");
            return;
        };
        // The time of the event is part of it, its usage is not.
        before.now = model.now;
        let step = Step { before: &before, after: &model, event, answer: &answer, now: model.now };
        invariants::check(&step);
        reach.count(&step, stats);
    }
}

#[test]
fn the_model_holds_and_the_generator_reaches_everything() {
    let set = std::env::var("QUOTAGATE_MODEL_SELF_CASES").ok();
    let cases: u64 = set.map_or(600, |n| n.parse().expect("QUOTAGATE_MODEL_SELF_CASES is a number"));
    let mut stats = Stats::default();
    for seed in 0..cases {
        let case = generate::generate(seed);
        stats.add("cases");
        let told = std::panic::AssertUnwindSafe(|| run(&case, &mut stats));
        if let Err(why) = std::panic::catch_unwind(told) {
            println!("seed {seed}\n{}", case.shown());
            std::panic::resume_unwind(why);
        }
    }
    println!("{}", stats.shown());
    let missing: Vec<&&str> = WANTED.iter().filter(|name| stats.count(name) == 0).collect();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

#[test]
fn every_generated_policy_is_valid() {
    for seed in 0..400 {
        for policy in generate::generate(seed).policies {
            policies::valid(&policy);
        }
    }
}

#[test]
fn most_traces_have_no_bad_line() {
    let bad =
        (0..200).filter(|seed| crate::compare::model_answers(&generate::generate(*seed)).iter().any(Result::is_err));
    let bad = bad.count();
    assert!((10..=80).contains(&bad), "{bad} of 200 traces end with a bad line");
}
