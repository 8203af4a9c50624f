//! JSON written by hand, for the decision path: names are literals, numbers go straight to bytes.
//!
//! What is written here is described by a view that serde can write too; tests hold the two against each other.

/// Appends to an answer.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    /// JSON as it stands.
    #[inline]
    pub(crate) fn raw(&mut self, json: &str) {
        self.0.extend_from_slice(json.as_bytes());
    }

    #[inline]
    pub(crate) fn integer(&mut self, number: impl itoa::Integer) {
        self.raw(itoa::Buffer::new().format(number));
    }

    /// A name of ours: its grammar has nothing that JSON would escape.
    #[inline]
    pub(crate) fn name(&mut self, name: &str) {
        debug_assert!(name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\')));
        self.0.push(b'"');
        self.raw(name);
        self.0.push(b'"');
    }

    /// `name` is the member's name with quotes, comma and colon, such as `,"used":`.
    #[inline]
    pub(crate) fn optional(&mut self, name: &str, number: Option<impl itoa::Integer>) {
        if let Some(number) = number {
            self.raw(name);
            self.integer(number);
        }
    }

    /// Anything else.
    pub(crate) fn value(&mut self, value: &impl serde::Serialize) {
        // Writing to memory cannot fail, and every key is a string.
        _ = serde_json::to_writer(&mut *self.0, value);
    }
}
