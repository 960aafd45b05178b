//! Where a JSON parser is, and the fault it found there.
//!
//! serde carries errors as text only; the fault travels beside it, in here.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::io;

use serde::de;

use crate::dataset::IngestError;
use crate::fault::{Code, Fault};

const NOWHERE: u64 = u64::MAX;

/// The place being read, and what went wrong there.
pub(super) struct Here {
    field: Cell<&'static str>,
    first: Cell<u64>,
    second: Cell<u64>,
    key: RefCell<Option<String>>,
    failure: RefCell<Option<IngestError>>,
}

impl Here {
    pub(super) fn new() -> Self {
        Self {
            field: Cell::new(""),
            first: Cell::new(NOWHERE),
            second: Cell::new(NOWHERE),
            key: RefCell::new(None),
            failure: RefCell::new(None),
        }
    }

    /// At `#/field`.
    pub(super) fn field(&self, field: &'static str) {
        self.field.set(field);
        self.first.set(NOWHERE);
        self.second.set(NOWHERE);
        self.key.replace(None);
    }

    /// At `#/field/first`.
    #[inline]
    pub(super) fn first(&self, first: u64) {
        self.first.set(first);
        self.second.set(NOWHERE);
    }

    /// At `#/field/first/second`.
    #[inline]
    pub(super) fn second(&self, second: u64) {
        self.second.set(second);
    }

    /// At `#/field/first/key`.
    pub(super) fn key(&self, key: &str) {
        let mut place = self.key.borrow_mut();
        let text = place.get_or_insert_default();
        text.clear();
        text.push_str(key);
    }

    /// At `#/field/first` again.
    pub(super) fn no_key(&self) {
        self.key.replace(None);
    }

    /// The pointer to here.
    pub(super) fn pointer(&self) -> String {
        let mut pointer = String::from("#");
        if !self.field.get().is_empty() {
            let _ = write!(pointer, "/{}", self.field.get());
        }
        for index in [self.first.get(), self.second.get()] {
            if index != NOWHERE {
                let _ = write!(pointer, "/{index}");
            }
        }
        if let Some(key) = &*self.key.borrow() {
            let _ = write!(pointer, "/{}", escape(key));
        }
        pointer
    }

    /// Remembers a fault at this place.
    #[cold]
    pub(super) fn fault<E: de::Error>(&self, code: Code, detail: impl Into<String>) -> E {
        self.fail(Fault::at_pointer(code, self.pointer(), detail))
    }

    /// Remembers a failure.
    #[cold]
    pub(super) fn fail<E: de::Error>(&self, failure: impl Into<IngestError>) -> E {
        self.failure.replace(Some(failure.into()));
        E::custom("refused")
    }

    /// What a failed deserialisation means.
    pub(super) fn explain(&self, error: serde_json::Error) -> IngestError {
        if let Some(failure) = self.failure.take() {
            return failure;
        }
        if error.is_io() {
            return IngestError::Io(io::Error::from(error));
        }
        let text = error.to_string();
        if text.starts_with("number out of range") {
            return Fault::at_pointer(Code::NonFiniteValue, self.pointer(), "the number is too large for a double").into();
        }
        if error.is_data() {
            let expected = text.rsplit_once(", expected ").map_or("of another type", |(_, expected)| expected);
            let expected = expected.split(" at line ").next().unwrap_or(expected);
            return Fault::at_pointer(Code::InvalidField, self.pointer(), format!("it must be {expected}")).into();
        }
        let (line, column) = (error.line() as u64, (error.column() as u64).max(1));
        let detail = text.split(" at line ").next().unwrap_or("it ends too early").to_owned();
        Fault::at_line(Code::MalformedJson, line.max(1), column, format!("the body is not JSON: {detail}")).into()
    }
}

/// A key as one token of a JSON Pointer in URI fragment form (RFC 6901, sections 3 and 6).
pub(super) fn escape(key: &str) -> String {
    let mut token = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'~' => token.push_str("~0"),
            b'/' => token.push_str("~1"),
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
            | b':'
            | b'@'
            | b'?' => token.push(byte as char),
            _ => {
                let _ = write!(token, "%{byte:02X}");
            }
        }
    }
    token
}
