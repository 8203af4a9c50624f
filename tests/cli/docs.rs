//! What the pages of `docs/` show is what the program says.

use std::process::Command;

#[test]
fn the_settings_on_the_page_are_those_that_are_printed() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quotagate"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("QUOTAGATE_")) {
        command.env_remove(name);
    }

    let printed = command.args(["serve", "--print-config"]).output().unwrap();

    let page = include_str!("../../docs/operations.md");
    let shown = page.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    assert_eq!(shown, String::from_utf8(printed.stdout).unwrap());
}

#[test]
fn the_policies_on_the_pages_are_valid() {
    for (name, page, expected) in [
        ("policy.md", include_str!("../../docs/policy.md"), 1),
        ("raise-rules.md", include_str!("../../docs/raise-rules.md"), 1),
    ] {
        let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```"));
        let policies: Vec<_> = blocks.map(|(block, _)| block).filter(|block| block.starts_with("schema:")).collect();
        assert_eq!(policies.len(), expected, "{name}");
        for policy in policies {
            let parsed = quotagate::policy::parse(policy).unwrap_or_else(|errors| panic!("{name}: {errors:#?}"));
            assert_eq!(parsed.warnings, [], "{name}");
        }
    }
}
