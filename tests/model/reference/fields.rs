//! Reading the fields of an event one by one, so that what is left over is known.

use serde_json::{Map, Value};

/// What reading gives, or why the line is bad.
pub type Bad<T> = Result<T, String>;

/// The fields of an event that have not been read yet.
pub struct Fields {
    left: Map<String, Value>,
}

impl Fields {
    /// Takes the fields of an object.
    pub fn of(v: &Value) -> Bad<Fields> {
        let left = v.as_object().ok_or("not an object")?.clone();
        Ok(Fields { left })
    }

    /// Takes an optional field.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
    }

    /// Takes a field that must be there.
    pub fn must(&mut self, name: &str) -> Bad<Value> {
        self.take(name).ok_or(format!("missing field {name}"))
    }

    /// Takes text that must be there.
    pub fn text(&mut self, name: &str) -> Bad<String> {
        as_text(name, &self.must(name)?)
    }

    /// Takes optional text.
    pub fn maybe_text(&mut self, name: &str) -> Bad<Option<String>> {
        self.take(name).map(|v| as_text(name, &v)).transpose()
    }

    /// Takes an optional whole number from 0.
    pub fn maybe_whole(&mut self, name: &str) -> Bad<Option<i128>> {
        self.take(name).map(|v| as_whole(name, &v, u64::MAX)).transpose()
    }

    /// Takes an optional truth value.
    pub fn maybe_bool(&mut self, name: &str) -> Bad<Option<bool>> {
        let read = |v: Value| v.as_bool().ok_or(format!("{name} is not a truth value"));
        self.take(name).map(read).transpose()
    }

    /// Whatever is left was not asked for.
    pub fn finish(&self) -> Bad<()> {
        match self.left.keys().next() {
            Some(name) => Err(format!("unknown field {name}")),
            None => Ok(()),
        }
    }
}

/// A field's text.
pub fn as_text(name: &str, v: &Value) -> Bad<String> {
    Ok(v.as_str().ok_or(format!("{name} is not text"))?.to_string())
}

/// A field's whole number, from 0 to `most`.
pub fn as_whole(name: &str, v: &Value, most: u64) -> Bad<i128> {
    let n = v.as_u64().filter(|n| *n <= most);
    Ok(i128::from(n.ok_or(format!("{name} is not a whole number in range"))?))
}
