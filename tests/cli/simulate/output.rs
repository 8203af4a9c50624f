use super::*;

#[test]
fn decisions_on_standard_output_leave_the_table_to_standard_error() {
    let trace = [ACCOUNT, DECIDE, ""].join("\r\n");

    let output = Folder::new().simulate(trace.as_bytes(), &["--decisions", "-"]);

    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let lines: Vec<Value> = out(&output).lines().map(json).collect();
    assert_eq!(lines.iter().map(|line| line["op"].as_str().unwrap()).collect::<Vec<_>>(), ["account", "decide"]);
    assert!(err(&output).contains("requests"));
}

#[test]
fn the_table_tells_counts_reasons_limits_and_the_longest_wait() {
    let trace = [ACCOUNT, DECIDE, DECIDE, DECIDE].join("\n");

    let output = Folder::new().simulate(trace.as_bytes(), &[]);

    assert_eq!(err(&output), "");
    for row in ["requests", "allowed", "denied", "  quota_exceeded", "longest wait", "text/rpm"] {
        assert!(out(&output).contains(row), "{row} in\n{}", out(&output));
    }
    assert!(out(&output).contains("1 min (line 4)"), "{}", out(&output));
}

#[test]
fn a_trace_is_read_from_standard_input_and_an_empty_one_is_fine() {
    let folder = Folder::new();
    let run = |text: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quotagate"))
            .args(["simulate", "--policy", &folder.path("policy.yaml"), "--trace", "-", "--format", "json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        json(&out(&child.wait_with_output().unwrap()))["summary"]["events"].clone()
    };

    assert_eq!(run(&format!("{ACCOUNT}\n{DECIDE}")), 2);
    assert_eq!(run(""), 0);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = Folder::new();
    let trace = folder.write("long", format!("{ACCOUNT}\n{}", format!("{DECIDE}\n").repeat(20_000)));
    let mut child = Command::new(env!("CARGO_BIN_EXE_quotagate"))
        .args(["simulate", "--policy", &folder.path("policy.yaml"), "--trace", &trace, "--decisions", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();

    assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
}

#[test]
fn policies_that_a_trace_names_are_looked_for_beside_it() {
    let folder = Folder::new();
    folder.write("next.yaml", POLICY.replace("free: 2", "free: 1"));
    let switch = r#"{"at_ms":1000,"op":"policy","file":"next.yaml"}"#;

    let trace = [ACCOUNT, switch, DECIDE, DECIDE].join("\n");
    let output = folder.simulate(trace.as_bytes(), &["--compare", &folder.path("policy.yaml")]);

    assert!(out(&output).contains("newly allowed: 1 (first at line 4)"), "{}", out(&output));
    assert!(
        out(&output)
            .contains("policy events left out under policy.yaml, which stays in force throughout: 1 (first at line 2)")
    );
}

#[test]
fn help_teaches_with_two_examples() {
    let help = out(&quotagate(&["simulate", "--help"]));

    assert_eq!(help.matches("\n  quotagate simulate --policy").count(), 2, "{help}");
}
