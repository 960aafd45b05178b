//! Strict JSON that knows where it is: a duplicate key, a number beyond f64 or a wrong type is told with its pointer.
//!
//! Knows nothing of what is read. A [`Trail`] costs nothing while all goes well: steps are noted only while an error
//! travels outwards. Nesting is bounded by `serde_json` (128).

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt::Write as _;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, error::Category};

use crate::fault::{Code, Fault, Place};

/// The way from an error to the top of the document, noted from the inside out, and the fault if it is one of ours.
#[derive(Debug, Default)]
pub struct Trail {
    steps: RefCell<Vec<Step>>,
    fault: RefCell<Option<(Code, String)>>,
}

#[derive(Debug)]
enum Step {
    Key(String),
    Item(usize),
}

impl Trail {
    /// Notes that `error` happened under `key`.
    pub fn under<E>(&self, key: &str, error: E) -> E {
        self.steps.borrow_mut().push(Step::Key(key.to_owned()));
        error
    }

    /// Notes that `error` happened in item `index`.
    pub fn within<E>(&self, index: usize, error: E) -> E {
        self.steps.borrow_mut().push(Step::Item(index));
        error
    }

    /// A fault of ours at the present place.
    pub fn fault<E: Error>(&self, code: Code, detail: impl Into<String>) -> E {
        let detail = detail.into();
        let error = E::custom(&detail);
        *self.fault.borrow_mut() = Some((code, detail));
        error
    }

    fn pointer(&self) -> String {
        let mut pointer = String::from("#");
        for step in self.steps.borrow().iter().rev() {
            match step {
                Step::Key(key) => pointer.push_str(&segment(key)),
                Step::Item(index) => {
                    let _ = write!(pointer, "/{index}");
                }
            }
        }
        pointer
    }

    fn explain(&self, error: &serde_json::Error) -> Fault {
        if let Some((code, detail)) = self.fault.take() {
            return Fault::at_pointer(code, self.pointer(), detail);
        }
        let full = error.to_string();
        let what = clip(full.rsplit_once(" at line ").map_or(&full[..], |(what, _)| what), 200);
        match error.classify() {
            Category::Data => Fault::at_pointer(Code::InvalidField, self.pointer(), what),
            _ if what == "number out of range" => {
                Fault::at_pointer(Code::NonFiniteValue, self.pointer(), "a number too large for a double")
            }
            _ => {
                let place = Place::line(error.line() as u64, error.column() as u64, Code::MalformedJson.as_str(), what);
                Fault::at(Code::MalformedJson, place)
            }
        }
    }
}

/// Reads a whole document with the seed that `seed` makes, and nothing after it.
pub fn read<'de, S: DeserializeSeed<'de>>(body: &'de [u8], trail: &Trail, seed: S) -> Result<S::Value, Fault> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = seed.deserialize(&mut reader).map_err(|error| trail.explain(&error))?;
    reader.end().map_err(|error| trail.explain(&error))?;
    Ok(value)
}

/// Reads `part`, a slice of `body` found by an earlier reading; lines and columns count in `body`.
pub fn read_part<'de, S: DeserializeSeed<'de>>(body: &[u8], part: &'de str, trail: &Trail, seed: S) -> Result<S::Value, Fault> {
    read(part.as_bytes(), trail, seed).map_err(|mut fault| {
        let start = (part.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
        let before = body.get(..start).unwrap_or_default();
        let lines = before.iter().filter(|byte| **byte == b'\n').count() as u64;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() as u64;
        for place in &mut fault.places {
            if place.line == Some(1) {
                place.column = place.column.map(|inner| inner + column);
            }
            place.line = place.line.map(|inner| inner + lines);
        }
        fault
    })
}

/// Seed for a key or text, borrowed where it has no escapes.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// One step of a JSON Pointer in URI fragment form (RFC 6901 §6), with its slash; overlong keys are cut.
pub fn segment(key: &str) -> String {
    let mut text = String::from("/");
    for byte in clip(key, 256).bytes() {
        match byte {
            b'~' => text.push_str("~0"),
            b'/' => text.push_str("~1"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => text.push(char::from(byte)),
            _ if b"-._!$&'()*+,;=:@?".contains(&byte) => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

/// `text`, or its first `bytes` bytes (whole characters) and an ellipsis.
pub fn clip(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes)])
}

/// Reads a small document whole: no key twice, no number beyond f64, at most `nodes` values in all.
pub fn document(body: &[u8], nodes: usize) -> Result<Value, Fault> {
    let trail = Trail::default();
    let left = Cell::new(nodes);
    read(body, &trail, Any { trail: &trail, left: &left })
}

/// Seed for any value.
#[derive(Clone, Copy)]
struct Any<'t> {
    trail: &'t Trail,
    left: &'t Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(self.trail.fault(Code::LimitExceeded, "the document has too many values")),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| self.trail.fault(Code::NonFiniteValue, "a number too large for a double"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self).map_err(|error| self.trail.within(list.len(), error))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(self.trail.under(&key, self.trail.fault(Code::DuplicateField, "the key occurs twice")));
            }
            let value = fields.next_value_seed(self).map_err(|error| self.trail.under(&key, error))?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let deep = "[".repeat(100_000);
        for (text, code, pointer) in [
            ("{", Code::MalformedJson, None),
            ("", Code::MalformedJson, None),
            ("{} x", Code::MalformedJson, None),
            (r#"{"a":NaN}"#, Code::MalformedJson, None),
            (r#"{"a":[1,]}"#, Code::MalformedJson, None),
            (r#"{"a":"\ud800"}"#, Code::MalformedJson, None),
            ("\u{feff}{}", Code::MalformedJson, None),
            (&deep, Code::MalformedJson, None),
            (r#"{"a":[0,{"b/c ~":1e400}]}"#, Code::NonFiniteValue, Some("#/a/1/b~1c%20~0")),
            (r#"{"a":[0,{"b":-1e400}]}"#, Code::NonFiniteValue, Some("#/a/1/b")),
            (r#"{"a":{"b":1,"b":2}}"#, Code::DuplicateField, Some("#/a/b")),
        ] {
            let fault = document(text.as_bytes(), 200).unwrap_err();
            assert_eq!((fault.code, fault.places[0].pointer.as_deref()), (code, pointer), "{}", clip(text, 40));
        }
        let full = document(br#"{"a":[[],[1,2,3,4,5,6,7]]}"#, 8).unwrap_err();
        assert_eq!((full.code, full.places[0].pointer.as_deref()), (Code::LimitExceeded, Some("#/a/1/4")));
        assert!(document(b"{\"a\":\"\xff\"}", 8).is_err());
        let place = document(b"{\n\"a\" 1}", 8).unwrap_err().places.remove(0);
        assert_eq!((place.line, place.column), (Some(2), Some(5)));
    }

    #[test]
    fn a_legal_document_is_read_as_it_is() {
        let text = r#"{"a":[1,-2,0.5,-0,1e3,null,true,"é"],"b":{}}"#;
        assert_eq!(document(text.as_bytes(), 100).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }
}
