//! `quotagate simulate`: its output, its exit codes and its report.

mod azure;
mod bad_lines;
mod options;
mod output;
mod report;

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const POLICY: &str = "\
schema: quotagate.policy/v1
name: small
tiers: [{id: free}, {id: paid}]
default_tier: free
groups:
  - id: text
    resources: [m]
    limits:
      - {id: rpm, unit: requests, window: 1m, quotas: {free: 2, paid: 5}}
";
const ACCOUNT: &str = r#"{"at_ms":1000,"op":"account","account":"a"}"#;
const DECIDE: &str = r#"{"at_ms":1000,"op":"decide","account":"a","resource":"m"}"#;
const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

fn quotagate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quotagate")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn in_project(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("policy.yaml", POLICY);
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// Runs a trace under the small policy.
    fn simulate(&self, trace: &[u8], more: &[&str]) -> Output {
        let (policy, trace) = (self.path("policy.yaml"), self.write("trace", trace));
        quotagate(&[&["simulate", "--policy", &policy, "--trace", &trace], more].concat())
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
