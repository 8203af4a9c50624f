//! The report of bad lines: the first ones for people, all of them for programs.

use super::super::Failure;
use super::record::pointer;
use crate::http::problem::Problem;
use crate::services::bulk::Kind;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// Bad lines told on standard error.
const TOLD: u64 = 20;

pub(super) struct BadLines {
    kind: Kind,
    file: Option<File>,
    told: u64,
}

impl BadLines {
    /// Goes on behind the first `bytes` of the report, where there is one.
    pub fn open(kind: Kind, file: Option<&Path>, bytes: u64) -> Result<Self, Failure> {
        let open = |path: &Path| {
            let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
            file.set_len(bytes)?;
            file.seek(SeekFrom::Start(bytes))?;
            Ok(file)
        };
        let unwritable = |path: &Path, error: std::io::Error| {
            Failure::BadInput(format!("cannot write `{}`: {error}", path.display()))
        };
        let file = file.map(|path| open(path).map_err(|error| unwritable(path, error))).transpose()?;
        Ok(Self { kind, file, told: 0 })
    }

    /// Tells of a bad line; returns by how much the report grew.
    ///
    /// ORDER: it is in the file before the commit that says that the line was dealt with.
    pub fn tell(&mut self, line: u64, problem: &Problem, text: &str, err: &mut dyn Write) -> Result<u64, Failure> {
        let report = self.report(line, problem, text);
        if self.told < TOLD {
            let [at, what] = ["pointer", "message"].map(|name| report[name].as_str().unwrap_or_default());
            let named = report["code"].as_str().unwrap_or_default();
            let at = if at.is_empty() || what.starts_with(at) { String::new() } else { format!("{at}: ") };
            writeln!(err, "line {line}: {at}{what} [{named}]")?;
        } else if self.told == TOLD {
            let where_to =
                if self.file.is_some() { "the rest is in the report" } else { "`--bad FILE` keeps them all" };
            writeln!(err, "more bad lines follow: {where_to}")?;
        }
        self.told += 1;
        let Some(file) = &mut self.file else { return Ok(0) };
        let mut bytes = report.to_string().into_bytes();
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        Ok(bytes.len() as u64)
    }

    fn report(&self, line: u64, problem: &Problem, text: &str) -> Value {
        let code = problem.code().as_value();
        let errors = serde_json::to_value(problem.body()).unwrap_or_default()["errors"].clone();
        let first = errors[0]["pointer"].as_str().unwrap_or_else(|| pointer(self.kind, &code));
        // The line is the file's, not that of the text alone.
        let message = problem.detail().replace(" at line 1 column ", " at column ");
        let mut report = json!({"line": line, "code": code, "pointer": first, "message": message, "text": text});
        if errors.is_array() {
            report["errors"] = errors;
        }
        report
    }
}
