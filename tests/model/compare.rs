//! The comparison: every field of every answer, the server's own reservation ids by order of appearance.

use crate::generate::Case;
use crate::reference::Model;
use serde_json::Value;
use std::path::PathBuf;

/// What a run answered, line by line, up to the first bad line.
pub type Answers = Vec<Result<Value, String>>;

/// Runs a case through the model, up to the first bad line.
pub fn model_answers(case: &Case) -> Answers {
    let mut model = Model::new(case.policies[0].clone(), PathBuf::new()).with_files(case.files());
    let mut answers = Vec::new();
    for (number, event) in (1..).zip(&case.events) {
        let answer = model.event(number, event);
        let bad = answer.is_err();
        answers.push(answer);
        if bad {
            break;
        }
    }
    answers
}

/// The first line on which the two differ, told for a person.
pub fn difference(case: &Case, model: Answers, engine: Answers) -> Option<String> {
    let model = normalised(case, model);
    let engine = normalised(case, engine);
    for at in 0..model.len().max(engine.len()) {
        let same = match (model.get(at), engine.get(at)) {
            (Some(Ok(a)), Some(Ok(b))) => a == b,
            // What is wrong with a bad line is told in each one's own words.
            (Some(Err(_)), Some(Err(_))) => true,
            _ => false,
        };
        if !same {
            let until = Case {
                policies: case.policies.clone(),
                events: case.events[..=at.min(case.events.len() - 1)].to_vec(),
            };
            return Some(format!(
                "line {} differs\nmodel:  {}\nengine: {}\n{}",
                at + 1,
                shown(model.get(at)),
                shown(engine.get(at)),
                until.shown(),
            ));
        }
    }
    None
}

fn shown(answer: Option<&Result<Value, String>>) -> String {
    match answer {
        Some(Ok(answer)) => answer.to_string(),
        Some(Err(why)) => format!("bad line: {why}"),
        None => "nothing".into(),
    }
}

fn normalised(case: &Case, answers: Answers) -> Answers {
    let mut seen: Vec<String> = Vec::new();
    let pairs = answers.into_iter().zip(&case.events);
    pairs
        .map(|(answer, event)| {
            let mut answer = answer?;
            if event["reserve"]["id"].is_null()
                && let Some(id) = answer["reservation"].as_str().map(str::to_string)
            {
                let place = seen.iter().position(|s| *s == id).unwrap_or(seen.len());
                if place == seen.len() {
                    seen.push(id);
                }
                answer["reservation"] = format!("server-made #{place}").into();
            }
            Ok(answer)
        })
        .collect()
}
