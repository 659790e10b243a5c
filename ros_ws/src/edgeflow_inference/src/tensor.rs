//! Named tensors in the engine's own terms, so that neither the runtime's value types nor ROS messages leak into
//! pre- and post-processing.

use crate::{Error, Result};

/// Element types this engine moves, numbered as `onnx.TensorProto.DataType` (and as `edgeflow_msgs/Tensor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum ElementType {
    F32 = 1,
    U8 = 2,
    I8 = 3,
    U16 = 4,
    I16 = 5,
    I32 = 6,
    I64 = 7,
    String = 8,
    Bool = 9,
    F64 = 11,
    U32 = 12,
    U64 = 13,
}

impl ElementType {
    /// From the ONNX number; `None` for types the engine does not move (float16, complex, ...).
    pub fn from_onnx(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            4 => Self::U16,
            5 => Self::I16,
            6 => Self::I32,
            7 => Self::I64,
            8 => Self::String,
            9 => Self::Bool,
            11 => Self::F64,
            12 => Self::U32,
            13 => Self::U64,
            _ => return None,
        })
    }

    /// The ONNX number.
    pub fn onnx(self) -> u8 {
        self as u8
    }

    /// Bytes per element; `None` for strings.
    pub fn size_bytes(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::F32 | Self::I32 | Self::U32 => Some(4),
            Self::F64 | Self::I64 | Self::U64 => Some(8),
            Self::String => None,
        }
    }
}

impl std::fmt::Display for ElementType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::U16 => "uint16",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::String => "string",
            Self::Bool => "bool",
            Self::F64 => "float64",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
        })
    }
}

/// The elements of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    String(Vec<String>),
}

/// Runs one expression for whichever vector the data holds.
macro_rules! each {
    ($data:expr, $v:ident => $e:expr) => {
        match $data {
            Data::F32($v) => $e,
            Data::F64($v) => $e,
            Data::U8($v) => $e,
            Data::I8($v) => $e,
            Data::U16($v) => $e,
            Data::I16($v) => $e,
            Data::U32($v) => $e,
            Data::I32($v) => $e,
            Data::U64($v) => $e,
            Data::I64($v) => $e,
            Data::Bool($v) => $e,
            Data::String($v) => $e,
        }
    };
}

/// Little-endian bytes of a vector of numbers, and back.
macro_rules! le {
    (out $v:expr) => {
        $v.iter().flat_map(|x| x.to_le_bytes()).collect()
    };
    ($variant:ident, $t:ty, $bytes:expr) => {{
        let (chunks, _) = $bytes.as_chunks::<{ size_of::<$t>() }>();
        Data::$variant(chunks.iter().map(|c| <$t>::from_le_bytes(*c)).collect())
    }};
}

impl Data {
    /// Type of the elements.
    pub fn element_type(&self) -> ElementType {
        match self {
            Self::F32(_) => ElementType::F32,
            Self::F64(_) => ElementType::F64,
            Self::U8(_) => ElementType::U8,
            Self::I8(_) => ElementType::I8,
            Self::U16(_) => ElementType::U16,
            Self::I16(_) => ElementType::I16,
            Self::U32(_) => ElementType::U32,
            Self::I32(_) => ElementType::I32,
            Self::U64(_) => ElementType::U64,
            Self::I64(_) => ElementType::I64,
            Self::Bool(_) => ElementType::Bool,
            Self::String(_) => ElementType::String,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `len` zeros, `false`s or empty strings.
    pub fn zeros(ty: ElementType, len: usize) -> Self {
        match ty {
            ElementType::F32 => Self::F32(vec![0.0; len]),
            ElementType::F64 => Self::F64(vec![0.0; len]),
            ElementType::U8 => Self::U8(vec![0; len]),
            ElementType::I8 => Self::I8(vec![0; len]),
            ElementType::U16 => Self::U16(vec![0; len]),
            ElementType::I16 => Self::I16(vec![0; len]),
            ElementType::U32 => Self::U32(vec![0; len]),
            ElementType::I32 => Self::I32(vec![0; len]),
            ElementType::U64 => Self::U64(vec![0; len]),
            ElementType::I64 => Self::I64(vec![0; len]),
            ElementType::Bool => Self::Bool(vec![false; len]),
            ElementType::String => Self::String(vec![String::new(); len]),
        }
    }

    /// The elements as little-endian bytes; empty for strings.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(v) => le!(out v),
            Self::F64(v) => le!(out v),
            Self::U8(v) => v.clone(),
            Self::I8(v) => le!(out v),
            Self::U16(v) => le!(out v),
            Self::I16(v) => le!(out v),
            Self::U32(v) => le!(out v),
            Self::I32(v) => le!(out v),
            Self::U64(v) => le!(out v),
            Self::I64(v) => le!(out v),
            Self::Bool(v) => v.iter().map(|b| u8::from(*b)).collect(),
            Self::String(_) => Vec::new(),
        }
    }
}

/// A named tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The graph's name of the input or output.
    pub name: String,
    /// Dimensions in elements; empty for a scalar.
    pub shape: Vec<i64>,
    /// The elements; as many as the shape says.
    pub data: Data,
}

impl Tensor {
    /// A tensor whose data fits its shape.
    pub fn new(name: impl Into<String>, shape: Vec<i64>, data: Data) -> Result<Self> {
        let name = name.into();
        match element_count(&shape) {
            Some(n) if n == data.len() => Ok(Self { name, shape, data }),
            Some(n) => {
                let reason = format!("shape {shape:?} has {n} elements, but {} were given", data.len());
                Err(Error::Tensor { name, reason })
            }
            None => Err(Error::Tensor { name, reason: format!("shape {shape:?} has a negative dimension or is too large") }),
        }
    }

    /// From the wire form: ONNX type number, little-endian bytes, or strings for the string type.
    pub fn from_wire(name: &str, dtype: u8, shape: &[i64], bytes: &[u8], strings: &[String]) -> Result<Self> {
        let refuse = |reason: String| Error::Tensor { name: name.to_owned(), reason };
        let Some(ty) = ElementType::from_onnx(i32::from(dtype)) else {
            return Err(refuse(format!("element type {dtype} is not supported; give one of 1-9 or 11-13 (onnx.TensorProto.DataType)")));
        };
        let count = element_count(shape).ok_or_else(|| refuse(format!("shape {shape:?} has a negative dimension or is too large")))?;
        let data = match ty.size_bytes() {
            None => {
                if !bytes.is_empty() {
                    return Err(refuse("string tensors carry `strings`, not `data`".into()));
                }
                Data::String(strings.to_vec())
            }
            Some(size) => {
                if Some(bytes.len()) != count.checked_mul(size) {
                    return Err(refuse(format!("shape {shape:?} of {ty} needs {count} x {size} bytes, but data has {}", bytes.len())));
                }
                decode(ty, bytes)
            }
        };
        Self::new(name, shape.to_vec(), data)
    }

    /// The elements widened to `f64` when they are numbers.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        Some(match &self.data {
            Data::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Data::F64(v) => v.clone(),
            _ => return None,
        })
    }
}

fn decode(ty: ElementType, bytes: &[u8]) -> Data {
    match ty {
        ElementType::F32 => le!(F32, f32, bytes),
        ElementType::F64 => le!(F64, f64, bytes),
        ElementType::U8 => Data::U8(bytes.to_vec()),
        ElementType::I8 => le!(I8, i8, bytes),
        ElementType::U16 => le!(U16, u16, bytes),
        ElementType::I16 => le!(I16, i16, bytes),
        ElementType::U32 => le!(U32, u32, bytes),
        ElementType::I32 => le!(I32, i32, bytes),
        ElementType::U64 => le!(U64, u64, bytes),
        ElementType::I64 => le!(I64, i64, bytes),
        ElementType::Bool => Data::Bool(bytes.iter().map(|b| *b != 0).collect()),
        ElementType::String => Data::String(Vec::new()),
    }
}

/// Number of elements of a shape; `None` when a dimension is negative or the product overflows.
pub fn element_count(shape: &[i64]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(*d).ok()?))
}

/// Name, type and shape of a graph input or output as the runtime states it.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// The graph's name.
    pub name: String,
    /// Element type; `None` when it is no tensor, or of a type the engine does not move.
    pub element_type: Option<ElementType>,
    /// Type in words, for messages.
    pub type_name: String,
    /// Dimensions; -1 where the graph leaves one open.
    pub shape: Vec<i64>,
}

impl TensorSpec {
    /// Checks a tensor against this input.
    pub fn check(&self, tensor: &Tensor) -> Result<()> {
        let refuse = |reason: String| Error::Tensor { name: self.name.clone(), reason };
        let given = tensor.data.element_type();
        if self.element_type != Some(given) {
            return Err(refuse(format!("expected {}, got {given}", self.type_name)));
        }
        let fits = self.shape.len() == tensor.shape.len() && self.shape.iter().zip(&tensor.shape).all(|(e, g)| *e < 0 || e == g);
        if !fits {
            return Err(refuse(format!("expected shape {:?} (-1 is free), got {:?}", self.shape, tensor.shape)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_form_goes_there_and_back() {
        let data = [
            Data::F32(vec![1.5, f32::NAN.copysign(-1.0), -0.0]),
            Data::F64(vec![1e300, -2.0, 0.1]),
            Data::U8(vec![0, 1, 255]),
            Data::I8(vec![-128, 0, 127]),
            Data::U16(vec![1, 2, 65535]),
            Data::I16(vec![-1, 2, -32768]),
            Data::U32(vec![1, 2, u32::MAX]),
            Data::I32(vec![1, 2, i32::MIN]),
            Data::U64(vec![1, 2, u64::MAX]),
            Data::I64(vec![1, 2, i64::MIN]),
            Data::Bool(vec![true, false, true]),
        ];
        for d in data {
            let bytes = d.to_le_bytes();
            let back = Tensor::from_wire("x", d.element_type().onnx(), &[1, 3], &bytes, &[]).unwrap();
            assert_eq!(back.data.to_le_bytes(), bytes, "{}", d.element_type());
            assert_eq!(back.data.element_type(), d.element_type());
        }
        let strings = ["a".to_owned(), String::new()];
        let back = Tensor::from_wire("s", 8, &[2], &[], &strings).unwrap();
        assert_eq!(back.data, Data::String(strings.to_vec()));
    }

    #[test]
    fn malformed_tensors_are_named() {
        let cases: [(u8, &[i64], usize, &str); 5] = [
            (10, &[1], 2, "element type 10 is not supported"),
            (1, &[2], 7, "needs 2 x 4 bytes, but data has 7"),
            (1, &[-1], 4, "negative dimension"),
            (1, &[i64::MAX, 4], 4, "too large"),
            (8, &[1], 1, "carry `strings`"),
        ];
        for (dtype, shape, len, want) in cases {
            let err = Tensor::from_wire("pixels", dtype, shape, &vec![0; len], &[]).unwrap_err().to_string();
            assert!(err.contains("`pixels`") && err.contains(want), "{err}");
        }
    }

    #[test]
    fn a_tensor_is_checked_against_the_graph() {
        let spec = TensorSpec { name: "X".into(), element_type: Some(ElementType::F32), type_name: "float32".into(), shape: vec![-1, 64] };
        spec.check(&Tensor::new("X", vec![7, 64], Data::zeros(ElementType::F32, 448)).unwrap()).unwrap();
        let wrong_type = spec.check(&Tensor::new("X", vec![1, 64], Data::zeros(ElementType::F64, 64)).unwrap()).unwrap_err();
        assert!(wrong_type.to_string().contains("expected float32, got float64"), "{wrong_type}");
        let wrong_shape = spec.check(&Tensor::new("X", vec![64], Data::zeros(ElementType::F32, 64)).unwrap()).unwrap_err();
        assert!(wrong_shape.to_string().contains("expected shape [-1, 64] (-1 is free), got [64]"), "{wrong_shape}");
    }
}
