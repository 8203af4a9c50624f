//! The one place that calls the real engine.

use crate::generate::{Case, file_name};
use quotagate::simulate::Runner;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Runs a case through the engine, up to the first bad line; `dir` is a folder for its policy files.
pub fn engine_answers(dir: &Path, case: &Case) -> Vec<Result<Value, String>> {
    answers(dir, case, None)
}

/// The same with the engine built anew from what it stored, before every `every`-th event.
pub fn rebuilt_engine_answers(dir: &Path, case: &Case, every: u64) -> Vec<Result<Value, String>> {
    answers(dir, case, Some(every))
}

fn answers(dir: &Path, case: &Case, rebuild_every: Option<u64>) -> Vec<Result<Value, String>> {
    let mut stored = BTreeMap::new();
    for (name, policy) in case.files() {
        std::fs::write(dir.join(name), policy.to_string()).expect("the folder can be written");
    }
    let opened = Runner::open(&dir.join(file_name(0))).map_err(|e| e.to_string());
    let mut runner = match opened {
        Ok(runner) => runner.with_base(dir.to_path_buf()),
        Err(why) => return vec![Err(format!("the policy was refused: {why}"))],
    };
    let mut answers = Vec::new();
    for (number, event) in (1..).zip(&case.events) {
        if rebuild_every.is_some_and(|every| number % every == 0)
            && let Err(why) = runner.rebuild(&mut stored)
        {
            answers.push(Err(format!("the rebuild failed: {why}")));
            break;
        }
        let answer = runner.line(number, &event.to_string()).map_err(|e| e.to_string());
        let answer = answer.map(|text| serde_json::from_str(&text).expect("an answer is JSON"));
        let bad = answer.is_err();
        answers.push(answer);
        if bad {
            break;
        }
    }
    answers
}
