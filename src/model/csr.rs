//! Rows to predict as one block: `{"indptr":[…],"indices":[…],"values":[…],"shape"?:[rows, columns]}`; and the arrays
//! of which all sparse JSON forms are made, read without a detour through JSON values.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::PredictLimits;
use super::score::{Refusal, Scorer};
use crate::fault::{Code, Fault};
use crate::json::{Text, Trail};

/// Rows of a block, as they came.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    indptr: Vec<u32>,
    pub(super) indices: Vec<u32>,
    pub(super) values: Vec<f64>,
}

/// Scores the rows of a block.
pub(super) fn score(block: &Sparse, scorer: &mut Scorer<'_>) -> Result<(), Fault> {
    for (row, bounds) in block.indptr.windows(2).enumerate() {
        let (start, end) = (bounds[0] as usize, bounds[1] as usize);
        let entries = block.indices[start..end].iter().zip(&block.values[start..end]);
        let scored = entries.into_iter().try_for_each(|(index, value)| scorer.index(*index, *value)).and_then(|()| scorer.end_row());
        scored.map_err(|Refusal { code, entry, detail }| match entry {
            Some(entry) => Fault::at_pointer(code, format!("#/csr/indices/{}", start + entry), detail),
            None => Fault::at_pointer(code, format!("#/csr/indptr/{row}"), format!("row {row}: {detail}")),
        })?;
    }
    Ok(())
}

/// Seed for the block; `keyed` makes it one for SageMaker's single row, whose indices are called `keys`.
pub(super) struct Block<'s> {
    pub(super) limits: &'s PredictLimits,
    pub(super) trail: &'s Trail,
}

impl<'s> Block<'s> {
    pub(super) fn keyed(self) -> Keyed<'s> {
        Keyed(self)
    }
}

/// See [`Block::keyed`].
pub(super) struct Keyed<'s>(Block<'s>);

impl<'de> DeserializeSeed<'de> for Block<'_> {
    type Value = Sparse;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Sparse, D::Error> {
        deserializer.deserialize_map(Arrays { block: self, rows: true })
    }
}

impl<'de> DeserializeSeed<'de> for Keyed<'_> {
    type Value = Sparse;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Sparse, D::Error> {
        deserializer.deserialize_map(Arrays { block: self.0, rows: false })
    }
}

struct Arrays<'s> {
    block: Block<'s>,
    rows: bool,
}

impl<'de> Visitor<'de> for Arrays<'_> {
    type Value = Sparse;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of arrays")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Sparse, A::Error> {
        let (limits, trail) = (self.block.limits, self.block.trail);
        let keys: &[&str] = if self.rows { &["indices", "values", "shape", "indptr"] } else { &["keys", "values", "shape"] };
        let most = if self.rows { u64::from(u32::MAX) } else { limits.row_nnz };
        let mut seen = [false; 4];
        let (mut sparse, mut shape) = (Sparse::default(), Vec::new());
        while let Some(key) = fields.next_key_seed(Text)? {
            let Some(which) = keys.iter().position(|known| *known == key) else {
                let detail = format!("no such field; known here: {}", keys.join(", "));
                return Err(trail.under(&key, trail.fault(Code::UnknownField, detail)));
            };
            if std::mem::replace(&mut seen[which], true) {
                return Err(trail.under(&key, trail.fault(Code::DuplicateField, "the key occurs twice")));
            }
            let read = match which {
                0 => fields.next_value_seed(Indices { into: &mut sparse.indices, limits, max: most, trail }),
                1 => fields.next_value_seed(Values { into: &mut sparse.values, max: most, trail }),
                2 => fields.next_value_seed(Wholes { into: &mut shape, max: 2, trail }),
                _ => fields.next_value_seed(Pointers { into: &mut sparse.indptr, max: limits.rows.saturating_add(1), trail }),
            };
            read.map_err(|error| trail.under(&key, error))?;
        }
        if let Some(absent) = [0, 1, 3].into_iter().find(|which| *which < keys.len() && !seen[*which]) {
            return Err(trail.under(keys[absent], trail.fault(Code::InvalidField, format!("`{}` is required", keys[absent]))));
        }
        self.check(&sparse, seen[2].then_some(&shape[..]))
            .map_err(|(key, detail)| trail.under(key, trail.fault(Code::ShapeMismatch, detail)))?;
        let columns = if seen[2] { shape.last().copied() } else { None };
        let beyond = columns.and_then(|columns| sparse.indices.iter().position(|index| u64::from(*index) >= columns));
        match beyond {
            Some(at) => Err(trail.under(keys[0], trail.within(at, trail.fault(Code::IndexOutOfRange, "the index lies beyond the shape")))),
            None => Ok(sparse),
        }
    }
}

impl Arrays<'_> {
    /// Whether the lengths agree: else the array that does not, and why.
    fn check(&self, sparse: &Sparse, shape: Option<&[u64]>) -> Result<(), (&'static str, String)> {
        let (indices, values) = (sparse.indices.len(), sparse.values.len());
        if indices != values {
            return Err(("values", format!("{values} values for {indices} indices")));
        }
        let dimensions = if self.rows { 2 } else { 1 };
        if shape.is_some_and(|shape| shape.len() != dimensions) {
            return Err(("shape", format!("a shape has {dimensions} numbers here")));
        }
        if !self.rows {
            return Ok(());
        }
        let pointers = &sparse.indptr;
        if pointers.first() != Some(&0) || pointers.last().copied().map(u64::from) != Some(values as u64) {
            return Err(("indptr", format!("must begin with 0 and end with the number of values, {values}")));
        }
        if pointers.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(("indptr", "must not fall".into()));
        }
        let rows = pointers.len() as u64 - 1;
        if shape.is_some_and(|shape| shape[0] != rows) {
            return Err(("shape", format!("indptr has {rows} rows")));
        }
        Ok(())
    }
}

/// Reads an array of `$item` into a buffer that is cleared first; at most `max` items.
macro_rules! array_seed {
    ($(#[$doc:meta])* $name:ident of $item:ty, $what:literal, { $($field:ident: $type:ty),* }, |$this:ident, $given:ident| $check:expr) => {
        $(#[$doc])*
        pub(super) struct $name<'s> {
            pub(super) into: &'s mut Vec<$item>,
            $(pub(super) $field: $type,)*
            pub(super) max: u64,
            pub(super) trail: &'s Trail,
        }

        impl<'de> DeserializeSeed<'de> for $name<'_> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_seq(self)
            }
        }

        impl<'de> Visitor<'de> for $name<'_> {
            type Value = ();

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($what)
            }

            fn visit_seq<A: SeqAccess<'de>>($this, mut items: A) -> Result<(), A::Error> {
                let trail = $this.trail;
                $this.into.clear();
                loop {
                    let at = $this.into.len();
                    let Some($given) = items.next_element::<Number>().map_err(|error| trail.within(at, error))? else { return Ok(()) };
                    if at as u64 >= $this.max {
                        return Err(trail.within(at, trail.fault(Code::LimitExceeded, format!("at most {} items", $this.max))));
                    }
                    match $check {
                        Ok(item) => $this.into.push(item),
                        Err((code, detail)) => return Err(trail.within(at, trail.fault::<A::Error>(code, detail))),
                    }
                }
            }
        }
    };
}

array_seed!(
    /// Feature indices.
    Indices of u32, "an array of feature indices", { limits: &'s PredictLimits },
    |self, number| number.index(self.limits.index_max)
);
array_seed!(
    /// Values of features.
    Values of f64, "an array of numbers", {},
    |self, number| Ok::<_, (Code, String)>(number.float())
);
array_seed!(
    /// Row pointers.
    Pointers of u32, "an array of row pointers", {},
    |self, number| number.whole().and_then(|whole| u32::try_from(whole).ok()).ok_or((Code::ShapeMismatch, "is no position in the values"))
);
array_seed!(
    /// A shape.
    Wholes of u64, "an array of whole numbers", {},
    |self, number| number.whole().ok_or((Code::InvalidField, "must be a whole number"))
);

/// A JSON number as it was written.
#[derive(Clone, Copy)]
enum Number {
    Natural(u64),
    Negative(i64),
    Float(f64),
}

impl Number {
    fn float(self) -> f64 {
        match self {
            Self::Natural(number) => number as f64,
            Self::Negative(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    fn whole(self) -> Option<u64> {
        if let Self::Natural(number) = self { Some(number) } else { None }
    }

    /// A feature index: a whole number from 0 to `max`, written without point and exponent.
    fn index(self, max: u64) -> Result<u32, (Code, String)> {
        let index = self.whole().filter(|index| *index <= max).and_then(|index| u32::try_from(index).ok());
        index.ok_or_else(|| {
            let near = matches!(self, Self::Float(number) if number > -1.0 && number <= max as f64);
            let code = if near { Code::InvalidField } else { Code::IndexOutOfRange };
            (code, format!("an index is a whole number from 0 to {max}"))
        })
    }
}

impl<'de> serde::Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number::Natural(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number::Negative(number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number::Float(number))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}
