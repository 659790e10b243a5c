//! Between JSON and tensors. Nested lists are read straight into elements of the graph's type, without a tree in between:
//! a body is mostly numbers.
//!
//! JSON has no NaN and no infinity: both are written as `null`, and `null` is read as NaN.

use std::fmt;

use half::{bf16, f16};
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::tensor::{Data, ElementType};

/// Reads a list of any depth: its elements and its shape, or what is wrong with it.
pub(super) fn parse(raw: &RawValue, ty: ElementType) -> Result<(Vec<i64>, Data), String> {
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    Lists(ty).deserialize(&mut reader).map_err(|error| reason(&error))
}

/// What an error says, without the place.
pub(super) fn reason(error: &serde_json::Error) -> String {
    error.to_string().split(" at line ").next().unwrap_or_default().to_owned()
}

/// A list of any depth of elements of a type, or an element: its shape and its elements.
pub(super) struct Lists(pub(super) ElementType);

impl<'de> DeserializeSeed<'de> for Lists {
    type Value = (Vec<i64>, Data);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.read(|level| level.deserialize(deserializer))
    }
}

impl Lists {
    /// As a visitor that a deserialiser has told what comes.
    pub(super) fn read<E>(self, visit: impl FnOnce(Level<'_>) -> Result<(), E>) -> Result<(Vec<i64>, Data), E> {
        let mut into = Builder { ty: self.0, data: Data::zeros(self.0, 0), shape: Vec::new(), first: true };
        visit(Level { into: &mut into, depth: 0 })?;
        Ok((into.shape, into.data))
    }
}

struct Builder {
    ty: ElementType,
    data: Data,
    /// Length of the first list at each depth.
    shape: Vec<i64>,
    /// No element was reached yet, so that the depth is not known.
    first: bool,
}

/// One value at a depth: a list or an element.
pub(super) struct Level<'b> {
    into: &'b mut Builder,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Level<'_> {
    fn push<E: serde::de::Error>(self, given: impl fmt::Display, push: impl FnOnce(&mut Data) -> bool) -> Result<(), E> {
        self.into.first = false;
        if self.depth != self.into.shape.len() {
            return Err(E::custom("its lists have different depths"));
        }
        if push(&mut self.into.data) { Ok(()) } else { Err(E::custom(format!("{given} is no {}", self.into.ty))) }
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements in lists", self.into.ty)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let begins = self.depth == self.into.shape.len();
        if begins {
            if !self.into.first {
                return Err(A::Error::custom("its lists have different depths"));
            }
            self.into.shape.push(0);
        }
        let mut len = 0;
        while list.next_element_seed(Level { into: self.into, depth: self.depth + 1 })?.is_some() {
            len += 1;
        }
        if begins {
            self.into.shape[self.depth] = len;
        } else if self.into.shape[self.depth] != len {
            return Err(A::Error::custom("its lists have different lengths"));
        }
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.push(value, |data| match data {
            Data::Bool(v) => {
                v.push(value);
                true
            }
            _ => false,
        })
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.push(value, |data| push_whole(data, value, value as f64))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.push(value, |data| push_whole(data, value, value as f64))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.push(value, |data| push_real(data, value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.push("null", |data| push_real(data, f64::NAN))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.push(format_args!("{value:?}"), |data| match data {
            Data::String(v) => {
                v.push(value.to_owned());
                true
            }
            _ => false,
        })
    }
}

fn push_real(data: &mut Data, value: f64) -> bool {
    match data {
        Data::F32(v) => v.push(value as f32),
        Data::F64(v) => v.push(value),
        Data::F16(v) => v.push(f16::from_f64(value)),
        Data::BF16(v) => v.push(bf16::from_f64(value)),
        _ => return false,
    }
    true
}

/// A whole number that fits, or one for a type of real numbers.
fn push_whole<N>(data: &mut Data, value: N, real: f64) -> bool
where
    N: Copy,
    u8: TryFrom<N>,
    i8: TryFrom<N>,
    u16: TryFrom<N>,
    i16: TryFrom<N>,
    u32: TryFrom<N>,
    i32: TryFrom<N>,
    u64: TryFrom<N>,
    i64: TryFrom<N>,
{
    fn put<T: TryFrom<N>, N>(v: &mut Vec<T>, value: N) -> bool {
        T::try_from(value).map(|value| v.push(value)).is_ok()
    }
    match data {
        Data::U8(v) => put(v, value),
        Data::I8(v) => put(v, value),
        Data::U16(v) => put(v, value),
        Data::I16(v) => put(v, value),
        Data::U32(v) => put(v, value),
        Data::I32(v) => put(v, value),
        Data::U64(v) => put(v, value),
        Data::I64(v) => put(v, value),
        // Some clients write truths as numbers.
        Data::Bool(v) if real == 0.0 || real == 1.0 => {
            v.push(real == 1.0);
            true
        }
        _ => push_real(data, real),
    }
}

/// The elements as lists in the form of a shape.
pub(super) struct Nested<'a> {
    data: &'a Data,
    shape: &'a [i64],
    begin: usize,
    len: usize,
}

impl<'a> Nested<'a> {
    /// In the form of `shape`, which has as many elements.
    pub(super) fn new(data: &'a Data, shape: &'a [i64]) -> Self {
        Self { data, shape, begin: 0, len: data.len() }
    }
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some((rows, inner)) = self.shape.split_first() else {
            return match self.data {
                Data::F32(v) => serializer.serialize_f32(v[self.begin]),
                Data::F64(v) => serializer.serialize_f64(v[self.begin]),
                Data::F16(v) => serializer.serialize_f32(v[self.begin].to_f32()),
                Data::BF16(v) => serializer.serialize_f32(v[self.begin].to_f32()),
                Data::U8(v) => serializer.serialize_u8(v[self.begin]),
                Data::I8(v) => serializer.serialize_i8(v[self.begin]),
                Data::U16(v) => serializer.serialize_u16(v[self.begin]),
                Data::I16(v) => serializer.serialize_i16(v[self.begin]),
                Data::U32(v) => serializer.serialize_u32(v[self.begin]),
                Data::I32(v) => serializer.serialize_i32(v[self.begin]),
                Data::U64(v) => serializer.serialize_u64(v[self.begin]),
                Data::I64(v) => serializer.serialize_i64(v[self.begin]),
                Data::Bool(v) => serializer.serialize_bool(v[self.begin]),
                Data::String(v) => serializer.serialize_str(&v[self.begin]),
            };
        };
        let rows = *rows as usize;
        let len = self.len / rows.max(1);
        let mut list = serializer.serialize_seq(Some(rows))?;
        for row in 0..rows {
            list.serialize_element(&Nested { data: self.data, shape: inner, begin: self.begin + row * len, len })?;
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, ty: ElementType) -> Result<(Vec<i64>, Data), String> {
        parse(&RawValue::from_string(text.to_owned()).unwrap(), ty)
    }

    #[test]
    fn lists_become_tensors_and_back() {
        let cases = [
            ("[[1.5,2.0],[-3.25,0.0]]", ElementType::F32, vec![2, 2]),
            ("[[1.5],[0.25]]", ElementType::F16, vec![2, 1]),
            ("[0.5]", ElementType::BF16, vec![1]),
            ("[-9223372036854775808,9223372036854775807]", ElementType::I64, vec![2]),
            ("18446744073709551615", ElementType::U64, vec![]),
            ("[\"a\",\"zü\"]", ElementType::String, vec![2]),
            ("[[[true,false]]]", ElementType::Bool, vec![1, 1, 2]),
            ("[null]", ElementType::F64, vec![1]),
            ("[]", ElementType::U8, vec![0]),
            ("[[],[]]", ElementType::U8, vec![2, 0]),
        ];
        for (text, ty, shape) in cases {
            let (got, data) = read(text, ty).unwrap();
            assert_eq!((&got, data.element_type()), (&shape, ty), "{text}");
            assert_eq!(serde_json::to_string(&Nested::new(&data, &got)).unwrap(), text);
        }
        assert_eq!(read("[0, 1]", ElementType::Bool).unwrap().1, Data::Bool(vec![false, true]));
        assert_eq!(read("[1, 2]", ElementType::F32).unwrap().1, Data::F32(vec![1.0, 2.0]));
    }

    #[test]
    fn lists_that_are_no_tensor_are_named() {
        for (text, ty, want) in [
            ("[[1, 2], [3]]", ElementType::F32, "different lengths"),
            ("[[1, 2], 3]", ElementType::F32, "different depths"),
            ("[1, [2]]", ElementType::F32, "different depths"),
            ("[256]", ElementType::U8, "256 is no uint8"),
            ("[1.5]", ElementType::I32, "1.5 is no int32"),
            ("[\"1\"]", ElementType::F32, "\"1\" is no float32"),
            ("[true]", ElementType::F32, "true is no float32"),
            ("[1]", ElementType::String, "1 is no string"),
            ("[null]", ElementType::I64, "null is no int64"),
            ("{}", ElementType::I64, "int64 elements in lists"),
        ] {
            let error = read(text, ty).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
