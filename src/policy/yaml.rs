//! YAML text to a document: one document of lists, maps and scalars, within bounds.
//!
//! Works on the events of `saphyr-parser`, because a tree builder would expand aliases without a bound, drop
//! duplicate keys and lose where each value stands.

use super::document::{Document, MAX_TEXT_BYTES, NodeId, Place, Step, TooLarge, Value, push_key};
use super::finding::{Code, Report};
use super::scalar;
use compact_str::CompactString;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Reads the text as far as it can be read; what is wrong goes to the report.
///
/// None: reading had to stop, so what was read is not worth checking.
pub(crate) fn read(text: &str, report: &mut Report) -> Option<Document> {
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the document has more than {MAX_TEXT_BYTES} bytes");
        report.push(String::new(), None, Code::TooLarge, message);
        return None;
    }
    let text = joined_surrogates(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut builder = Builder::new(report);
    let mut parser = Parser::new_from_str(&text);
    while let Some(event) = parser.next_event() {
        let stop = match event {
            Ok((event, span)) => builder.take(event, place(&span.start)).err(),
            Err(error) => Some(syntax(&error)),
        };
        if let Some(stop) = stop {
            builder.report_stop(stop);
            return None;
        }
    }
    Some(builder.document)
}

fn place(marker: &Marker) -> Place {
    let from_one = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: from_one(marker.line()), column: from_one(marker.col().saturating_add(1)) }
}

/// JSON writes a character beyond U+FFFF as two `\u` escapes, which YAML does not know: makes one `\U` of them.
fn joined_surrogates(text: &str) -> Cow<'_, str> {
    let may_need_it = text.contains("\\ud") || text.contains("\\uD");
    // Only in JSON is a backslash sure to be an escape.
    if !may_need_it || serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        joined.push_str(&rest[..at]);
        rest = &rest[at..];
        let unit = |from: usize| {
            let hex = rest.get(from..from + 6)?.strip_prefix("\\u")?;
            u16::from_str_radix(hex, 16).ok()
        };
        let pair = unit(0).zip(unit(6)).and_then(|(high, low)| char::decode_utf16([high, low]).next()?.ok());
        match pair.filter(|c| u32::from(*c) > 0xffff) {
            Some(c) => {
                joined.push_str(&format!("\\U{:08X}", u32::from(c)));
                rest = &rest[12..];
            }
            None => {
                // Two characters, so that the second of an escaped backslash does not begin an escape.
                joined.push_str(&rest[..2]);
                rest = &rest[2..];
            }
        }
    }
    joined.push_str(rest);
    Cow::Owned(joined)
}

/// Why reading cannot go on.
struct Stop {
    place: Place,
    code: Code,
    message: String,
}

/// A list or map that has been opened and not yet closed.
struct Frame {
    id: NodeId,
    anchor: usize,
    kind: FrameKind,
}

enum FrameKind {
    List { length: usize },
    Map { keys: HashSet<CompactString>, key: Option<(CompactString, Place)> },
}

/// Where the next value goes: its parent, the step to it, and whether the parent takes it.
struct Slot {
    parent: Option<NodeId>,
    step: Step,
    attach: bool,
}

struct Builder<'r> {
    report: &'r mut Report,
    document: Document,
    open: Vec<Frame>,
    anchors: HashMap<usize, NodeId>,
    documents: usize,
}

/// A scalar as the parser gives it.
struct Scalar<'t> {
    text: &'t str,
    style: ScalarStyle,
    anchor: usize,
}

impl<'r> Builder<'r> {
    fn new(report: &'r mut Report) -> Self {
        Self { report, document: Document::default(), open: Vec::new(), anchors: HashMap::new(), documents: 0 }
    }

    fn take(&mut self, event: Event<'_>, at: Place) -> Result<(), Stop> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(stop(
                        at,
                        Code::NotSupported,
                        "a second document begins here: a policy is one document",
                    ));
                }
                Ok(())
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                Err(stop(
                    at,
                    Code::NotSupported,
                    "tags such as `!!str` are not used in policies: write the value alone",
                ))
            }
            Event::Scalar(text, style, anchor, None) => self.scalar(&Scalar { text: &text, style, anchor }, at),
            Event::SequenceStart(anchor, None) => self.open(FrameKind::List { length: 0 }, anchor, at),
            Event::MappingStart(anchor, None) => {
                let kind = FrameKind::Map { keys: HashSet::new(), key: None };
                self.open(kind, anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.open.pop() {
                    self.remember(frame.anchor, frame.id);
                }
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, at),
        }
    }

    fn scalar(&mut self, scalar: &Scalar<'_>, at: Place) -> Result<(), Stop> {
        if let Some(Frame { kind: FrameKind::Map { key: key @ None, .. }, .. }) = self.open.last_mut() {
            *key = Some((scalar.text.into(), at));
            return Ok(());
        }
        let value = match scalar.style {
            ScalarStyle::Plain => scalar::plain(scalar.text),
            _ => Value::Text(scalar.text.to_owned()),
        };
        let slot = self.slot(at)?;
        let id = self.add(slot, at, value)?;
        self.remember(scalar.anchor, id);
        Ok(())
    }

    fn open(&mut self, kind: FrameKind, anchor: usize, at: Place) -> Result<(), Stop> {
        let value = match kind {
            FrameKind::List { .. } => Value::List(Vec::new()),
            FrameKind::Map { .. } => Value::Map(Vec::new()),
        };
        let slot = self.slot(at)?;
        let id = self.add(slot, at, value)?;
        self.open.push(Frame { id, anchor, kind });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Place) -> Result<(), Stop> {
        let Some(original) = self.anchors.get(&anchor).copied() else {
            return Err(stop(
                at,
                Code::NotSupported,
                "an alias repeats a value that ends before it: this one does not",
            ));
        };
        let slot = self.slot(at)?;
        let Some(parent) = slot.parent else {
            return Err(stop(at, Code::Syntax, "an alias cannot be the whole document"));
        };
        let id = self.document.copy(original, parent, slot.step, Some(at)).map_err(|bound| too_large(at, bound))?;
        if slot.attach {
            self.document.attach(parent, id);
        }
        Ok(())
    }

    /// Finds the slot of the next value. A key that was there before is reported and its value left out.
    fn slot(&mut self, at: Place) -> Result<Slot, Stop> {
        let Some(frame) = self.open.last_mut() else {
            return Ok(Slot { parent: None, step: Step::Root, attach: false });
        };
        let parent = Some(frame.id);
        match &mut frame.kind {
            FrameKind::List { length } => {
                let step = Step::Index(*length);
                *length += 1;
                Ok(Slot { parent, step, attach: true })
            }
            FrameKind::Map { keys, key } => {
                let Some((name, key_place)) = key.take() else {
                    return Err(stop(at, Code::NotSupported, "a key must be text"));
                };
                let attach = keys.insert(name.clone());
                if !attach {
                    let mut path = self.document.node(frame.id).path();
                    push_key(&mut path, &name);
                    let message = "this key was given before in the same map".to_owned();
                    self.report.push(path, Some(key_place), Code::DuplicateKey, message);
                }
                Ok(Slot { parent, step: Step::Key(name, Some(key_place)), attach })
            }
        }
    }

    fn add(&mut self, slot: Slot, at: Place, value: Value) -> Result<NodeId, Stop> {
        let Slot { parent, step, attach } = slot;
        let id = self.document.add(parent, step, Some(at), value).map_err(|bound| too_large(at, bound))?;
        if let Some(parent) = parent.filter(|_| attach) {
            self.document.attach(parent, id);
        }
        Ok(id)
    }

    fn remember(&mut self, anchor: usize, id: NodeId) {
        // 0 is the parser's way to say that there is no anchor.
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
    }

    /// Reports why reading cannot go on, at the innermost list or map that is open.
    fn report_stop(self, stop: Stop) {
        let path = self.open.last().map(|frame| self.document.node(frame.id).path()).unwrap_or_default();
        self.report.push(path, Some(stop.place), stop.code, stop.message);
    }
}

fn stop(place: Place, code: Code, message: impl Into<String>) -> Stop {
    Stop { place, code, message: message.into() }
}

/// The parser's own error. Its bound on nesting is met first where brackets follow one another without a value.
fn syntax(error: &ScanError) -> Stop {
    let at = place(error.marker());
    match error.info() {
        "recursion limit exceeded" => too_large(at, TooLarge::Depth),
        info => stop(at, Code::Syntax, format!("this is not YAML: {info}")),
    }
}

fn too_large(place: Place, bound: TooLarge) -> Stop {
    stop(place, Code::TooLarge, bound.to_string())
}
