use super::*;

fn refused(trace: &[u8], more: &[&str]) -> String {
    let output = Folder::new().simulate(trace, more);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    err(&output)
}

#[test]
fn a_csv_trace_needs_a_resource_of_the_policy() {
    let trace = format!("{HEADER}\r\n2023-11-16 18:17:03,1,1\r\n");
    let trace = trace.as_bytes();

    assert_eq!(refused(trace, &[]), "quotagate: a CSV trace needs `--resource`; the policy has m\n");
    assert!(refused(trace, &["--resource", "n"]).contains("resource `n` does not exist; the policy has m"));
    assert!(
        refused(trace, &["--resource", "m", "--tier", "x"])
            .contains("tier `x` does not exist; the policy has free, paid")
    );
    assert!(refused(trace, &["--resource", "m", "--account", "a b"]).contains("account id `a b` is not valid"));
    assert_eq!(Folder::new().simulate(trace, &["--resource", "m"]).status.code(), Some(0));
}

#[test]
fn a_json_lines_trace_takes_none_of_the_three() {
    for option in ["--account", "--tier", "--resource"] {
        let said = refused(ACCOUNT.as_bytes(), &[option, "m"]);
        assert_eq!(
            said,
            format!("quotagate: `{option}` is for CSV traces; a JSON Lines trace names its own accounts\n")
        );
    }
}

#[test]
fn a_bad_policy_is_told_with_all_its_findings() {
    let folder = Folder::new();
    let bad = folder.write("bad.yaml", POLICY.replace("free: 2", "free: -2").replace("window: 1m", "window: 1x"));
    let trace = folder.write("trace", ACCOUNT);

    let policy = quotagate(&["simulate", "--policy", &bad, "--trace", &trace]);
    let compared = folder.simulate(ACCOUNT.as_bytes(), &["--compare", &bad]);

    for output in [policy, compared] {
        assert_eq!(output.status.code(), Some(2));
        let places: Vec<String> = err(&output)
            .lines()
            .filter_map(|line| Some(line.strip_prefix(&format!("{bad}:"))?.split(": ").nth(2)?.to_owned()))
            .collect();
        assert_eq!(places, ["groups[0].limits[0].window", "groups[0].limits[0].quotas.free"], "{}", err(&output));
    }
}

#[test]
fn files_that_cannot_be_read_or_written_are_told() {
    let folder = Folder::new();
    let policy = folder.path("policy.yaml");

    let missing = quotagate(&["simulate", "--policy", &policy, "--trace", &folder.path("none")]);
    let a_folder = quotagate(&["simulate", "--policy", &policy, "--trace", &folder.path("")]);
    let nowhere = folder.simulate(ACCOUNT.as_bytes(), &["--report", &folder.path("none/out.html")]);
    let itself = folder.simulate(ACCOUNT.as_bytes(), &["--decisions", &folder.path("trace")]);

    assert!(err(&missing).starts_with("quotagate: cannot read `"), "{}", err(&missing));
    assert!(err(&a_folder).contains("it is a folder"));
    assert!(err(&nowhere).contains("no such folder"));
    assert!(err(&itself).contains("is read and would be overwritten"));
    assert_eq!(folder.read("trace"), ACCOUNT, "the trace is as it was");
    for output in [missing, a_folder, nowhere, itself] {
        assert_eq!(output.status.code(), Some(2));
    }
}
