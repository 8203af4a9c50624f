//! What the compiler does not hold: which floor may import which, how long a file may be, what is never called.

use std::fs;
use std::path::{Path, PathBuf};

/// A floor and the floors that it may import; everything else of the crate it may not.
const FLOORS: &[(&str, &[&str])] = &[
    ("fault", &[]),
    ("domain", &[]),
    ("limits", &["domain", "fault"]),
    ("policy", &["domain", "fault"]),
    ("engine", &["domain", "limits", "policy", "fault"]),
    ("simulate", &["domain", "policy", "engine"]),
    ("store", &["domain"]),
    ("ids", &["domain"]),
    ("clock", &[]),
    ("calendar", &[]),
    ("charts", &["policy"]),
    ("seal_key", &["ids"]),
    ("control_socket", &[]),
    ("tls", &[]),
    ("peers", &[]),
    ("descriptors", &["peers"]),
    ("config", &["engine", "clock", "domain", "tls", "peers"]),
    ("services", &["domain", "limits", "policy", "engine", "store", "ids", "calendar", "charts"]),
    (
        "http",
        &["domain", "limits", "policy", "engine", "store", "ids", "services", "clock", "calendar", "charts", "peers"],
    ),
];

const LONGEST_FILE: usize = 400;

/// What is not called in `src`, where it is allowed all the same, and why not.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("SystemTime::now", &["clock.rs"], "time enters at the edge, through the clock"),
    ("Utc::now", &["clock.rs"], "time enters at the edge, through the clock"),
    ("Timestamp::now", &["clock.rs"], "time enters at the edge, through the clock"),
    ("env::var(", &["config.rs", "fault.rs", "failpoint.rs"], "the environment is read in one place"),
    (".flush_async(", &[], "deadlocks in sled 0.34"),
    ("todo!(", &[], "nothing is left behind"),
    ("unimplemented!(", &[], "nothing is left behind"),
    ("dbg!(", &[], "a left-over"),
];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The text up to the unit tests.
    fn code(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default()
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The floor: the first folder or file under `src`.
    fn floor(&self) -> String {
        let first = self.path.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
        first.unwrap_or_default().trim_end_matches(".rs").to_owned()
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source can be read");
                let path = path.strip_prefix(root).expect("it is in the project").to_path_buf();
                found.push(Source { path, text });
            }
        }
    }
    assert!(found.len() > 50, "only {} sources were found", found.len());
    found
}

/// The floors that a line of code names.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).flat_map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    })
}

#[test]
fn a_floor_imports_only_floors_below_it() {
    let mut wrong = Vec::new();
    for source in sources() {
        let floor = source.floor();
        let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| *name == floor) else { continue };
        for (number, line) in (1..).zip(source.code().lines()) {
            let code = line.split("//").next().unwrap_or_default();
            for used in named(code) {
                let known = FLOORS.iter().any(|(name, _)| *name == used) || ["cli", "app", "http"].contains(&used);
                if known && used != floor && !allowed.contains(&used) {
                    wrong.push(format!("{}:{number}: {floor} imports {used}", source.name()));
                }
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_source_is_longer_than_can_be_read_at_once() {
    let long: Vec<String> = sources()
        .iter()
        .map(|source| (source.text.lines().count(), source.name()))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, name)| format!("{name}: {lines} lines"))
        .collect();

    assert!(long.is_empty(), "over {LONGEST_FILE} lines, to be split by idea:\n{}", long.join("\n"));
}

#[test]
fn nothing_banned_is_called() {
    let mut wrong = Vec::new();
    for source in sources() {
        let file = source.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (call, except, why) in BANNED {
            for (number, line) in (1..).zip(source.code().lines()) {
                let code = line.split("//").next().unwrap_or_default();
                if code.contains(call) && !except.contains(&file.as_str()) {
                    wrong.push(format!("{}:{number}: `{call}`: {why}", source.name()));
                }
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_engine_and_what_is_below_it_have_no_clock_and_no_io() {
    let pure = ["domain", "limits", "engine"];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| pure.contains(&source.floor().as_str())) {
        for word in ["std::fs", "std::net", "std::io", "tokio", "Instant::now", "async fn", ".await"] {
            if source.code().contains(word) {
                wrong.push(format!("{}: {word}", source.name()));
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reference_model_imports_nothing_of_the_engine() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model/reference");
    let mut read = 0;
    for entry in fs::read_dir(folder).expect("the reference is there") {
        let path = entry.expect("an entry can be read").path();
        let text = fs::read_to_string(&path).expect("a source can be read");
        assert!(!text.contains("quotagate::"), "{} imports the crate", path.display());
        read += 1;
    }
    assert!(read > 3);
}
