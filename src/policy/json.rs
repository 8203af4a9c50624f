//! JSON values to a document, and a document to canonical JSON.

use super::document::{Document, Node, NodeId, Step, Value};
use super::finding::{Code, Report};

/// The document that a JSON value stands for. It has paths but no lines.
pub(crate) fn read(json: &serde_json::Value, report: &mut Report) -> Option<Document> {
    let mut document = Document::default();
    let mut todo = vec![(json, None::<NodeId>, Step::Root)];
    while let Some((json, parent, step)) = todo.pop() {
        let id = match document.add(parent, step, None, shallow(json)) {
            Ok(id) => id,
            Err(bound) => {
                report.push(String::new(), None, Code::TooLarge, bound.to_string());
                return None;
            }
        };
        if let Some(parent) = parent {
            document.attach(parent, id);
        }
        // Reversed, so that what is popped comes in the order of the document.
        match json {
            serde_json::Value::Array(items) => {
                todo.extend(items.iter().enumerate().rev().map(|(i, v)| (v, Some(id), Step::Index(i))));
            }
            serde_json::Value::Object(fields) => {
                let child = |(name, value)| (value, Some(id), Step::Key(String::as_str(name).into(), None));
                todo.extend(fields.iter().rev().map(child));
            }
            _ => {}
        }
    }
    Some(document)
}

fn shallow(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => match n.as_i64() {
            Some(n) => Value::Integer(n),
            None => Value::OtherNumber(n.to_string().into()),
        },
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(_) => Value::List(Vec::new()),
        serde_json::Value::Object(_) => Value::Map(Vec::new()),
    }
}

/// The document as JSON: keys in the order of their bytes, no white space, integers as integers.
///
/// Recursion is bounded by the depth that a document may have.
pub(crate) fn canonical(root: Node<'_>) -> String {
    let mut out = String::new();
    write(root, &mut out);
    out
}

fn write(node: Node<'_>, out: &mut String) {
    match node.value() {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Integer(n) => out.push_str(&n.to_string()),
        // Does not occur in a valid policy; as text it is at least not another number.
        Value::OtherNumber(text) => write_text(text, out),
        Value::Text(text) => write_text(text, out),
        Value::List(_) => {
            out.push('[');
            for (index, child) in node.children().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(child, out);
            }
            out.push(']');
        }
        Value::Map(_) => {
            let mut children: Vec<Node<'_>> = node.children().collect();
            children.sort_by_key(|child| child.key());
            out.push('{');
            for (index, child) in children.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(child.key(), out);
                out.push(':');
                write(child, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_of(text: &str) -> String {
        let json = serde_json::from_str(text).unwrap();
        let document = read(&json, &mut Report::default()).unwrap();
        canonical(document.root().unwrap())
    }

    #[test]
    fn keys_are_sorted_and_white_space_is_gone() {
        assert_eq!(
            canonical_of(r#" { "b" : [ 1, {"y":"\u00e9\n", "x":false} ], "a" : null } "#),
            "{\"a\":null,\"b\":[1,{\"x\":false,\"y\":\"é\\n\"}]}"
        );
    }

    #[test]
    fn nesting_beyond_the_bound_is_refused() {
        let text = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let json = serde_json::from_str(&text).unwrap();
        let mut report = Report::default();

        assert!(read(&json, &mut report).is_none());
        assert_eq!(report.into_errors()[0].code, Code::TooLarge);
    }
}
