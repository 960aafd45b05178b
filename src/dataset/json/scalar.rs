//! Scalars and flat arrays of JSON, read one by one without a document tree.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::place::Here;
use crate::fault::Code;

/// A JSON value that is neither array nor object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

/// What is wrong with a value.
pub(super) type Wrong = (Code, &'static str);

impl Scalar<'_> {
    /// A finite number.
    #[inline]
    pub(super) fn number(self) -> Result<f64, Wrong> {
        match self {
            Self::Float(number) => Ok(number),
            Self::Unsigned(number) => Ok(number as f64),
            Self::Signed(number) => Ok(number as f64),
            Self::Null => Err((Code::MissingValue, "a number is missing")),
            Self::Bool(_) | Self::Text(_) => Err((Code::InvalidField, "it must be a number")),
        }
    }

    /// A whole number from 0 to `max`, written as one; `beyond` is the code of a larger or negative one.
    #[inline]
    pub(super) fn whole(self, max: u64, beyond: Wrong) -> Result<u64, Wrong> {
        match self {
            Self::Unsigned(number) if number <= max => Ok(number),
            Self::Unsigned(_) | Self::Signed(_) => Err(beyond),
            Self::Float(0.0) => Ok(0), // "-0"
            // integers beyond u64 arrive as floats
            Self::Float(number) if number.abs() >= 9e18 => Err(beyond),
            _ => Err((Code::InvalidField, "it must be a whole number, written without point or exponent")),
        }
    }
}

/// Reads one scalar and hands it to `take`; arrays and objects are refused.
pub(super) struct ScalarSeed<'h, F> {
    pub(super) here: &'h Here,
    pub(super) take: F,
}

impl<'de, T, F: FnOnce(Scalar<'_>) -> Result<T, Wrong>> DeserializeSeed<'de> for ScalarSeed<'_, F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T, F: FnOnce(Scalar<'_>) -> Result<T, Wrong>> ScalarSeed<'_, F> {
    #[inline]
    fn give<E: Error>(self, scalar: Scalar<'_>) -> Result<T, E> {
        (self.take)(scalar).map_err(|(code, detail)| self.here.fault(code, detail))
    }
}

impl<'de, T, F: FnOnce(Scalar<'_>) -> Result<T, Wrong>> Visitor<'de> for ScalarSeed<'_, F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        self.give(Scalar::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.give(Scalar::Signed(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.give(Scalar::Unsigned(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        self.give(Scalar::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        self.give(Scalar::Text(value))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        self.give(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        drain_seq(seq)?;
        Err(self.here.fault(Code::InvalidField, "it must not be an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        drain_map(map)?;
        Err(self.here.fault(Code::InvalidField, "it must not be an object"))
    }
}

/// Reads an array of scalars; where `null` allows it, null is no array.
pub(super) struct ArraySeed<'h, F> {
    pub(super) here: &'h Here,
    pub(super) null: bool,
    pub(super) each: F,
}

impl<'de, F: FnMut(Scalar<'_>) -> Result<(), Wrong>> DeserializeSeed<'de> for ArraySeed<'_, F> {
    /// Whether there was an array.
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Scalar<'_>) -> Result<(), Wrong>> Visitor<'de> for ArraySeed<'_, F> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<bool, A::Error> {
        for i in 0.. {
            self.here.first(i);
            if seq.next_element_seed(ScalarSeed { here: self.here, take: &mut self.each })?.is_none() {
                break;
            }
        }
        Ok(true)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        if self.null { Ok(false) } else { Err(self.here.fault(Code::InvalidField, "it must be an array")) }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
        drain_map(map)?;
        Err(self.here.fault(Code::InvalidField, "it must be an array"))
    }
}

/// Reads over a value of a wrong shape, so that bad syntax inside it is still called bad syntax. Its depth is bounded
/// by the deserialiser's recursion limit.
struct Drain;

impl<'de> DeserializeSeed<'de> for Drain {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Drain {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        drain_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        drain_map(map)
    }
}

pub(super) fn drain_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element_seed(Drain)?.is_some() {}
    Ok(())
}

pub(super) fn drain_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_key::<IgnoredAny>()?.is_some() {
        map.next_value_seed(Drain)?;
    }
    Ok(())
}
