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
