//! Records by name: `{"age": 31, "country": "NO", "member": true}`.
//!
//! A number or true/false is the value of its key; a text `s` of key `k` is the indicator feature `k=s`; absent = 0;
//! null = missing. Which key is the target may stand after the records, so cells are kept flat until the end.

use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::place::{Here, escape};
use super::scalar::{Scalar, ScalarSeed, drain_map, drain_seq};
use crate::dataset::IngestError;
use crate::dataset::gather::{Gather, Refused};
use crate::dataset::ingest::Parsed;
use crate::dataset::names::{NameList, illegal};
use crate::dataset::target::Labels;
use crate::fault::{Code, Fault};

/// One value of one record.
#[derive(Clone, Copy)]
struct Cell {
    key: u32,
    content: Content,
}

#[derive(Clone, Copy)]
enum Content {
    Missing,
    Number(f64),
    /// Position in the texts.
    Text(u32),
}

/// Distinct texts, numbered as they first come.
#[derive(Default)]
struct Texts {
    list: NameList,
    found: HashMap<String, u32>,
}

impl Texts {
    fn find(&mut self, text: &str) -> u32 {
        if let Some(&found) = self.found.get(text) {
            return found;
        }
        let next = self.list.len() as u32;
        self.found.insert(text.to_owned(), next);
        self.list.push(text);
        next
    }
}

/// All records, flat.
#[derive(Default)]
pub(super) struct Records {
    keys: Texts,
    texts: Texts,
    cells: Vec<Cell>,
    ends: Vec<usize>,
    /// 1 + the last row each key was seen in.
    seen: Vec<u64>,
}

/// Reads the array of records.
pub(super) struct RecordsSeed<'h> {
    pub(super) here: &'h Here,
    pub(super) rows_max: u64,
    pub(super) records: &'h mut Records,
}

impl<'de> DeserializeSeed<'de> for RecordsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RecordsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        loop {
            let row = self.records.ends.len() as u64;
            self.here.first(row);
            if seq.next_element_seed(RecordSeed { here: self.here, records: &mut *self.records })?.is_none() {
                return Ok(());
            }
            if row >= self.rows_max {
                return Err(self.here.fault(Code::LimitExceeded, format!("more than {} rows", self.rows_max)));
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        drain_map(map)?;
        Err(self.here.fault(Code::InvalidField, "it must be an array of objects"))
    }
}

struct RecordSeed<'h> {
    here: &'h Here,
    records: &'h mut Records,
}

impl<'de> DeserializeSeed<'de> for RecordSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RecordSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { here, records } = self;
        let row = records.ends.len() as u64 + 1;
        while let Some(key) = map.next_key_seed(ScalarSeed { here, take: |scalar: Scalar<'_>| Ok(records.key(scalar, here)) })? {
            if std::mem::replace(&mut records.seen[key as usize], row) == row {
                return Err(here.fault(Code::DuplicateField, "the key comes twice in this record"));
            }
            let content = map.next_value_seed(ScalarSeed { here, take: |scalar: Scalar<'_>| Ok(records.content(scalar)) })?;
            records.cells.push(Cell { key, content });
        }
        here.no_key();
        records.ends.push(records.cells.len());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        drain_seq(seq)?;
        Err(self.here.fault(Code::InvalidField, "a record is an object"))
    }
}

impl Records {
    fn key(&mut self, scalar: Scalar<'_>, here: &Here) -> u32 {
        let Scalar::Text(key) = scalar else { return 0 };
        here.key(key);
        let key = self.keys.find(key);
        if key as usize == self.seen.len() {
            self.seen.push(0);
        }
        key
    }

    fn content(&mut self, scalar: Scalar<'_>) -> Content {
        match scalar {
            Scalar::Null => Content::Missing,
            Scalar::Bool(value) => Content::Number(f64::from(u8::from(value))),
            Scalar::Unsigned(value) => Content::Number(value as f64),
            Scalar::Signed(value) => Content::Number(value as f64),
            Scalar::Float(value) => Content::Number(value),
            Scalar::Text(text) => Content::Text(self.texts.find(text)),
        }
    }

    /// Turns the cells into a matrix, labels and weights.
    pub(super) fn finish(
        self,
        target: String,
        weights: Option<&str>,
        missing_is_zero: bool,
        features_max: u64,
        gather: &mut Gather<'_>,
    ) -> Result<Parsed, IngestError> {
        let Some(&target_key) = self.keys.found.get(&target) else {
            let detail = format!("no record has the target {target:?}");
            return Err(if self.ends.is_empty() {
                Fault::new(Code::EmptyDataset, "there are no records").into()
            } else {
                Fault::at_pointer(Code::InvalidTarget, "#/target", detail).into()
            });
        };
        let weight_key = weights.and_then(|key| self.keys.found.get(key)).copied();
        if weights.is_some() && weight_key.is_none() {
            return Err(Fault::at_pointer(Code::InvalidWeight, "#/weights", "no record has these weights").into());
        }
        if weight_key == Some(target_key) {
            return Err(Fault::at_pointer(Code::InvalidField, "#/weights", "the target cannot be the weight").into());
        }
        let mut columns = Encoder::new(&self, missing_is_zero, features_max);
        let mut labels = Labels::default();
        let mut weight_of_row = weight_key.map(|_| Vec::new());
        let mut start = 0;
        for (row, &end) in self.ends.iter().enumerate() {
            let (mut labelled, mut weighed) = (false, weight_key.is_none());
            for cell in &self.cells[start..end] {
                if cell.key == target_key {
                    self.label(row, cell, &mut labels)?;
                    labelled = true;
                } else if Some(cell.key) == weight_key {
                    let weight = self.weight(row, cell)?;
                    weight_of_row.get_or_insert_default().push(weight);
                    weighed = true;
                } else if let Some((feature, value)) = columns.encode(row, cell)? {
                    gather.push(feature, value)?;
                }
            }
            for (there, key) in [(labelled, target_key), (weighed, weight_key.unwrap_or_default())] {
                if !there {
                    return Err(self.fault(row, key, Code::MissingValue, "the record lacks this key").into());
                }
            }
            gather.end_row().map_err(|refused| match refused {
                Refused::Limit(code, detail) => IngestError::Fault(Fault::at_pointer(code, format!("#/records/{row}"), detail)),
                Refused::Io(error) => IngestError::Io(error),
            })?;
            start = end;
        }
        let names = columns.names.list;
        let features = names.len() as u64;
        Ok(Parsed { labels, target_name: target, features, names: Some(names), weights: weight_of_row, offset: None })
    }

    fn fault(&self, row: usize, key: u32, code: Code, detail: &str) -> Fault {
        Fault::at_pointer(code, format!("#/records/{row}/{}", escape(self.keys.list.get(key as usize))), detail)
    }

    fn label(&self, row: usize, cell: &Cell, labels: &mut Labels) -> Result<(), Fault> {
        let taken = match cell.content {
            Content::Missing => return Err(self.fault(row, cell.key, Code::MissingValue, "the target is missing")),
            Content::Number(value) => labels.number(value),
            Content::Text(text) => labels.text(self.texts.list.get(text as usize)),
        };
        taken.map_err(|fault| self.fault(row, cell.key, fault.code, &fault.detail))
    }

    fn weight(&self, row: usize, cell: &Cell) -> Result<f64, Fault> {
        match cell.content {
            Content::Missing => Err(self.fault(row, cell.key, Code::MissingValue, "the weight is missing")),
            Content::Text(_) => Err(self.fault(row, cell.key, Code::InvalidField, "a weight is a number")),
            Content::Number(weight) if weight < 0.0 => Err(self.fault(row, cell.key, Code::InvalidWeight, "a weight is not negative")),
            Content::Number(weight) => Ok(weight),
        }
    }
}

/// Numbers features as they first appear.
struct Encoder<'r> {
    records: &'r Records,
    missing_is_zero: bool,
    features_max: u64,
    names: Texts,
    of_key: HashMap<u32, u32>,
    of_text: HashMap<(u32, u32), u32>,
    /// 1 + the last row each feature was seen in.
    seen: Vec<u64>,
}

impl<'r> Encoder<'r> {
    fn new(records: &'r Records, missing_is_zero: bool, features_max: u64) -> Self {
        let (of_key, of_text) = (HashMap::new(), HashMap::new());
        Self { records, missing_is_zero, features_max, names: Texts::default(), of_key, of_text, seen: Vec::new() }
    }

    fn encode(&mut self, row: usize, cell: &Cell) -> Result<Option<(u32, f64)>, Fault> {
        let records = self.records;
        let (known, value) = match cell.content {
            Content::Missing if self.missing_is_zero => return Ok(None),
            Content::Missing => return Err(records.fault(row, cell.key, Code::MissingValue, "the value is missing")),
            Content::Number(value) => (self.of_key.get(&cell.key), value),
            Content::Text(text) => (self.of_text.get(&(cell.key, text)), 1.0),
        };
        let feature = match known {
            Some(&feature) => feature,
            None => self.name(row, cell)?,
        };
        if std::mem::replace(&mut self.seen[feature as usize], row as u64 + 1) == row as u64 + 1 {
            return Err(records.fault(row, cell.key, Code::DuplicateField, "two keys of this record are the same feature"));
        }
        Ok(Some((feature, value)))
    }

    fn name(&mut self, row: usize, cell: &Cell) -> Result<u32, Fault> {
        let records = self.records;
        let key = records.keys.list.get(cell.key as usize);
        let name = match cell.content {
            Content::Text(text) => format!("{key}={}", records.texts.list.get(text as usize)),
            _ => key.to_owned(),
        };
        if let Some(why) = illegal(&name) {
            return Err(records.fault(row, cell.key, Code::InvalidField, why));
        }
        let feature = self.names.find(&name);
        if u64::from(feature) >= self.features_max {
            return Err(records.fault(row, cell.key, Code::LimitExceeded, "there are too many features"));
        }
        match cell.content {
            Content::Text(text) => self.of_text.insert((cell.key, text), feature),
            _ => self.of_key.insert(cell.key, feature),
        };
        if feature as usize == self.seen.len() {
            self.seen.push(0);
        }
        Ok(feature)
    }
}
