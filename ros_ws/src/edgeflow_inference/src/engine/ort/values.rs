//! Between the engine's tensors and ONNX Runtime's values, which may also be sequences of maps.

use ort::memory::Allocator;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions};
use ort::value::{DynMapValueType, DynSequenceValueType, DynTensor, DynValue, TensorElementType, TensorRef, ValueType};

use super::cast;
use crate::tensor::{Data, ElementType, Tensor, TensorSpec};
use crate::{Error, Result};

/// What the runtime says of a run.
pub(super) fn failed(error: impl std::fmt::Display) -> Error {
    Error::Run { reason: error.to_string() }
}

/// How the values of one graph output are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tensor {
        /// What the elements are in the graph.
        graph: TensorElementType,
        /// What they go as.
        element: ElementType,
    },
    /// scikit-learn's ZipMap: for each row a map from class to score.
    Maps { key: ElementType, value: ElementType },
    /// Not moved.
    Other,
}

/// Name, type and shape of an input or output, and how its values are moved.
pub(super) fn outlet(outlet: &ort::value::Outlet) -> (TensorSpec, Kind) {
    let mut type_name = named(outlet.dtype());
    let (kind, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let carrier = cast::carrier(*ty);
            if let Some(element) = carrier {
                type_name = format!("{element} for {type_name}");
            }
            let element = element_type(*ty).or(carrier);
            (element.map_or(Kind::Other, |element| Kind::Tensor { graph: *ty, element }), shape.to_vec())
        }
        ValueType::Sequence(inner) => match **inner {
            ValueType::Map { key, value } => match (element_type(key), element_type(value)) {
                (Some(key @ (ElementType::I64 | ElementType::String)), Some(value @ (ElementType::F32 | ElementType::F64))) => {
                    (Kind::Maps { key, value }, vec![-1, -1])
                }
                _ => (Kind::Other, Vec::new()),
            },
            _ => (Kind::Other, Vec::new()),
        },
        _ => (Kind::Other, Vec::new()),
    };
    let element_type = match kind {
        Kind::Tensor { element, .. } | Kind::Maps { value: element, .. } => Some(element),
        Kind::Other => None,
    };
    (TensorSpec { name: outlet.name().to_owned(), element_type, type_name, shape, rank_known: true }, kind)
}

/// A type in ONNX's words.
fn named(ty: &ValueType) -> String {
    let element = |ty: TensorElementType| element_type(ty).map_or(cast::name(ty), ElementType::name);
    match ty {
        ValueType::Tensor { ty, .. } => element(*ty).to_owned(),
        ValueType::Sequence(inner) => format!("seq({})", named(inner)),
        ValueType::Map { key, value } => format!("map({}, {})", element(*key), element(*value)),
        ValueType::Optional(inner) => format!("optional({})", named(inner)),
    }
}

/// Memory for the outputs whose shape the graph tells, to be written by every run; `None` when it tells no shape.
pub(super) fn reused(outputs: &[TensorSpec], kinds: &[Kind]) -> Result<Option<RunOptions<HasSelectedOutputs>>> {
    let allocator = Allocator::default();
    let (mut selector, mut any) = (OutputSelector::default(), false);
    for (spec, kind) in outputs.iter().zip(kinds) {
        let Kind::Tensor { graph, .. } = kind else { continue };
        // Without dimensions it is a scalar, or of a rank that is not known. Strings are of no size.
        if spec.shape.is_empty() || spec.shape.iter().any(|dimension| *dimension <= 0) || *graph == TensorElementType::String {
            continue;
        }
        let room = DynTensor::new(&allocator, *graph, spec.shape.as_slice()).map_err(failed)?;
        selector = selector.preallocate(&spec.name, room);
        any = true;
    }
    if !any {
        return Ok(None);
    }
    Ok(Some(RunOptions::new().map_err(failed)?.with_outputs(selector)))
}

/// A view of a tensor's data as the runtime's value; nothing is copied but strings.
pub(super) fn to_value(tensor: &Tensor) -> Result<ort::session::SessionInputValue<'_>> {
    let shape = tensor.shape.as_slice();
    macro_rules! view {
        ($v:expr) => {
            TensorRef::from_array_view((shape, $v.as_slice())).map_err(failed)?.into()
        };
    }
    Ok(match &tensor.data {
        Data::F32(v) => view!(v),
        Data::F64(v) => view!(v),
        Data::F16(v) => view!(v),
        Data::BF16(v) => view!(v),
        Data::U8(v) => view!(v),
        Data::I8(v) => view!(v),
        Data::U16(v) => view!(v),
        Data::I16(v) => view!(v),
        Data::U32(v) => view!(v),
        Data::I32(v) => view!(v),
        Data::U64(v) => view!(v),
        Data::I64(v) => view!(v),
        Data::Bool(v) => view!(v),
        Data::String(v) => ort::value::Tensor::from_string_array((shape, v.as_slice())).map_err(failed)?.into(),
    })
}

/// Copies elements into memory of their type that has room for just as many.
pub(super) fn write(data: &Data, memory: &mut DynTensor) -> Result<()> {
    macro_rules! copy {
        ($v:expr) => {{
            let (shape, room) = memory.try_extract_tensor_mut().map_err(failed)?;
            if room.len() != $v.len() {
                return Err(failed(format!("shape {shape:?} has {} elements, but {} were given", room.len(), $v.len())));
            }
            room.copy_from_slice($v);
        }};
    }
    match data {
        Data::F32(v) => copy!(v),
        Data::F64(v) => copy!(v),
        Data::F16(v) => copy!(v),
        Data::BF16(v) => copy!(v),
        Data::U8(v) => copy!(v),
        Data::I8(v) => copy!(v),
        Data::U16(v) => copy!(v),
        Data::I16(v) => copy!(v),
        Data::U32(v) => copy!(v),
        Data::I32(v) => copy!(v),
        Data::U64(v) => copy!(v),
        Data::I64(v) => copy!(v),
        Data::Bool(v) => copy!(v),
        Data::String(_) => return Err(failed("strings have no memory that could be written to")),
    }
    Ok(())
}

/// Adds the tensors of one output: itself, or a table of scores and its keys.
pub(super) fn from_value(name: &str, kind: Kind, value: &DynValue, into: &mut Vec<Tensor>) -> Result<()> {
    match kind {
        Kind::Tensor { element, .. } => into.push(from_tensor(name, element, value)?),
        Kind::Maps { key, value: score } => into.extend(from_maps(name, key, score, value)?),
        Kind::Other => {}
    }
    Ok(())
}

fn from_tensor(name: &str, ty: ElementType, value: &DynValue) -> Result<Tensor> {
    macro_rules! copy {
        ($variant:ident, $t:ty) => {{
            let (shape, data) = value.try_extract_tensor::<$t>().map_err(failed)?;
            (shape.to_vec(), Data::$variant(data.to_vec()))
        }};
    }
    let (shape, data) = match ty {
        ElementType::F32 => copy!(F32, f32),
        ElementType::F64 => copy!(F64, f64),
        ElementType::F16 => copy!(F16, half::f16),
        ElementType::BF16 => copy!(BF16, half::bf16),
        ElementType::U8 => copy!(U8, u8),
        ElementType::I8 => copy!(I8, i8),
        ElementType::U16 => copy!(U16, u16),
        ElementType::I16 => copy!(I16, i16),
        ElementType::U32 => copy!(U32, u32),
        ElementType::I32 => copy!(I32, i32),
        ElementType::U64 => copy!(U64, u64),
        ElementType::I64 => copy!(I64, i64),
        ElementType::Bool => copy!(Bool, bool),
        ElementType::String => {
            let (shape, strings) = value.try_extract_strings().map_err(failed)?;
            (shape.to_vec(), Data::String(strings))
        }
    };
    Ok(Tensor { name: name.to_owned(), shape, data })
}

/// `NAME` [rows, classes] and `NAME.keys` [classes].
fn from_maps(name: &str, key: ElementType, score: ElementType, value: &DynValue) -> Result<[Tensor; 2]> {
    let maps =
        value.view().downcast::<DynSequenceValueType>().map_err(failed)?.try_extract_sequence::<DynMapValueType>().map_err(failed)?;
    macro_rules! table {
        ($key:ident, $k:ty, $score:ident, $s:ty) => {{
            let rows = maps.iter().map(|map| map.try_extract_key_values::<$k, $s>().map_err(failed)).collect::<Result<Vec<_>>>()?;
            let (keys, scores) = table(name, rows)?;
            (Data::$key(keys), Data::$score(scores))
        }};
    }
    let (keys, scores) = match (key, score) {
        (ElementType::String, ElementType::F64) => table!(String, String, F64, f64),
        (ElementType::String, _) => table!(String, String, F32, f32),
        (_, ElementType::F64) => table!(I64, i64, F64, f64),
        _ => table!(I64, i64, F32, f32),
    };
    let classes = keys.len() as i64;
    Ok([
        Tensor { name: name.to_owned(), shape: vec![maps.len() as i64, classes], data: scores },
        Tensor { name: format!("{name}.keys"), shape: vec![classes], data: keys },
    ])
}

/// The keys of the first row, and every row's scores in their order.
fn table<K: PartialEq, S>(name: &str, rows: Vec<Vec<(K, S)>>) -> Result<(Vec<K>, Vec<S>)> {
    let mut keys: Option<Vec<K>> = None;
    let mut scores = Vec::new();
    for row in rows {
        let (these, values): (Vec<K>, Vec<S>) = row.into_iter().unzip();
        match &keys {
            None => keys = Some(these),
            Some(first) if *first == these => {}
            Some(_) => return Err(failed(format!("the maps of output `{name}` have different keys, which is no table"))),
        }
        scores.extend(values);
    }
    Ok((keys.unwrap_or_default(), scores))
}

fn element_type(ty: TensorElementType) -> Option<ElementType> {
    Some(match ty {
        TensorElementType::Float32 => ElementType::F32,
        TensorElementType::Float64 => ElementType::F64,
        TensorElementType::Float16 => ElementType::F16,
        TensorElementType::Bfloat16 => ElementType::BF16,
        TensorElementType::Uint8 => ElementType::U8,
        TensorElementType::Int8 => ElementType::I8,
        TensorElementType::Uint16 => ElementType::U16,
        TensorElementType::Int16 => ElementType::I16,
        TensorElementType::Uint32 => ElementType::U32,
        TensorElementType::Int32 => ElementType::I32,
        TensorElementType::Uint64 => ElementType::U64,
        TensorElementType::Int64 => ElementType::I64,
        TensorElementType::Bool => ElementType::Bool,
        TensorElementType::String => ElementType::String,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_maps_become_a_table_when_their_keys_agree() {
        let (keys, scores) = table("p", vec![vec![("a", 0.25), ("b", 0.75)], vec![("a", 1.0), ("b", 0.0)]]).unwrap();
        assert_eq!((keys, scores), (vec!["a", "b"], vec![0.25, 0.75, 1.0, 0.0]));
        assert_eq!(table::<i64, f32>("p", vec![]).unwrap(), (vec![], vec![]));
        let error = table("p", vec![vec![(1, 0.5)], vec![(2, 0.5)]]).unwrap_err().to_string();
        assert!(error.contains("`p` have different keys"), "{error}");
    }
}
