//! Rows to predict as JSON: `{"instances":[…]}` or `{"csr":{…}}`, options beside them in any order.
//!
//! The body is read twice, so that options may stand behind the rows: once to find the parts, once to score the rows as
//! they stream by. Nothing but one row is kept.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::csr;
use super::options::Wanted;
use super::predictor::Predictor;
use super::score::{Refusal, Scorer};
use super::{PredictLimits, PredictOptions, Predictions};
use crate::fault::{Code, Fault};
use crate::json::{Text, Trail, read, read_part};

/// Predicts the rows of a JSON body.
pub(super) fn predict(predictor: &Predictor, body: &[u8], query: &PredictOptions, limits: &PredictLimits) -> Result<Predictions, Fault> {
    let trail = Trail::default();
    let parts = read(body, &trail, PartsSeed(&trail))?;
    let wanted = Wanted::new(&parts.options, query, predictor.answers(), predictor.extras())?;
    let mut scorer = Scorer::new(predictor, wanted, limits);
    let trail = Trail::default();
    match (parts.instances, parts.csr) {
        (Some(instances), None) => {
            let seed = Under { key: "instances", trail: &trail, seed: Instances { scorer: &mut scorer, limits, trail: &trail } };
            read_part(body, instances.get(), &trail, seed)?;
        }
        (None, Some(csr)) => {
            let seed = Under { key: "csr", trail: &trail, seed: csr::Block { limits, trail: &trail } };
            csr::score(&read_part(body, csr.get(), &trail, seed)?, &mut scorer)?;
        }
        (Some(_), Some(_)) => return Err(Fault::at_pointer(Code::InvalidField, "#/csr", "give instances or csr, not both")),
        (None, None) => return Err(Fault::at_pointer(Code::InvalidField, "#", "`instances` or `csr` is required")),
    }
    scorer.finish()
}

/// Notes, when something is wrong below, that it was under `key`.
struct Under<'t, S> {
    key: &'t str,
    trail: &'t Trail,
    seed: S,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Under<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(deserializer).map_err(|error| self.trail.under(self.key, error))
    }
}

/// The top of the document.
#[derive(Default)]
struct Parts<'de> {
    instances: Option<&'de RawValue>,
    csr: Option<&'de RawValue>,
    options: PredictOptions,
}

struct PartsSeed<'t>(&'t Trail);

impl<'de> DeserializeSeed<'de> for PartsSeed<'_> {
    type Value = Parts<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parts<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PartsSeed<'_> {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with instances or csr")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Parts<'de>, A::Error> {
        const KEYS: [&str; 6] = ["instances", "csr", "output", "unknown_features", "threshold", "top_contributions"];
        let mut parts = Parts::default();
        let mut seen = [false; KEYS.len()];
        while let Some(key) = fields.next_key_seed(Text)? {
            let Some(which) = KEYS.iter().position(|known| *known == key) else {
                let detail = format!("no such field; known here: {}", KEYS.join(", "));
                return Err(self.0.under(&key, self.0.fault(Code::UnknownField, detail)));
            };
            if std::mem::replace(&mut seen[which], true) {
                return Err(self.0.under(&key, self.0.fault(Code::DuplicateField, "the key occurs twice")));
            }
            take_part(&mut parts, which, &mut fields).map_err(|error| self.0.under(&key, error))?;
        }
        Ok(parts)
    }
}

fn take_part<'de, A: MapAccess<'de>>(parts: &mut Parts<'de>, which: usize, fields: &mut A) -> Result<(), A::Error> {
    match which {
        0 => parts.instances = Some(fields.next_value()?),
        1 => parts.csr = Some(fields.next_value()?),
        2 => parts.options.output = fields.next_value()?,
        3 => parts.options.unknown_features = fields.next_value()?,
        4 => parts.options.threshold = fields.next_value()?,
        _ => parts.options.top_contributions = fields.next_value()?,
    }
    Ok(())
}

/// The array of rows.
struct Instances<'s, 'a> {
    scorer: &'s mut Scorer<'a>,
    limits: &'s PredictLimits,
    trail: &'s Trail,
}

impl<'de> DeserializeSeed<'de> for Instances<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Instances<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        let mut buffers = Buffers::default();
        for row in 0.. {
            let seed = Instance { scorer: self.scorer, buffers: &mut buffers, limits: self.limits, trail: self.trail };
            if rows.next_element_seed(seed).map_err(|error| self.trail.within(row, error))?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// What is reused from row to row.
#[derive(Default)]
struct Buffers<'de> {
    indices: Vec<u32>,
    values: Vec<f64>,
    /// Keys of `features`, in order.
    keys: Vec<Cow<'de, str>>,
    /// A feature's name made of key and text.
    name: String,
}

/// One row in any form.
struct Instance<'s, 'a, 'de> {
    scorer: &'s mut Scorer<'a>,
    buffers: &'s mut Buffers<'de>,
    limits: &'s PredictLimits,
    trail: &'s Trail,
}

impl<'de> DeserializeSeed<'de> for Instance<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Instance<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a row: an array of numbers, or an object with features, with indices and values, or with data")
    }

    /// A dense row.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (trail, width) = (self.trail, self.scorer.n_features());
        let mut count = 0u64;
        loop {
            let at = count as usize;
            let Some(value) = items.next_element::<f64>().map_err(|error| trail.within(at, error))? else { break };
            let index = u32::try_from(count).ok().filter(|_| count < width);
            match index {
                Some(index) if value != 0.0 => {
                    self.scorer.index(index, value).map_err(|refusal| trail.within(at, trail.fault(refusal.code, refusal.detail)))?;
                }
                Some(_) => {}
                None => return Err(trail.fault(Code::ShapeMismatch, format!("the row has more than the model's {width} features"))),
            }
            count += 1;
        }
        if count != width {
            return Err(trail.fault(Code::ShapeMismatch, format!("the row has {count} values, the model {width} features")));
        }
        self.scorer.end_row().map_err(|refusal| trail.fault(refusal.code, refusal.detail))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Self { scorer, buffers, limits, trail } = self;
        let mut form = None;
        let (mut indices, mut values) = (false, false);
        while let Some(key) = fields.next_key_seed(Text)? {
            let this = match &*key {
                "features" => Form::Names,
                "indices" | "values" => Form::Indices,
                "data" => Form::Data,
                _ => return Err(trail.under(&key, trail.fault(Code::UnknownField, "a row has features, or indices and values, or data"))),
            };
            let again = match &*key {
                "indices" => std::mem::replace(&mut indices, true),
                "values" => std::mem::replace(&mut values, true),
                _ => form == Some(this),
            };
            if again {
                return Err(trail.under(&key, trail.fault(Code::DuplicateField, "the key occurs twice")));
            }
            if form.is_some_and(|form| form != this) {
                return Err(trail.under(&key, trail.fault(Code::InvalidField, "a row has one form only")));
            }
            form = Some(this);
            let read = match &*key {
                "features" => fields.next_value_seed(Named { scorer: &mut *scorer, buffers: &mut *buffers, trail }),
                "indices" => fields.next_value_seed(csr::Indices { into: &mut buffers.indices, limits, max: limits.row_nnz, trail }),
                "values" => fields.next_value_seed(csr::Values { into: &mut buffers.values, max: limits.row_nnz, trail }),
                _ => fields.next_value_seed(Data { buffers: &mut *buffers, limits, trail }),
            };
            read.map_err(|error| trail.under(&key, error))?;
        }
        match form {
            None => Err(trail.fault(Code::InvalidField, "a row has features, or indices and values, or data")),
            Some(Form::Names) => end_named(scorer, buffers, trail),
            Some(Form::Indices) if !(indices && values) => {
                let key = if indices { "values" } else { "indices" };
                Err(trail.under(key, trail.fault(Code::InvalidField, "indices and values go together")))
            }
            Some(Form::Indices) => end_indexed(scorer, buffers, &["indices"], trail),
            Some(Form::Data) => end_indexed(scorer, buffers, &["data", "features", "keys"], trail),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Names,
    Indices,
    Data,
}

/// Scores the row in `buffers.indices` and `buffers.values`; `path` leads to the indices.
fn end_indexed<E: Error>(scorer: &mut Scorer<'_>, buffers: &Buffers<'_>, path: &[&str], trail: &Trail) -> Result<(), E> {
    let outwards = |error: E, last: &str| {
        let error = trail.under(last, error);
        path[..path.len() - 1].iter().rev().fold(error, |error, key| trail.under(key, error))
    };
    let (indices, values) = (&buffers.indices, &buffers.values);
    if indices.len() != values.len() {
        let detail = format!("{} values for {} indices", values.len(), indices.len());
        return Err(outwards(trail.fault(Code::ShapeMismatch, detail), "values"));
    }
    let row = indices.iter().zip(values).try_for_each(|(index, value)| scorer.index(*index, *value));
    row.and_then(|()| scorer.end_row()).map_err(|refusal| {
        let error = trail.fault(refusal.code, refusal.detail);
        match refusal.entry {
            Some(entry) => outwards(trail.within(entry, error), path[path.len() - 1]),
            None => error,
        }
    })
}

fn end_named<E: Error>(scorer: &mut Scorer<'_>, buffers: &mut Buffers<'_>, trail: &Trail) -> Result<(), E> {
    let twice = |key: &str| trail.under("features", trail.under(key, trail.fault(Code::DuplicateField, "the key occurs twice")));
    scorer.end_row().map_err(|refusal| match refusal.entry.and_then(|entry| buffers.keys.get(entry)) {
        Some(key) if buffers.keys.iter().filter(|other| *other == key).count() > 1 => twice(key),
        Some(key) => trail.under("features", trail.under(key, trail.fault(refusal.code, refusal.detail))),
        None => trail.fault(refusal.code, refusal.detail),
    })?;
    buffers.keys.sort_unstable();
    match buffers.keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(twice(&pair[0])),
        None => Ok(()),
    }
}

/// The object of features by name.
struct Named<'s, 'a, 'de> {
    scorer: &'s mut Scorer<'a>,
    buffers: &'s mut Buffers<'de>,
    trail: &'s Trail,
}

impl<'de> DeserializeSeed<'de> for Named<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Named<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of features by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Self { scorer, buffers, trail } = self;
        buffers.keys.clear();
        while let Some(key) = fields.next_key_seed(Text)? {
            let cell = fields.next_value_seed(CellSeed(trail)).map_err(|error| trail.under(&key, error))?;
            let added = match cell {
                Cell::Number(value) => scorer.name(&key, value),
                Cell::Text(text) => {
                    buffers.name.clear();
                    buffers.name.extend([&*key, "=", &*text]);
                    scorer.name(&buffers.name, 1.0)
                }
            };
            added.map_err(|Refusal { code, detail, .. }| trail.under(&key, trail.fault(code, detail)))?;
            buffers.keys.push(key);
        }
        Ok(())
    }
}

/// A feature's value: a number, `true`/`false` = 1/0, or a text, which makes the feature `key=text` 1.
enum Cell<'de> {
    Number(f64),
    Text(Cow<'de, str>),
}

struct CellSeed<'t>(&'t Trail);

impl<'de> DeserializeSeed<'de> for CellSeed<'_> {
    type Value = Cell<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed<'_> {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number, true, false or a text")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Cell<'de>, E> {
        Ok(Cell::Number(f64::from(u8::from(value))))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Cell<'de>, E> {
        Ok(Cell::Number(value as f64))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Cell<'de>, E> {
        Ok(Cell::Number(value as f64))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Cell<'de>, E> {
        Ok(Cell::Number(value))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Cell<'de>, E> {
        Err(self.0.fault(Code::MissingValue, "the value is missing; leave the key out for 0"))
    }
}

/// SageMaker's sparse row: `{"features":{"keys":[…],"shape":[p],"values":[…]}}`.
struct Data<'s, 'de> {
    buffers: &'s mut Buffers<'de>,
    limits: &'s PredictLimits,
    trail: &'s Trail,
}

impl<'de> DeserializeSeed<'de> for Data<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Data<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with features")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let trail = self.trail;
        let mut sparse = None;
        while let Some(key) = fields.next_key_seed(Text)? {
            let wrong = match (&*key, &sparse) {
                ("features", None) => None,
                ("features", Some(_)) => Some(trail.fault(Code::DuplicateField, "the key occurs twice")),
                _ => Some(trail.fault(Code::UnknownField, "no such field; known here: features")),
            };
            if let Some(error) = wrong {
                return Err(trail.under(&key, error));
            }
            let block = csr::Block { limits: self.limits, trail }.keyed();
            sparse = Some(fields.next_value_seed(block).map_err(|error| trail.under(&key, error))?);
        }
        let sparse = sparse.ok_or_else(|| trail.fault::<A::Error>(Code::InvalidField, "`features` is required"))?;
        (self.buffers.indices, self.buffers.values) = (sparse.indices, sparse.values);
        Ok(())
    }
}
