//! JSON uploads: `csr`, `coo`, `dense` and `records`, read as they stream in.
//!
//! Values go straight into flat arrays; no document tree is built, so memory follows the numbers. Keys may come in any
//! order; what they mean together is decided at the end, in [`matrix`] and [`records`].

mod matrix;
mod place;
mod records;
mod scalar;

use std::fmt;
use std::io::{BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use self::place::{Here, escape};
use self::records::{Records, RecordsSeed};
use self::scalar::{ArraySeed, Scalar, ScalarSeed, Wrong, drain_seq};
use super::gather::{Gather, Refused};
use super::ingest::Parsed;
use super::names::{NameList, illegal};
use super::target::Labels;
use super::{IngestError, IngestLimits};
use crate::fault::{Code, Fault};

const BUFFER: usize = 64 * 1024;

/// Reads all of `body` into `gather`.
pub(super) fn parse(body: &mut impl Read, limits: &IngestLimits, gather: &mut Gather<'_>) -> Result<Parsed, IngestError> {
    let here = Here::new();
    let mut document = Document::default();
    let mut deserializer = serde_json::Deserializer::from_reader(BufReader::with_capacity(BUFFER, body));
    let visitor = DocumentVisitor { here: &here, limits, gather: &mut *gather, document: &mut document };
    deserializer.deserialize_any(visitor).and_then(|()| deserializer.end()).map_err(|error| here.explain(error))?;
    document.finish(limits, gather)
}

/// Every key of every format; what is absent or null is `None`.
#[derive(Default)]
struct Document {
    keys: Vec<&'static str>,
    format: Option<String>,
    shape: Option<[u64; 2]>,
    indptr: Option<Vec<u64>>,
    indices: Option<Vec<u32>>,
    rows: Option<Vec<u32>>,
    cols: Option<Vec<u32>>,
    values: Option<Vec<f64>>,
    /// Width of the rows of a dense matrix, which went straight to the gatherer.
    dense_width: Option<u64>,
    y: Option<Labels>,
    feature_names: Option<NameList>,
    weights: Option<Vec<f64>>,
    weights_key: Option<String>,
    offset: Option<Vec<f64>>,
    index_base: Option<u32>,
    duplicates: Option<String>,
    target: Option<String>,
    missing: Option<String>,
    records: Option<Records>,
}

const FORMATS: [(&str, &[&str]); 4] = [
    ("csr", &["format", "shape", "indptr", "indices", "values", "y", "feature_names", "weights", "offset", "index_base"]),
    ("coo", &["format", "shape", "rows", "cols", "values", "y", "feature_names", "weights", "offset", "index_base", "duplicates"]),
    ("dense", &["format", "shape", "values", "y", "feature_names", "weights", "offset"]),
    ("records", &["format", "target", "weights", "missing", "records"]),
];

impl Document {
    fn finish(self, limits: &IngestLimits, gather: &mut Gather<'_>) -> Result<Parsed, IngestError> {
        let format = self.format.as_deref().ok_or_else(|| missing("format"))?;
        let Some((format, legal)) = FORMATS.into_iter().find(|(name, _)| *name == format) else {
            let detail = "the format is one of csr, coo, dense and records";
            return Err(Fault::at_pointer(Code::InvalidField, "#/format", detail).into());
        };
        if let Some(key) = self.keys.iter().find(|key| !legal.contains(key)) {
            let detail = format!("{key} does not belong to the format {format}");
            return Err(Fault::at_pointer(Code::UnknownField, format!("#/{key}"), detail).into());
        }
        match format {
            "csr" => matrix::csr(self, gather),
            "coo" => matrix::coo(self, gather),
            "dense" => matrix::dense(self, gather),
            _ => self.finish_records(limits, gather),
        }
    }

    fn finish_records(self, limits: &IngestLimits, gather: &mut Gather<'_>) -> Result<Parsed, IngestError> {
        let target = self.target.ok_or_else(|| missing("target"))?;
        let records = self.records.ok_or_else(|| missing("records"))?;
        if self.weights.is_some() {
            return Err(Fault::at_pointer(Code::InvalidField, "#/weights", "records name the key of their weights").into());
        }
        let missing_is_zero = match self.missing.as_deref() {
            None | Some("error") => false,
            Some("zero") => true,
            Some(_) => return Err(Fault::at_pointer(Code::InvalidField, "#/missing", "it is error or zero").into()),
        };
        let features_max = limits.index_max.min(u64::from(u32::MAX) - 1) + 1;
        let parsed = records.finish(target, self.weights_key.as_deref(), missing_is_zero, features_max, gather)?;
        matrix::check_weights(parsed.weights.as_deref())?;
        Ok(parsed)
    }
}

fn missing(field: &'static str) -> Fault {
    let place = crate::fault::Place::pointer(format!("#/{field}"), "missing", format!("{field} is missing"));
    Fault::at(Code::InvalidField, place)
}

struct DocumentVisitor<'v, 'a> {
    here: &'v Here,
    limits: &'v IngestLimits,
    gather: &'v mut Gather<'a>,
    document: &'v mut Document,
}

impl<'de> Visitor<'de> for DocumentVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a format")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let here = self.here;
        while let Some(known) = map.next_key_seed(ScalarSeed { here, take: |scalar: Scalar<'_>| Ok(known_key(scalar)) })? {
            let key = match known {
                Ok(key) => key,
                Err(unknown) => {
                    let pointer = format!("#/{}", escape(&unknown));
                    return Err(here.fail(Fault::at_pointer(Code::UnknownField, pointer, "a data set has no such field")));
                }
            };
            here.field(key);
            if self.document.keys.contains(&key) {
                return Err(here.fault(Code::DuplicateField, "the key comes twice"));
            }
            self.document.keys.push(key);
            self.value(key, &mut map)?;
        }
        here.field("");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        drain_seq(seq)?;
        Err(self.here.fault(Code::InvalidField, "it must be an object with a format"))
    }
}

/// Longest unknown key that is repeated to the client.
const UNKNOWN_SHOWN: usize = 64;

fn known_key(scalar: Scalar<'_>) -> Result<&'static str, String> {
    let Scalar::Text(key) = scalar else { return Err(String::new()) };
    let known = FORMATS.iter().flat_map(|(_, keys)| keys.iter()).find(|known| **known == key);
    known.copied().ok_or_else(|| key.chars().take(UNKNOWN_SHOWN).collect())
}

impl DocumentVisitor<'_, '_> {
    fn value<'de, A: MapAccess<'de>>(&mut self, key: &'static str, map: &mut A) -> Result<(), A::Error> {
        let (here, limits) = (self.here, self.limits);
        let document = &mut *self.document;
        let index_end = limits.index_max.min(u64::from(u32::MAX) - 1) + 1;
        match key {
            "format" => document.format = map.next_value_seed(ScalarSeed { here, take: text })?,
            "target" => document.target = map.next_value_seed(ScalarSeed { here, take: text })?,
            "missing" => document.missing = map.next_value_seed(ScalarSeed { here, take: text })?,
            "duplicates" => document.duplicates = map.next_value_seed(ScalarSeed { here, take: text })?,
            "index_base" => {
                let take = |scalar: Scalar<'_>| scalar.whole(1, (Code::InvalidField, "the index base is 0 or 1"));
                document.index_base = Some(map.next_value_seed(ScalarSeed { here, take })? as u32);
            }
            "shape" => document.shape = shape(here, limits, map)?,
            "indptr" => {
                let beyond = (Code::ShapeMismatch, "it points outside the values");
                document.indptr = Some(wholes(here, u64::MAX, beyond, map, |x| x)?);
            }
            "indices" => document.indices = Some(wholes(here, index_end, OUTSIDE, map, |x| x as u32)?),
            "cols" => document.cols = Some(wholes(here, index_end, OUTSIDE, map, |x| x as u32)?),
            "rows" => document.rows = Some(wholes(here, limits.rows.min(u64::from(u32::MAX)), OUTSIDE, map, |x| x as u32)?),
            "values" => map.next_value_seed(ValuesSeed { here, limits, gather: &mut *self.gather, document })?,
            "y" => document.y = labels(here, map)?,
            "feature_names" => document.feature_names = feature_names(here, index_end, map)?,
            "weights" => match map.next_value_seed(WeightsSeed { here })? {
                Weights::Absent => {}
                Weights::Key(key) => document.weights_key = Some(key),
                Weights::Numbers(numbers) => document.weights = Some(numbers),
            },
            "offset" => {
                let mut numbers = Vec::new();
                let seed = ArraySeed { here, null: true, each: |scalar: Scalar<'_>| scalar.number().map(|x| numbers.push(x)) };
                let there = map.next_value_seed(seed)?;
                document.offset = there.then_some(numbers);
            }
            "records" => {
                let records = document.records.get_or_insert_default();
                map.next_value_seed(RecordsSeed { here, rows_max: limits.rows, records })?;
            }
            _ => return Err(here.fault(Code::UnknownField, "a data set has no such field")),
        }
        Ok(())
    }
}

const OUTSIDE: Wrong = (Code::IndexOutOfRange, "the index lies outside the matrix");

fn text(scalar: Scalar<'_>) -> Result<Option<String>, Wrong> {
    match scalar {
        Scalar::Text(text) => Ok(Some(text.to_owned())),
        _ => Err((Code::InvalidField, "it must be a text")),
    }
}

fn wholes<'de, A: MapAccess<'de>, T>(
    here: &Here,
    max: u64,
    beyond: Wrong,
    map: &mut A,
    make: impl Fn(u64) -> T,
) -> Result<Vec<T>, A::Error> {
    let mut numbers = Vec::new();
    let each = |scalar: Scalar<'_>| scalar.whole(max, beyond).map(|number| numbers.push(make(number)));
    map.next_value_seed(ArraySeed { here, null: false, each })?;
    Ok(numbers)
}

fn shape<'de, A: MapAccess<'de>>(here: &Here, limits: &IngestLimits, map: &mut A) -> Result<Option<[u64; 2]>, A::Error> {
    let bounds = [limits.rows.min(u64::from(u32::MAX)), limits.index_max.min(u64::from(u32::MAX) - 1) + 1];
    let mut sides = Vec::new();
    let each = |scalar: Scalar<'_>| {
        let Some(&bound) = bounds.get(sides.len()) else { return Err((Code::ShapeMismatch, "a shape has two sides")) };
        let large = (Code::LimitExceeded, "the matrix is larger than the limits of this server");
        if matches!(scalar, Scalar::Float(side) if side > bound as f64) {
            return Err(large);
        }
        if matches!(scalar, Scalar::Signed(_)) {
            return Err((Code::InvalidField, "a side of a shape is not negative"));
        }
        scalar.whole(bound, large).map(|side| sides.push(side))
    };
    map.next_value_seed(ArraySeed { here, null: false, each })?;
    match sides[..] {
        [rows, columns] => Ok(Some([rows, columns])),
        _ => {
            here.field("shape");
            Err(here.fault(Code::ShapeMismatch, "a shape has two sides"))
        }
    }
}

fn labels<'de, A: MapAccess<'de>>(here: &Here, map: &mut A) -> Result<Option<Labels>, A::Error> {
    let mut labels = Labels::default();
    let mut fault = None;
    let each = |scalar: Scalar<'_>| {
        let taken = match scalar {
            Scalar::Text(text) => labels.text(text),
            Scalar::Bool(value) => labels.number(f64::from(u8::from(value))),
            Scalar::Null => return Err((Code::MissingValue, "a label is missing")),
            number => labels.number(number.number()?),
        };
        taken.map_err(|why| {
            let code = why.code;
            fault = Some(why);
            (code, "the label is not accepted")
        })
    };
    let read = map.next_value_seed(ArraySeed { here, null: false, each });
    match fault {
        Some(fault) => Err(here.fault(fault.code, fault.detail)),
        None => read.map(|_| Some(labels)),
    }
}

fn feature_names<'de, A: MapAccess<'de>>(here: &Here, most: u64, map: &mut A) -> Result<Option<NameList>, A::Error> {
    let mut names = NameList::default();
    let each = |scalar: Scalar<'_>| {
        let Scalar::Text(name) = scalar else { return Err((Code::InvalidField, "a feature name is a text")) };
        if names.len() as u64 >= most {
            return Err((Code::LimitExceeded, "there are too many features"));
        }
        match illegal(name) {
            Some(why) => Err((Code::InvalidField, why)),
            None => {
                names.push(name);
                Ok(())
            }
        }
    };
    if !map.next_value_seed(ArraySeed { here, null: true, each })? {
        return Ok(None);
    }
    if let Some(again) = names.first_duplicate() {
        here.first(again as u64);
        return Err(here.fault(Code::DuplicateField, "the feature name comes twice"));
    }
    Ok(Some(names))
}

enum Weights {
    Absent,
    Key(String),
    Numbers(Vec<f64>),
}

/// An array of weights, or, for records, the key of the weights.
struct WeightsSeed<'h> {
    here: &'h Here,
}

impl<'de> DeserializeSeed<'de> for WeightsSeed<'_> {
    type Value = Weights;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Weights, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for WeightsSeed<'_> {
    type Value = Weights;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers, or the key of the weights of records")
    }

    fn visit_unit<E: Error>(self) -> Result<Weights, E> {
        Ok(Weights::Absent)
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Weights, E> {
        Ok(Weights::Key(key.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Weights, A::Error> {
        let here = self.here;
        let mut numbers = Vec::new();
        loop {
            here.first(numbers.len() as u64);
            let take = |scalar: Scalar<'_>| match scalar.number()? {
                weight if weight < 0.0 => Err((Code::InvalidWeight, "a weight is not negative")),
                weight => Ok(weight),
            };
            match seq.next_element_seed(ScalarSeed { here, take })? {
                Some(weight) => numbers.push(weight),
                None => return Ok(Weights::Numbers(numbers)),
            }
        }
    }
}

/// The values: flat numbers for `csr` and `coo`, rows for `dense`.
struct ValuesSeed<'v, 'a> {
    here: &'v Here,
    limits: &'v IngestLimits,
    gather: &'v mut Gather<'a>,
    document: &'v mut Document,
}

impl<'de> DeserializeSeed<'de> for ValuesSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValuesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers or of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { here, limits, gather, document } = self;
        let mut numbers = Vec::new();
        for i in 0.. {
            here.first(i);
            let width = &mut document.dense_width;
            let element = ValueSeed { here, limits, gather: &mut *gather, width, numbers: &mut numbers };
            if seq.next_element_seed(element)?.is_none() {
                break;
            }
        }
        document.values = Some(numbers);
        Ok(())
    }
}

/// A number, or a row of a dense matrix; never both in one array.
struct ValueSeed<'v, 'a> {
    here: &'v Here,
    limits: &'v IngestLimits,
    gather: &'v mut Gather<'a>,
    width: &'v mut Option<u64>,
    numbers: &'v mut Vec<f64>,
}

impl ValueSeed<'_, '_> {
    fn number<E: Error>(self, number: f64) -> Result<(), E> {
        if self.width.is_some() {
            return Err(self.here.fault(Code::InvalidField, "a row of a dense matrix is an array"));
        }
        if self.numbers.len() as u64 >= self.limits.nnz {
            return Err(self.here.fault(Code::LimitExceeded, "there are too many values"));
        }
        self.numbers.push(number);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.number(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(value as f64)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Err(self.here.fault(Code::MissingValue, "a number is missing"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { here, limits, gather, width, numbers } = self;
        if !numbers.is_empty() {
            drain_seq(seq)?;
            return Err(here.fault(Code::InvalidField, "numbers and rows are mixed"));
        }
        let index_end = limits.index_max.min(u64::from(u32::MAX) - 1) + 1;
        let mut columns = 0_u64;
        loop {
            here.second(columns);
            let Some(value) = seq.next_element_seed(ScalarSeed { here, take: |scalar: Scalar<'_>| scalar.number() })? else { break };
            if columns >= index_end {
                return Err(here.fault(Code::LimitExceeded, "there are too many features"));
            }
            gather.push(columns as u32, value).map_err(|error| here.fail(error))?;
            columns += 1;
        }
        let row = gather.rows();
        here.first(row);
        if *width.get_or_insert(columns) != columns {
            return Err(here.fault(Code::ShapeMismatch, "the row has another length than the first"));
        }
        gather.end_row().map_err(|refused| match refused {
            Refused::Limit(code, detail) => here.fault(code, detail),
            Refused::Io(error) => here.fail(error),
        })
    }
}
