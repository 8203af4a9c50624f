//! Each fault put into the engine must turn the golden traces red, and without one they must be green.

#[path = "golden.rs"]
mod golden;

use quotagate::fault::Fault;
use std::process::{Command, Output};

/// Runs the golden traces in a process of their own, with a fault chosen or none.
fn golden_traces_with(fault: Option<Fault>) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("the test has a path"));
    command.args(["--exact", "golden::golden_traces"]);
    match fault {
        Some(fault) => command.env("QUOTAGATE_MUTATION", format!("{fault:?}")),
        None => command.env_remove("QUOTAGATE_MUTATION"),
    };
    command.output().expect("the test can run itself")
}

#[test]
fn the_golden_traces_are_green_without_a_fault() {
    let output = golden_traces_with(None);

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "no test was run: {said}");
}

#[test]
fn each_fault_turns_the_golden_traces_red() {
    let missed: Vec<&Fault> =
        Fault::ALL.iter().filter(|&&fault| golden_traces_with(Some(fault)).status.success()).collect();

    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
