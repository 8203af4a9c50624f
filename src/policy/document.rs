//! A document as a tree in which every value knows its path and its place in the text.

use compact_str::CompactString;
use std::fmt::{self, Write};

/// How deep lists and maps may be nested.
pub const MAX_DEPTH: usize = 64;
/// How many values a document may have, those that aliases repeat among them.
pub const MAX_NODES: usize = 500_000;
/// How long a document's text may be, in bytes.
pub const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;

/// Where something stands in the text: line and column, both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub line: u32,
    pub column: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// A plain decimal integer.
    Integer(i64),
    /// Any other number, as written: a float, octal, hexadecimal, leading zeros, or out of range.
    OtherNumber(CompactString),
    Text(String),
    List(Vec<NodeId>),
    Map(Vec<NodeId>),
}

/// How a value is reached from its parent.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Root,
    Index(usize),
    Key(CompactString, Option<Place>),
}

#[derive(Debug, Clone)]
struct Entry {
    parent: NodeId,
    step: Step,
    /// How many lists and maps this value is in.
    depth: usize,
    place: Option<Place>,
    value: Value,
}

/// Values in one vector, each naming its parent; the root is the first.
#[derive(Debug, Default)]
pub(crate) struct Document {
    entries: Vec<Entry>,
}

/// A bound that a document may not pass, whichever way it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooLarge {
    #[error("the document has more than {MAX_NODES} values, those that aliases repeat among them")]
    Values,
    #[error("lists and maps are nested deeper than {MAX_DEPTH}")]
    Depth,
}

impl Document {
    pub(crate) fn add(
        &mut self,
        parent: Option<NodeId>,
        step: Step,
        place: Option<Place>,
        value: Value,
    ) -> Result<NodeId, TooLarge> {
        let depth = parent.map_or(0, |parent| self.entry(parent).depth + 1);
        if depth >= MAX_DEPTH && matches!(value, Value::List(_) | Value::Map(_)) {
            return Err(TooLarge::Depth);
        }
        if self.entries.len() >= MAX_NODES {
            return Err(TooLarge::Values);
        }
        let id = NodeId(u32::try_from(self.entries.len()).map_err(|_| TooLarge::Values)?);
        self.entries.push(Entry { parent: parent.unwrap_or(id), step, depth, place, value });
        Ok(id)
    }

    /// Puts `child` at the end of the list or map `parent`.
    pub(crate) fn attach(&mut self, parent: NodeId, child: NodeId) {
        if let Value::List(children) | Value::Map(children) = &mut self.entry_mut(parent).value {
            children.push(child);
        }
    }

    /// Adds a copy of `original`, which stands at `place`, and of everything in it, which keeps its own place.
    pub(crate) fn copy(
        &mut self,
        original: NodeId,
        parent: NodeId,
        step: Step,
        place: Option<Place>,
    ) -> Result<NodeId, TooLarge> {
        let mut root = None;
        // A stack instead of recursion; children are attached in order because each list is pushed reversed.
        let mut todo = vec![(original, parent, step)];
        while let Some((from, parent, step)) = todo.pop() {
            let Entry { place: own_place, value, .. } = self.entry(from).clone();
            let (children, empty) = match value {
                Value::List(children) => (children, Value::List(Vec::new())),
                Value::Map(children) => (children, Value::Map(Vec::new())),
                scalar => (Vec::new(), scalar),
            };
            let place = if root.is_none() { place } else { own_place };
            let id = self.add(Some(parent), step, place, empty)?;
            if root.is_some() {
                self.attach(parent, id);
            }
            root.get_or_insert(id);
            todo.extend(children.into_iter().rev().map(|child| (child, id, self.entry(child).step.clone())));
        }
        root.ok_or(TooLarge::Values)
    }

    /// The document's own value; None where the document is empty.
    pub(crate) fn root(&self) -> Option<Node<'_>> {
        (!self.entries.is_empty()).then_some(Node { document: self, id: NodeId(0) })
    }

    pub(crate) fn node(&self, id: NodeId) -> Node<'_> {
        Node { document: self, id }
    }

    fn entry(&self, id: NodeId) -> &Entry {
        &self.entries[id.0 as usize]
    }

    fn entry_mut(&mut self, id: NodeId) -> &mut Entry {
        &mut self.entries[id.0 as usize]
    }
}

/// One value of a document.
#[derive(Clone, Copy)]
pub(crate) struct Node<'d> {
    document: &'d Document,
    id: NodeId,
}

impl<'d> Node<'d> {
    pub(crate) fn value(self) -> &'d Value {
        &self.document.entry(self.id).value
    }

    pub(crate) fn place(self) -> Option<Place> {
        self.document.entry(self.id).place
    }

    /// The place of the key that leads here, of the value itself where there is none.
    pub(crate) fn key_place(self) -> Option<Place> {
        match self.document.entry(self.id).step {
            Step::Key(_, place) => place,
            Step::Root | Step::Index(_) => self.place(),
        }
    }

    /// The key that leads here; empty for the root and for an item of a list.
    pub(crate) fn key(self) -> &'d str {
        match &self.document.entry(self.id).step {
            Step::Key(name, _) => name,
            Step::Root | Step::Index(_) => "",
        }
    }

    /// What is in a list or map, in the order of the document.
    pub(crate) fn children(self) -> impl ExactSizeIterator<Item = Node<'d>> {
        let ids: &'d [NodeId] = match self.value() {
            Value::List(ids) | Value::Map(ids) => ids,
            _ => &[],
        };
        ids.iter().map(move |id| Node { document: self.document, id: *id })
    }

    /// The value of a map's field.
    pub(crate) fn field(self, name: &str) -> Option<Node<'d>> {
        match self.value() {
            Value::Map(_) => self.children().find(|child| child.key() == name),
            _ => None,
        }
    }

    /// The item of a list, from 0.
    pub(crate) fn item(self, index: usize) -> Option<Node<'d>> {
        self.children().nth(index)
    }

    /// Such as `groups[2].limits[0].quotas.paid`; empty for the root.
    pub(crate) fn path(self) -> String {
        let mut steps = Vec::new();
        let mut entry = self.document.entry(self.id);
        while !matches!(entry.step, Step::Root) {
            steps.push(&entry.step);
            entry = self.document.entry(entry.parent);
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Root => {}
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key(name, _) => push_key(&mut path, name),
            }
        }
        path
    }
}

/// Adds a key to a path: `.name`, or `["a.name"]` where the name could be misread.
pub(crate) fn push_key(path: &mut String, name: &str) {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !plain {
        path.push_str(&format!("[\"{}\"]", Shown(name)));
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&format!("{}", Shown(name)));
}

/// Text of the user's for a message: at most 80 characters, control characters escaped.
pub(crate) struct Shown<'t>(pub &'t str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 80;
        for c in self.0.chars().take(MOST) {
            if c.is_control() || is_bidi_control(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        if self.0.chars().nth(MOST).is_some() {
            f.write_char('…')?;
        }
        Ok(())
    }
}

/// Characters that reorder or hide the text around them; shown raw they could make a message lie.
pub(crate) fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_quotes_names_that_could_be_misread() {
        let mut document = Document::default();
        let root = document.add(None, Step::Root, None, Value::Map(Vec::new())).unwrap();
        let list = document.add(Some(root), Step::Key("a".into(), None), None, Value::List(Vec::new())).unwrap();
        let map = document.add(Some(list), Step::Index(3), None, Value::Map(Vec::new())).unwrap();
        let leaf = document.add(Some(map), Step::Key("b.c\n".into(), None), None, Value::Null).unwrap();

        assert_eq!(document.node(root).path(), "");
        assert_eq!(document.node(leaf).path(), "a[3][\"b.c\\n\"]");
    }

    #[test]
    fn a_copy_has_paths_of_its_own_and_the_same_order() {
        let mut document = Document::default();
        let root = document.add(None, Step::Root, None, Value::Map(Vec::new())).unwrap();
        let list = document.add(Some(root), Step::Key("a".into(), None), None, Value::List(Vec::new())).unwrap();
        document.attach(root, list);
        for (index, n) in [7, 8].into_iter().enumerate() {
            let item = document.add(Some(list), Step::Index(index), None, Value::Integer(n)).unwrap();
            document.attach(list, item);
        }

        let copy = document.copy(list, root, Step::Key("b".into(), None), None).unwrap();

        let seen: Vec<_> = document.node(copy).children().map(|node| (node.path(), node.value().clone())).collect();
        assert_eq!(seen, [("b[0]".to_owned(), Value::Integer(7)), ("b[1]".to_owned(), Value::Integer(8))]);
    }

    #[test]
    fn long_text_is_cut_and_control_characters_are_escaped() {
        assert_eq!(Shown("a\u{1b}[31m\u{202e}").to_string(), "a\\u{1b}[31m\\u{202e}");
        assert_eq!(Shown(&"x".repeat(81)).to_string(), format!("{}…", "x".repeat(80)));
    }
}
