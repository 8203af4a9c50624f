//! The library between a server and its disk, built from `shim.c`, and what it is told.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// None where there is no C compiler.
static LIBRARY: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let fresh = folder.join(format!("faults-{}.so", std::process::id()));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&fresh);
    compiler.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c")).arg("-lpthread");
    let output = match compiler.output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: no C compiler, `cc`: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Renamed, so that a run beside this one never loads half of it.
    let library = folder.join("faults.so");
    std::fs::rename(&fresh, &library).unwrap();
    Some(library)
});

const RULES: usize = 8;
const RULE_BYTES: usize = 64;
const INSIDE_BYTES: usize = 40;
/// Where in a rule its failures are counted, and the path begins.
const FAILED_AT: usize = 20;
const INSIDE_AT: usize = 24;

/// Calls that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Write = 1,
    Sync = 2,
    Open = 4,
    Rename = 8,
    SyncRange = 16,
    /// Opens that make a file, and new folders.
    Create = 64,
}

/// What fails, until it is taken back.
#[derive(Debug, Clone)]
pub struct Rule {
    pub on: &'static [On],
    /// As in `errno.h`.
    pub error: i32,
    /// So many calls pass before the first one fails.
    pub pass: u32,
    /// Every other call that would fail writes half instead.
    pub halves: bool,
    /// Part of the path within the data folder.
    pub inside: &'static str,
}

pub const EIO: i32 = 5;
pub const EMFILE: i32 = 24;
pub const ENOSPC: i32 = 28;

/// The files by which the library in one server is steered and read.
pub struct Shim {
    folder: PathBuf,
    rules: File,
    library: PathBuf,
}

impl Shim {
    /// None where it cannot be built. `folder` has the data folder, and takes the library's own files beside it.
    pub fn new(folder: &Path) -> Option<Self> {
        let library = LIBRARY.clone()?;
        let folder = folder.canonicalize().unwrap();
        let rules =
            File::options().read(true).write(true).create(true).truncate(true).open(folder.join("rules")).unwrap();
        rules.set_len((RULES * RULE_BYTES) as u64).unwrap();
        std::fs::write(folder.join("boot_id"), "00000000-0000-4000-8000-000000000001\n").unwrap();
        Some(Self { folder, rules, library })
    }

    /// Another boot of the machine, as far as the next server can tell.
    pub fn boot_again(&self) {
        let file = self.folder.join("boot_id");
        let last: u64 = std::fs::read_to_string(&file).unwrap().trim()[24..].parse().unwrap();
        std::fs::write(file, format!("00000000-0000-4000-8000-{:012}\n", last + 1)).unwrap();
    }

    /// The environment of a server; `log` is where events go to.
    pub fn environment(&self, log: Option<&Path>) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let mut given = vec![
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("FAULTS_FOLDER".to_owned(), text(&self.folder.join("data"))),
            ("FAULTS_RULES".to_owned(), text(&self.folder.join("rules"))),
            ("FAULTS_BOOT_ID".to_owned(), text(&self.folder.join("boot_id"))),
        ];
        given.extend(log.map(|log| ("FAULTS_LOG".to_owned(), text(log))));
        given
    }

    /// From now on these fail and nothing else.
    pub fn fail(&self, rules: &[Rule]) {
        assert!(rules.len() <= RULES);
        let mut page = [0u8; RULES * RULE_BYTES];
        for (rule, place) in rules.iter().zip(page.chunks_mut(RULE_BYTES)) {
            let calls = rule.on.iter().fold(0, |calls, on| calls | *on as u32);
            let words = [calls, rule.error as u32, rule.pass, u32::from(rule.halves)];
            for (word, place) in words.iter().zip(place.chunks_mut(4)) {
                place.copy_from_slice(&word.to_ne_bytes());
            }
            assert!(rule.inside.len() < INSIDE_BYTES);
            place[INSIDE_AT..INSIDE_AT + rule.inside.len()].copy_from_slice(rule.inside.as_bytes());
        }
        self.rules.write_all_at(&page, 0).unwrap();
    }

    /// How many calls have failed since the rules were made.
    pub fn failures(&self) -> u32 {
        let mut page = [0u8; RULES * RULE_BYTES];
        self.rules.read_exact_at(&mut page, 0).unwrap();
        let count = |rule: &[u8]| u32::from_ne_bytes(rule[FAILED_AT..FAILED_AT + 4].try_into().unwrap());
        page.chunks(RULE_BYTES).map(count).sum()
    }

    pub fn heal(&self) {
        self.fail(&[]);
    }
}
