//! Records a second of `quotagate import`, and the memory that it takes: as many accounts as `ACCOUNTS` says, three
//! payments each, in the order of a billing system's export (by time) and sorted by account.

#[path = "support/load.rs"]
#[expect(dead_code, reason = "the other measurements use the rest")]
mod load;

use load::Draws;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/minimax.yaml");
const PAYMENTS_EACH: u64 = 3;

fn account(n: u64) -> String {
    format!("acct-{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn write(path: &Path, count: u64, line: impl Fn(u64) -> String) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    for n in 0..count {
        writeln!(file, "{}", line(n)).expect("written");
    }
    file.flush().expect("written");
}

fn account_line(n: u64) -> String {
    let day = n % 28 + 1;
    format!(r#"{{"id": "{}", "name": "Customer {n}", "created_at": "2025-03-{day:02}T08:00:00Z"}}"#, account(n))
}

/// The n-th payment, of that account.
fn payment_line(n: u64, of: u64) -> String {
    let (day, id) = (n % 28 + 1, n.wrapping_mul(0xBF58_476D_1CE4_E5B9));
    let (account, amount) = (account(of), n % 100_000 + 1);
    format!(
        r#"{{"account": "{account}", "kind": "top_up", "event_id": "evt_{id:016x}", "payment_id": "pay_{id:016x}", "amount": {amount}, "currency": "CNY", "occurred_at": "2026-02-{day:02}T08:00:00Z"}}"#
    )
}

/// Runs the import; prints what it says and the most memory that it had.
fn run(data: &Path, what: &str, file: &Path, more: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotagate"));
    command.args(["import", what]).arg(file).arg("--data").arg(data).args(more);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let mut most = String::new();
        while let Ok(text) = std::fs::read_to_string(&status) {
            let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:")) else { break };
            line.trim().clone_into(&mut most);
            std::thread::sleep(Duration::from_millis(20));
        }
        most
    });
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{what} from {}: {}", file.file_name().unwrap_or_default().display(), output.status);
    println!("{said}memory          {}\n", watch.join().expect("watched"));
}

fn main() {
    let accounts = std::env::var("ACCOUNTS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let payments = accounts * PAYMENTS_EACH;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let (file, sorted, by_time) = (path("accounts.jsonl"), path("by-account.jsonl"), path("by-time.jsonl"));
    write(&file, accounts, account_line);
    write(&sorted, payments, |n| payment_line(n, n / PAYMENTS_EACH));
    write(&by_time, payments, |n| payment_line(n, Draws::seeded(n).next() % accounts));
    for payments in [sorted, by_time] {
        let data = tempfile::tempdir().expect("a folder");
        run(data.path(), "accounts", &file, &["--policy", POLICY]);
        run(data.path(), "payments", &payments, &[]);
    }
}
