//! Golden traces: expected answers worked by hand from SEMANTICS.md, sections 2 to 5 and 7.
//!
//! Every `tests/golden/*.golden` is one or more runs. A run starts with `policy PATH` (the first) or `--- policy PATH` (the next
//! ones), PATH relative to the folder of the file. Then events, each followed by exactly one expectation:
//!
//! ```text
//! {"at_ms": 0, "op": "status", …}       an event as it stands in a trace
//! raw: TEXT                              an event that is no JSON object: TEXT verbatim, may be empty
//! => {…}                                 the whole answer, exactly
//! => bad: words                          a bad line: the run stops here; the words are a hint for the reader
//! ```
//!
//! `#` starts a comment line, blank lines are skipped. Events are numbered from 1 in each run; that is the answer's `line`.

use quotagate::simulate::Runner;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// At least this many files must have been run.
const LEAST_FILES: usize = 20;

enum Expected {
    Answer(Value),
    Bad(String),
}

struct Case {
    /// Line of the event in the .golden file, from 1.
    at: usize,
    event: String,
    expected: Expected,
}

struct Run {
    /// Line of `policy …` in the .golden file, from 1.
    at: usize,
    policy: String,
    cases: Vec<Case>,
}

/// All there is of the engine in this test.
struct Engine(Runner);

impl Engine {
    fn open(policy: &Path, base: &Path) -> Result<Engine, String> {
        match Runner::open(policy) {
            Ok(runner) => Ok(Engine(runner.with_base(base.to_path_buf()))),
            Err(error) => Err(error.to_string()),
        }
    }

    fn line(&mut self, number: u64, text: &str) -> Result<String, String> {
        self.0.line(number, text).map_err(|error| error.to_string())
    }
}

fn parse(text: &str) -> Result<Vec<Run>, String> {
    let mut runs: Vec<Run> = Vec::new();
    let mut pending: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let at = index + 1;
        // `raw:` first: its text may look like anything, also like nothing.
        if let Some(rest) = line.strip_prefix("raw:") {
            if let Some((at, _)) = pending {
                return Err(format!("line {at}: an event without expectation"));
            }
            pending = Some((at, rest.strip_prefix(' ').unwrap_or(rest).to_owned()));
        } else if line.starts_with('#') || line.trim().is_empty() {
            continue;
        } else if let Some(policy) = line.strip_prefix("policy ").or(line.strip_prefix("--- policy ")) {
            if line.starts_with("---") == runs.is_empty() {
                return Err(format!("line {at}: the first run starts with `policy`, the next ones with `--- policy`"));
            }
            if let Some((at, _)) = pending {
                return Err(format!("line {at}: an event without expectation"));
            }
            runs.push(Run { at, policy: policy.trim().to_owned(), cases: Vec::new() });
        } else if line.starts_with('{') {
            if let Some((at, _)) = pending {
                return Err(format!("line {at}: an event without expectation"));
            }
            pending = Some((at, line.to_owned()));
        } else if let Some(rest) = line.strip_prefix("=> ") {
            let (event_at, event) = pending.take().ok_or(format!("line {at}: an expectation without event"))?;
            let expected = match rest.strip_prefix("bad:") {
                Some(words) => Expected::Bad(words.trim().to_owned()),
                None => Expected::Answer(
                    serde_json::from_str(rest).map_err(|error| format!("line {at}: expectation: {error}"))?,
                ),
            };
            let run = runs.last_mut().ok_or(format!("line {event_at}: an event before any policy"))?;
            if matches!(run.cases.last(), Some(Case { expected: Expected::Bad(_), .. })) {
                return Err(format!("line {event_at}: an event after a bad line"));
            }
            run.cases.push(Case { at: event_at, event, expected });
        } else {
            return Err(format!("line {at}: what is this? {line}"));
        }
    }
    if let Some((at, _)) = pending {
        return Err(format!("line {at}: an event without expectation"));
    }
    if runs.is_empty() {
        return Err("no run".to_owned());
    }
    for run in &runs {
        if run.cases.is_empty() {
            return Err(format!("line {}: a run without events", run.at));
        }
    }
    Ok(runs)
}

/// Runs one run; returns the number of events tried and adds what was wrong to `failures`.
fn check(file: &str, base: &Path, run: &Run, failures: &mut Vec<String>) -> usize {
    let mut engine = match Engine::open(&base.join(&run.policy), base) {
        Ok(engine) => engine,
        Err(error) => {
            failures.push(format!("{file}:{}: policy {} does not open: {error}", run.at, run.policy));
            return 0;
        }
    };
    for (index, case) in run.cases.iter().enumerate() {
        let place = format!("{file}:{} (line {} of the run)\n    event    {}", case.at, index + 1, case.event);
        let got = engine.line(index as u64 + 1, &case.event);
        match (&case.expected, got) {
            (Expected::Bad(_), Err(_)) => {}
            (Expected::Bad(words), Ok(got)) => {
                failures.push(format!("{place}\n    expected a bad line: {words}\n    got      {}", got.trim()));
            }
            (Expected::Answer(expected), Ok(got)) => match serde_json::from_str::<Value>(&got) {
                Ok(value) if value == *expected => {}
                Ok(value) => failures.push(format!("{place}\n    expected {expected}\n    got      {value}")),
                Err(error) => failures
                    .push(format!("{place}\n    expected {expected}\n    got no JSON ({error}): {}", got.trim())),
            },
            (Expected::Answer(expected), Err(error)) => {
                failures.push(format!(
                    "{place}\n    expected {expected}\n    got a bad line: {error}\n    (the rest of this run, {} events, was not run)",
                    run.cases.len() - index - 1
                ));
                return index + 1;
            }
        }
    }
    run.cases.len()
}

#[test]
fn golden_traces() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&base)
        .expect("tests/golden can be read")
        .map(|entry| entry.expect("tests/golden can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "golden"))
        .collect();
    paths.sort();

    let mut failures = Vec::new();
    let (mut files, mut runs, mut events) = (0, 0, 0);
    for path in &paths {
        let file = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).expect("a golden file can be read");
        match parse(&text) {
            Ok(parsed) => {
                files += 1;
                for run in &parsed {
                    runs += 1;
                    events += check(&file, &base, run, &mut failures);
                }
            }
            Err(error) => failures.push(format!("{file}: {error}")),
        }
    }

    println!("{files} files, {runs} runs, {events} events, {} failures", failures.len());
    if !failures.is_empty() {
        let mut report = String::new();
        for failure in &failures {
            let _ = writeln!(report, "{failure}\n");
        }
        panic!("{} failures in {files} files, {runs} runs, {events} events:\n\n{report}", failures.len());
    }
    assert!(files >= LEAST_FILES, "only {files} golden files were run");
}
