use super::*;

/// The code trace of `tests/data` under policies/minimax.yaml, resource MiniMax-M2.
fn azure(tier: &str, more: &[&str]) -> Output {
    let (policy, trace) =
        (in_project("policies/minimax.yaml"), in_project("tests/data/AzureLLMInferenceTrace_code.csv"));
    let args = ["simulate", "--policy", &policy, "--trace", &trace, "--resource", "MiniMax-M2", "--tier", tier];
    quotagate(&[&args, more].concat())
}

// Derived apart from the engine, in 25 lines of Python that keep every charge of the last minute in a list:
//
//   t = whole milliseconds of TIMESTAMP; cost = ContextTokens + GeneratedTokens; slot = t // 1000
//   kept = [(s, c) for (s, c) in kept if s > slot - 60]
//   denied = len(kept) + 1 > RPM or sum(c for _, c in kept) + cost > TPM; where not, kept.append((slot, cost))
//   retry after = smallest (s + 60) * 1000 - t after which the same cost fits
//
// free (RPM 20, TPM 1,000,000):  allowed 724, denied 8,095, all by RPM; longest wait 58,866 ms on line 5,122;
//                                highest use 20 requests and 65,209 tokens; first denied on line 22
// paid (RPM 500, TPM 20,000,000): allowed 8,343, denied 476, all by RPM; longest wait 39,284 ms on line 2,468;
//                                highest use 500 requests and 1,091,450 tokens; first denied on line 565
#[test]
fn the_counts_are_those_of_an_independent_count() {
    for (tier, allowed, denied, wait, line, used) in
        [("free", 724, 8_095, 58_866, 5_122, [20, 65_209]), ("paid", 8_343, 476, 39_284, 2_468, [500, 1_091_450])]
    {
        let output = azure(tier, &["--format", "json"]);

        let summary = &json(&out(&output))["summary"];
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(summary["requests"], 8_819);
        assert_eq!((&summary["allowed"], &summary["denied"]), (&allowed.into(), &denied.into()));
        assert_eq!(summary["longest_wait"]["retry_after_ms"], wait);
        assert_eq!(summary["longest_wait"]["line"], line);
        assert_eq!([&summary["limits"][0]["refused"], &summary["limits"][1]["refused"]], [denied, 0]);
        assert_eq!([&summary["limits"][0]["peak"]["used"], &summary["limits"][1]["peak"]["used"]], used);
    }
}

#[test]
fn each_row_has_an_answer_and_the_account_has_none() {
    let folder = Folder::new();

    azure("free", &["--decisions", &folder.path("out.jsonl")]);

    let lines: Vec<Value> = folder.read("out.jsonl").lines().map(json).collect();
    assert_eq!(lines.len(), 8_819);
    assert_eq!((&lines[0]["line"], &lines[0]["at_ms"]), (&2.into(), &1_700_158_623_979_i64.into()));
    let first_denied = lines.iter().find(|line| line["decision"] == "deny").unwrap();
    assert_eq!(first_denied["line"], 22);
}

#[test]
fn a_comparison_tells_who_would_be_denied() {
    let folder = Folder::new();
    let minimax = std::fs::read_to_string(in_project("policies/minimax.yaml")).unwrap();
    let other =
        folder.write("other.yaml", minimax.replace("{free: 1000000, paid: 20000000}", "{free: 1000000, paid: 500000}"));

    let output = azure("paid", &["--compare", &other, "--format", "json"]);

    // By the same count with TPM 500,000: 6,338 allowed, 2,481 denied by TPM alone, the first on line 309.
    let comparison = &json(&out(&output))["comparison"];
    assert_eq!(comparison["summary"]["allowed"], 6_338);
    let (denied, allowed) = (&comparison["totals"]["newly_denied"], &comparison["totals"]["newly_allowed"]);
    assert_eq!(denied["first_line"], 309);
    assert_eq!(denied["count"].as_u64().unwrap() - allowed["count"].as_u64().unwrap(), 8_343 - 6_338);
    assert_eq!(comparison["pairs"][0]["account"], "trace");
    assert_eq!(comparison["pairs"][0]["newly_denied"], *denied);
}
