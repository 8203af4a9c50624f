use super::*;

fn report(policy: &str, trace: &str) -> String {
    let folder = Folder::new();
    folder.write("policy.yaml", policy);
    let output = folder.simulate(trace.as_bytes(), &["--report", &folder.path("out.html")]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    folder.read("out.html")
}

#[test]
fn it_has_the_three_kinds_of_plot_and_loads_nothing() {
    let page = report(POLICY, &[ACCOUNT, DECIDE, DECIDE, DECIDE].join("\n"));

    for kind in ["decisions", "use", "waits"] {
        assert_eq!(page.matches(&format!("<figure class=\"plot {kind}\">")).count(), 1, "{kind}");
    }
    assert_eq!(page.matches("<svg ").count(), 3);
    for named in ["time (UTC)", "requests a minute", "requests in use", "retry after", "Use of <code>text/rpm</code>"] {
        assert!(page.contains(named), "{named}");
    }
    for loads in ["http:", "https:", "//", "src=", "href=", "@import", "url(", "<script", "<link"] {
        assert!(!page.contains(loads), "{loads}");
    }
}

#[test]
fn text_from_the_policy_is_escaped() {
    let page = report(&POLICY.replace("name: small", "name: '<script>alert(1)</script>'"), ACCOUNT);

    assert!(!page.contains("<script"));
    assert!(page.contains("<h1>&lt;script&gt;alert(1)&lt;/script&gt;</h1>"));
}

#[test]
fn every_kind_of_quota_can_be_drawn() {
    let policy = POLICY.replace("quotas: {free: 2, paid: 5}", "quotas: {free: blocked, paid: unlimited}");
    let paid = r#"{"at_ms":200000000,"op":"account","account":"b","tier":"paid"}"#;
    let late = r#"{"at_ms":9000000000,"op":"decide","account":"b","resource":"m"}"#;

    let page = report(&policy, &[ACCOUNT, DECIDE, paid, late].join("\n"));

    assert!(page.contains("% of the quota in use"));
    assert!(page.contains("Decisions per 6h"), "104 days");
}
