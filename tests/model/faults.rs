//! Each fault put into the engine must turn the comparison with the model red.

use quotagate::fault::Fault;
use std::process::Command;

#[test]
fn each_fault_turns_the_comparison_red() {
    let run = |fault: Option<Fault>| {
        let mut command = Command::new(std::env::current_exe().expect("the test has a path"));
        command.args(["--exact", "engine_and_model_answer_alike"]);
        command.envs([
            ("QUOTAGATE_MODEL_SEED", "7"),
            ("QUOTAGATE_MODEL_CASES", "1500"),
            ("QUOTAGATE_MODEL_SHRINK", "0"),
        ]);
        match fault {
            Some(fault) => command.env("QUOTAGATE_MUTATION", format!("{fault:?}")),
            None => command.env_remove("QUOTAGATE_MUTATION"),
        };
        command.output().expect("the test can run itself").status.success()
    };

    let missed: Vec<&Fault> = Fault::ALL.iter().filter(|&&fault| run(Some(fault))).collect();

    assert!(run(None), "the comparison is red without a fault");
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
