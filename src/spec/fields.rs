//! Reading a JSON object field by field, collecting every problem with its place instead of stopping at the first.

use serde_json::{Map, Value};

use crate::fault::{Code, Fault, Place};
use crate::json::{clip, segment};

const INVALID_FIELD: &str = "invalid_field";
const UNKNOWN_FIELD: &str = "unknown_field";
/// Largest whole number that every JSON reader keeps exactly.
pub(super) const WHOLE_MAX: u64 = (1 << 53) - 1;

/// What is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// The first [`Fault::PLACES_MAX`].
    places: Vec<Place>,
    count: u64,
    /// The same for all, or mixed.
    all_unknown_fields: Option<bool>,
    all_outside_spec: Option<bool>,
    all_inside_spec: Option<bool>,
}

impl Problems {
    pub(super) fn add(&mut self, pointer: &str, code: &'static str, detail: impl Into<String>) {
        let inside = pointer == "#/spec" || pointer.starts_with("#/spec/");
        let and = |all: &mut Option<bool>, this: bool| *all = Some(all.unwrap_or(true) && this);
        and(&mut self.all_unknown_fields, code == UNKNOWN_FIELD);
        and(&mut self.all_outside_spec, code == INVALID_FIELD && !inside && !pointer.starts_with("#/limits"));
        and(&mut self.all_inside_spec, inside);
        self.count += 1;
        if self.places.len() < Fault::PLACES_MAX {
            self.places.push(Place::pointer(pointer, code, detail));
        }
    }

    /// Takes over what is wrong with a specification that stands at `pointer` within this one: its own places begin with `#/spec`.
    pub(super) fn take_over(&mut self, inner: Self, pointer: &str) {
        let told = inner.places.len() as u64;
        for place in inner.places {
            let moved = place.pointer.as_deref().and_then(|own| moved(own, pointer));
            self.add(moved.as_deref().unwrap_or(pointer), place.code, place.detail);
        }
        self.count += inner.count - told;
    }

    /// The fault that tells them all; `None` without problems. Only unknown fields: `unknown_field`; only names or
    /// texts outside the specification: `invalid_field`; else `invalid_parameter`.
    pub(super) fn into_fault(self) -> Option<Fault> {
        self.into_fault_of("the job")
    }

    /// As [`Problems::into_fault`], of a document that is called `whole`.
    pub(super) fn into_fault_of(self, whole: &str) -> Option<Fault> {
        let code = match (self.all_unknown_fields?, self.all_outside_spec?) {
            (true, _) => Code::UnknownField,
            (_, true) => Code::InvalidField,
            _ => Code::InvalidParameter,
        };
        let noun = if self.count == 1 { "problem" } else { "problems" };
        let place = if self.all_inside_spec? { "spec" } else { whole };
        Some(Fault { code, detail: format!("{} {noun} in {place}.", self.count), places: self.places })
    }
}

/// An object being read: each field is taken at most once, what is left over is unknown.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
    /// Pointer of the object.
    pub(super) pointer: String,
}

impl<'a> Fields<'a> {
    /// Opens `value`, which must be an object.
    pub(super) fn open(value: &'a Value, pointer: impl Into<String>, problems: &mut Problems) -> Option<Self> {
        let pointer = pointer.into();
        match value {
            Value::Object(map) => Some(Self { map, known: Vec::new(), pointer }),
            other => {
                problems.add(&pointer, INVALID_FIELD, format!("must be an object, got {}", show(other)));
                None
            }
        }
    }

    /// Pointer of a field.
    pub(super) fn at(&self, key: &str) -> String {
        format!("{}{}", self.pointer, segment(key))
    }

    /// The field, if it is there; `null` counts as a value.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.map.get(key)
    }

    /// Whether the field is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The field, whose absence is a problem.
    pub(super) fn need(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a Value> {
        let value = self.take(key);
        if value.is_none() {
            problems.add(&self.at(key), "missing", format!("`{key}` is required"));
        }
        value
    }

    /// Reports what was never taken.
    pub(super) fn close(self, problems: &mut Problems) {
        for key in self.map.keys().filter(|key| !self.known.contains(&key.as_str())) {
            let known = self.known.join(", ");
            problems.add(&self.at(key), UNKNOWN_FIELD, format!("no such field; known here: {known}"));
        }
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a str> {
        let value = self.take(key)?;
        value.as_str().or_else(|| self.wrong(key, "a text", value, problems))
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        let value = self.take(key)?;
        value.as_bool().or_else(|| self.wrong(key, "true or false", value, problems))
    }

    /// One of `words`.
    pub(super) fn word(&mut self, key: &'static str, words: &[&'static str], problems: &mut Problems) -> Option<&'static str> {
        let given = self.text(key, problems)?;
        let word = words.iter().find(|word| **word == given).copied();
        if word.is_none() {
            let detail = format!("must be {}, got \"{}\"", words.join(" or "), clip(given, 60));
            problems.add(&self.at(key), "unknown_value", detail);
        }
        word
    }

    /// A number for which `legal` holds; `range` says it in words.
    pub(super) fn number(&mut self, key: &'static str, range: &str, legal: impl Fn(f64) -> bool, problems: &mut Problems) -> Option<f64> {
        let value = self.take(key)?;
        let number = value.as_f64().or_else(|| self.wrong(key, "a number", value, problems))?;
        if !legal(number) {
            problems.add(&self.at(key), "out_of_range", format!("must be {range}, got {}", show(value)));
            return None;
        }
        Some(number)
    }

    /// A whole number from `low` to `high`.
    pub(super) fn whole(&mut self, key: &'static str, low: u64, high: u64, problems: &mut Problems) -> Option<u64> {
        let value = self.take(key)?;
        let number = value.as_f64().or_else(|| self.wrong(key, "a whole number", value, problems))?;
        if number.fract() != 0.0 {
            return self.wrong(key, "a whole number", value, problems);
        }
        let whole = value.as_u64().or_else(|| (0.0..=WHOLE_MAX as f64).contains(&number).then_some(number as u64));
        let legal = whole.filter(|whole| (low..=high).contains(whole));
        if legal.is_none() {
            problems.add(&self.at(key), "out_of_range", format!("must be from {low} to {high}, got {}", show(value)));
        }
        legal
    }

    fn wrong<T>(&self, key: &str, wanted: &str, value: &Value, problems: &mut Problems) -> Option<T> {
        problems.add(&self.at(key), INVALID_FIELD, format!("must be {wanted}, got {}", show(value)));
        None
    }
}

/// A pointer below `#/spec`, as it is where that specification stands at `to`; `None` for any other.
pub(super) fn moved(pointer: &str, to: &str) -> Option<String> {
    pointer.strip_prefix("#/spec").map(|rest| format!("{to}{rest}"))
}

/// A value as it may be shown in a sentence: short.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
        Value::String(text) => format!("\"{}\"", clip(text, 60)),
        other => other.to_string(),
    }
}
