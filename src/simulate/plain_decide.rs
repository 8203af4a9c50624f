//! The commonest line by far, a decide without units or a reservation, read without room for what it does not have.

use super::trace::{DecideOp, Event, Ms, Op};
use crate::domain::quantity::Amount;
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainDecide<'a> {
    at_ms: Ms,
    #[serde(rename = "op")]
    _op: DecideOnly,
    #[serde(borrow)]
    account: Cow<'a, str>,
    #[serde(borrow)]
    resource: Cow<'a, str>,
    #[serde(default = "one")]
    requests: Amount,
    #[serde(default)]
    tokens: Amount,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum DecideOnly {
    Decide,
}

fn one() -> Amount {
    Amount::ONE
}

/// The event of such a line; None for any other line, good or bad.
pub(super) fn parse(text: &str) -> Option<Event<'_>> {
    // serde would read a list as the fields in their order.
    if !text.starts_with('{') {
        return None;
    }
    let line: PlainDecide<'_> = serde_json::from_str(text).ok()?;
    Some(Event {
        at_ms: line.at_ms.0,
        op: Op::Decide(DecideOp {
            account: line.account,
            resource: line.resource,
            requests: line.requests.get(),
            tokens: line.tokens.get(),
            units: Vec::new(),
            dry_run: false,
            reserve: None,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_decide_is_read_here_with_the_defaults_of_the_format() {
        let Some(Event { at_ms: 7, op: Op::Decide(decide) }) =
            parse(r#"{"at_ms":7,"op":"decide","account":"a","resource":"m"}"#)
        else {
            panic!("not read");
        };

        assert_eq!((decide.requests, decide.tokens), (1, 0));
        assert!(matches!(decide.account, Cow::Borrowed("a")));
    }

    #[test]
    fn any_other_line_is_left_to_the_whole_format() {
        for line in [
            r#"{"at_ms":7,"op":"decide","account":"a","resource":"m","dry_run":true}"#,
            r#"{"at_ms":7,"op":"decide","account":"a","account":"a","resource":"m"}"#,
            r#"{"at_ms":7,"op":"decide","account":"a","resource":"m","tokens":null}"#,
            r#"{"at_ms":7,"op":"decide","account":"a"}"#,
            r#"{"at_ms":7,"op":"status","account":"a","resource":"m"}"#,
            r#"[7,"decide","a","m",1,1]"#,
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
