//! Tensors whose elements `ort` cannot read or write, floats of 8 bits and integers of 4, go as the nearest type it can:
//! the runtime itself casts them, in a graph of one node, before and behind the model's own.

use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, TensorElementType};

use super::values::failed;
use crate::tensor::{Data, ElementType};
use crate::{Error, Result};

/// What elements of a type go as; `None` when nothing here holds them all.
pub(super) fn carrier(graph: TensorElementType) -> Option<ElementType> {
    Some(match graph {
        TensorElementType::Float8E4M3FN
        | TensorElementType::Float8E4M3FNUZ
        | TensorElementType::Float8E5M2
        | TensorElementType::Float8E5M2FNUZ => ElementType::F32,
        TensorElementType::Int4 => ElementType::I8,
        TensorElementType::Uint4 => ElementType::U8,
        _ => return None,
    })
}

/// The number ONNX has for a type that has a [`carrier`].
fn onnx_code(graph: TensorElementType) -> Option<u8> {
    Some(match graph {
        TensorElementType::Float8E4M3FN => 17,
        TensorElementType::Float8E4M3FNUZ => 18,
        TensorElementType::Float8E5M2 => 19,
        TensorElementType::Float8E5M2FNUZ => 20,
        TensorElementType::Uint4 => 21,
        TensorElementType::Int4 => 22,
        _ => return None,
    })
}

/// Name of a type as ONNX says it, where NumPy has none.
pub(super) fn name(ty: TensorElementType) -> &'static str {
    match ty {
        TensorElementType::Complex64 => "complex64",
        TensorElementType::Complex128 => "complex128",
        TensorElementType::Float8E4M3FN => "float8e4m3fn",
        TensorElementType::Float8E4M3FNUZ => "float8e4m3fnuz",
        TensorElementType::Float8E5M2 => "float8e5m2",
        TensorElementType::Float8E5M2FNUZ => "float8e5m2fnuz",
        TensorElementType::Float8E8M0 => "float8e8m0",
        TensorElementType::Float4E2M1 => "float4e2m1",
        TensorElementType::Uint4 => "uint4",
        TensorElementType::Int4 => "int4",
        TensorElementType::Uint2 => "uint2",
        TensorElementType::Int2 => "int2",
        _ => "of a type that has no name here",
    }
}

/// A session that turns one element type into another.
pub(super) struct Cast {
    session: Mutex<Session>,
}

impl Cast {
    /// From what elements of `graph` go as, to `graph`.
    pub(super) fn into_graph(environment: &Environment, graph: TensorElementType) -> Result<Option<Self>> {
        let Some((carrier, code)) = carrier(graph).zip(onnx_code(graph)) else { return Ok(None) };
        Self::new(environment, carrier.onnx(), code).map(Some)
    }

    /// From `graph` to what its elements go as.
    pub(super) fn out_of_graph(environment: &Environment, graph: TensorElementType) -> Result<Option<Self>> {
        let Some((carrier, code)) = carrier(graph).zip(onnx_code(graph)) else { return Ok(None) };
        Self::new(environment, code, carrier.onnx()).map(Some)
    }

    fn new(environment: &Environment, from: u8, to: u8) -> Result<Self> {
        let refuse = |e: &dyn std::fmt::Display| Error::Session { reason: e.to_string() };
        let session = Session::builder(environment)
            .map_err(|e| refuse(&e))?
            .with_intra_threads(1)
            .map_err(|e| refuse(&e))?
            .commit_from_memory(&graph(from, to))
            .map_err(|e| refuse(&e))?;
        Ok(Self { session: Mutex::new(session) })
    }

    /// The value with its elements in the other type.
    pub(super) fn run(&self, value: SessionInputValue<'_>) -> Result<DynValue> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outputs = session.run([value]).map_err(failed)?;
        outputs.remove(TO).ok_or_else(|| failed("the cast gave nothing"))
    }
}

/// Whole numbers that do not fit are refused: the runtime would take their lowest bits. Floats become the nearest there is.
pub(super) fn check(input: &str, graph: TensorElementType, data: &Data) -> Result<()> {
    let beyond = match (graph, data) {
        (TensorElementType::Int4, Data::I8(v)) => v.iter().find(|n| !(-8..8).contains(*n)).map(ToString::to_string),
        (TensorElementType::Uint4, Data::U8(v)) => v.iter().find(|n| **n > 15).map(ToString::to_string),
        _ => None,
    };
    match beyond {
        None => Ok(()),
        Some(number) => Err(Error::Tensor { name: input.to_owned(), reason: format!("{number} is no {}", name(graph)) }),
    }
}

const FROM: &str = "X";
const TO: &str = "Y";

/// An ONNX file with one `Cast`. Protobuf by hand: every length fits one byte.
fn graph(from: u8, to: u8) -> Vec<u8> {
    let nested = |field: u8, bytes: &[u8]| [&[field << 3 | 2, bytes.len() as u8], bytes].concat();
    // Of a tensor whose shape is left open only the element type is said.
    let value = |name: &str, ty: u8| [nested(1, name.as_bytes()), nested(2, &nested(1, &[1 << 3, ty]))].concat();
    // An attribute of type INT, whose field number 20 takes two bytes.
    let attribute = [&nested(1, b"to")[..], &[3 << 3, to, 0xa0, 0x01, 2]].concat();
    let node = [nested(1, FROM.as_bytes()), nested(2, TO.as_bytes()), nested(4, b"Cast"), nested(5, &attribute)].concat();
    let graph = [nested(1, &node), nested(2, b"cast"), nested(11, &value(FROM, from)), nested(12, &value(TO, to))].concat();
    // The first operator set whose Cast knows them all.
    let opset = [nested(1, b""), vec![2 << 3, 21]].concat();
    [vec![1 << 3, 10], nested(7, &graph), nested(8, &opset)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_graph_is_one_that_casts() {
        let schema = edgeflow_bundle::OnnxSchema::parse(&graph(1, 17)).unwrap();
        assert_eq!((schema.opset, schema.ir_version), (21, 10));
        let said = [&schema.inputs[0], &schema.outputs[0]].map(|value| (value.name.as_str(), value.elem_type.name(), value.rank_known));
        assert_eq!(said, [(FROM, "float32", false), (TO, "float8e4m3fn", false)]);
    }

    #[test]
    fn whole_numbers_of_more_than_four_bits_are_refused_by_name() {
        check("x", TensorElementType::Int4, &Data::I8(vec![-8, 0, 7])).unwrap();
        check("x", TensorElementType::Uint4, &Data::U8(vec![0, 15])).unwrap();
        for (ty, data, want) in [
            (TensorElementType::Int4, Data::I8(vec![0, 8]), "tensor `x` refused: 8 is no int4"),
            (TensorElementType::Int4, Data::I8(vec![-9]), "tensor `x` refused: -9 is no int4"),
            (TensorElementType::Uint4, Data::U8(vec![16]), "tensor `x` refused: 16 is no uint4"),
        ] {
            assert_eq!(check("x", ty, &data).unwrap_err().to_string(), want);
        }
    }
}
