use super::*;

/// What standard error says first, without the folder.
fn complaint(trace: &[u8], more: &[&str]) -> String {
    let folder = Folder::new();
    let output = folder.simulate(trace, more);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert_eq!(out(&output), "", "nothing on standard output");
    let text = err(&output);
    text.lines().next().unwrap().strip_prefix(&format!("{}:", folder.path("trace"))).unwrap().to_owned()
}

#[test]
fn each_kind_is_told_with_file_line_and_cause() {
    let events = |lines: &[&str]| [&[ACCOUNT], lines].concat().join("\n").into_bytes();
    for (line, said) in [
        ("", "2: the line is blank"),
        ("  \t", "2: the line is blank"),
        ("{", "2: not JSON: EOF while parsing an object (column 1)"),
        ("[1,\"status\",\"a\",\"m\"]", "2: an event is an object, not a list"),
        ("null", "2: invalid type: null, expected an object (column 4)"),
        (r#"{"at_ms":999,"op":"status","account":"a","resource":"m"}"#, "2: `at_ms` goes back: 999 after 1000"),
        (r#"{"at_ms":1000,"op":"decide","account":"a"}"#, "2: missing field `resource`"),
        (r#"{"op":"decide","account":"a","resource":"m"}"#, "2: missing field `at_ms` (column 44)"),
        (
            r#"{"at_ms":1000,"op":"decide","account":"a","resource":"m","amount":1}"#,
            "2: `decide` has no field `amount`; it takes account, resource, requests, tokens, units, dry_run, reserve",
        ),
        (
            r#"{"at_ms":1000,"op":"decide","account":"a","account":"a","resource":"m"}"#,
            "2: duplicate field `account` (column 51)",
        ),
        (
            r#"{"at_ms":1000,"op":"decide","account":"a","resource":"m","tokens":"1"}"#,
            "2: invalid type: string \"1\", expected an integer from 0 to 10^15 (column 69)",
        ),
        (
            r#"{"at_ms":1000,"op":"decide","account":"a","resource":"m","units":{"images":1}}"#,
            "2: unit `images` does not exist; the active policy has requests, tokens",
        ),
        (
            r#"{"at_ms":1000,"op":"decide","account":"a","resource":"m","reserve":{"ttl_ms":86400001}}"#,
            "2: `reserve.ttl_ms` is 86400001, but at most 24 h (86400000)",
        ),
        (r#"{"at_ms":1000,"op":"pin","account":"b","tier":"paid"}"#, "2: account `b` does not exist"),
        (
            r#"{"at_ms":1000,"op":"pin","account":"a","tier":"gold"}"#,
            "2: tier `gold` does not exist; the active policy has free, paid",
        ),
        (
            r#"{"at_ms":1000,"op":"override","account":"a","group":"text","limit":"rpd","quota":1}"#,
            "2: limit `rpd` does not exist in group `text`, which has rpm",
        ),
        (r#"{"at_ms":1000,"op":"account","account":"b","parent":"c"}"#, "2: parent `c` does not exist"),
        (
            r#"{"at_ms":1000,"op":"account","account":"a","caps":{}}"#,
            "2: account `a` is a main account; caps are a sub-account's",
        ),
        (
            r#"{"at_ms":1000,"op":"refund","account":"b","event_id":"e","payment_id":"p","amount":1}"#,
            "2: account `b` does not exist",
        ),
    ] {
        assert_eq!(complaint(&events(&[line, DECIDE]), &[]), said, "{line}");
    }
}

#[test]
fn bytes_that_are_no_line_are_told_too() {
    let not_utf8 = [ACCOUNT.as_bytes(), b"\n{\"\xff"].concat();
    let long = format!("{ACCOUNT}\n{}", "x".repeat(1 << 21));

    assert_eq!(complaint(&not_utf8, &[]), "2: the line is not UTF-8: byte 3 is wrong");
    assert_eq!(complaint(long.as_bytes(), &[]), "2: the line is longer than 1048576 bytes");
}

#[test]
fn rows_that_are_none_or_go_back_are_told() {
    for (row, said) in [
        ("", "3: the line is blank"),
        ("2023-11-16 18:17:02,1,1", "3: `at_ms` goes back: 1700158622000 after 1700158623000"),
        ("2023-11-16 18:17:04,1", "3: not a row of 3 columns: TIMESTAMP,ContextTokens,GeneratedTokens"),
        ("2023-11-16 18:17:04,1,x", "3: GeneratedTokens: `x` is not an integer from 0 to 10^15"),
        ("noon,1,1", "3: TIMESTAMP: `noon` is not a time from 1970 to 9999, such as `2023-11-16 18:17:03.9799600`"),
    ] {
        let trace = format!("{HEADER}\n2023-11-16 18:17:03,1,1\n{row}\n");
        assert_eq!(complaint(trace.as_bytes(), &["--resource", "m"]), said);
    }
}

#[test]
fn answers_before_it_stay_and_the_events_run_are_counted() {
    let folder = Folder::new();
    let trace = [ACCOUNT, DECIDE, "{}", DECIDE].join("\n");

    let output = folder.simulate(trace.as_bytes(), &["--decisions", &folder.path("out.jsonl")]);

    assert_eq!(folder.read("out.jsonl").lines().count(), 2);
    assert_eq!(
        err(&output).lines().nth(1),
        Some("quotagate: stopped at a bad line; 2 events were run"),
        "{}",
        err(&output)
    );
}
