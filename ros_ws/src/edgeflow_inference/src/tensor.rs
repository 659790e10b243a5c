//! Named tensors in the engine's own terms, so that neither the runtime's value types nor ROS messages leak into
//! pre- and post-processing.

use half::{bf16, f16};

use crate::{Error, Result};

macro_rules! element_types {
    ($($variant:ident = $code:literal, $name:literal, $type:ty, $zero:expr;)+) => {
        /// Element types this engine moves, numbered as `onnx.TensorProto.DataType` (and as `edgeflow_msgs/Tensor`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the names say it")]
        pub enum ElementType { $($variant = $code),+ }

        /// The elements of a tensor, row-major.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the names say it")]
        pub enum Data { $($variant(Vec<$type>)),+ }

        impl ElementType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// From the ONNX number; `None` for types the engine does not move (complex, 8 bits of float, fewer than 8 bits).
            pub fn from_onnx(code: i32) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// From NumPy's and ONNX's name, such as `float32`.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }

            /// NumPy's and ONNX's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl Data {
            /// Type of the elements.
            pub fn element_type(&self) -> ElementType {
                match self { $(Self::$variant(_) => ElementType::$variant),+ }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self { $(Self::$variant(v) => v.len()),+ }
            }

            /// `len` zeros, `false`s or empty strings.
            pub fn zeros(ty: ElementType, len: usize) -> Self {
                match ty { $(ElementType::$variant => Self::$variant(vec![$zero; len])),+ }
            }

            /// Takes the elements of `other`, which are of the same type, behind its own; `false` when they are not.
            pub fn append(&mut self, other: &Self) -> bool {
                match (self, other) {
                    $((Self::$variant(mine), Self::$variant(more)) => mine.extend_from_slice(more),)+
                    _ => return false,
                }
                true
            }

            /// The elements of a range.
            ///
            /// # Panics
            /// A range beyond the end.
            pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
                match self { $(Self::$variant(v) => Self::$variant(v[range].to_vec())),+ }
            }
        }
    };
}

element_types! {
    F32 = 1, "float32", f32, 0.0;
    U8 = 2, "uint8", u8, 0;
    I8 = 3, "int8", i8, 0;
    U16 = 4, "uint16", u16, 0;
    I16 = 5, "int16", i16, 0;
    I32 = 6, "int32", i32, 0;
    I64 = 7, "int64", i64, 0;
    String = 8, "string", String, String::new();
    Bool = 9, "bool", bool, false;
    F16 = 10, "float16", f16, f16::ZERO;
    F64 = 11, "float64", f64, 0.0;
    U32 = 12, "uint32", u32, 0;
    U64 = 13, "uint64", u64, 0;
    BF16 = 16, "bfloat16", bf16, bf16::ZERO;
}

impl ElementType {
    /// The ONNX number.
    pub fn onnx(self) -> u8 {
        self as u8
    }

    /// Bytes per element; `None` for strings.
    pub fn size_bytes(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => Some(2),
            Self::F32 | Self::I32 | Self::U32 => Some(4),
            Self::F64 | Self::I64 | Self::U64 => Some(8),
            Self::String => None,
        }
    }
}

impl std::fmt::Display for ElementType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Little-endian bytes of a vector of numbers, and back. As arrays first: both ways are one loop over elements of known size,
/// which compiles to a copy.
macro_rules! le {
    (out $v:expr) => {
        $v.iter().map(|x| x.to_le_bytes()).collect::<Vec<_>>().into_flattened()
    };
    ($variant:ident, $t:ty, $bytes:expr) => {{
        let (chunks, _) = $bytes.as_chunks::<{ size_of::<$t>() }>();
        Data::$variant(chunks.iter().map(|c| <$t>::from_le_bytes(*c)).collect())
    }};
}

impl Data {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements of a type from little-endian bytes; what does not fill an element is left. Strings have no such form.
    pub fn from_le_bytes(ty: ElementType, bytes: &[u8]) -> Self {
        match ty {
            ElementType::F32 => le!(F32, f32, bytes),
            ElementType::F64 => le!(F64, f64, bytes),
            ElementType::F16 => le!(F16, f16, bytes),
            ElementType::BF16 => le!(BF16, bf16, bytes),
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

    /// The elements as little-endian bytes; empty for strings.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(v) => le!(out v),
            Self::F64(v) => le!(out v),
            Self::F16(v) => le!(out v),
            Self::BF16(v) => le!(out v),
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

    /// The elements as `f64`; `None` for strings. 64-bit integers beyond 2^53 lose their last digits.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        Some(match self {
            Self::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Self::F64(v) => v.clone(),
            Self::F16(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Self::BF16(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Self::U8(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Self::I8(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Self::U16(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Self::I16(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Self::U32(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Self::I32(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Self::U64(v) => v.iter().map(|x| *x as f64).collect(),
            Self::I64(v) => v.iter().map(|x| *x as f64).collect(),
            Self::Bool(v) => v.iter().map(|x| f64::from(u8::from(*x))).collect(),
            Self::String(_) => return None,
        })
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
            return Err(refuse(format!("element type {dtype} is not supported; give one of 1 to 13 or 16 (onnx.TensorProto.DataType)")));
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
                Data::from_le_bytes(ty, bytes)
            }
        };
        Self::new(name, shape.to_vec(), data)
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
    /// Dimensions; -1 where the graph leaves one open. Empty when the rank is not known.
    pub shape: Vec<i64>,
    /// Whether the graph says how many dimensions there are.
    pub rank_known: bool,
}

impl TensorSpec {
    /// Type and shape in words, for messages.
    pub fn wanted(&self) -> String {
        if self.rank_known {
            format!("{} of shape {:?} (-1 is free)", self.type_name, self.shape)
        } else {
            format!("{} of any shape", self.type_name)
        }
    }

    /// Checks a tensor against this input.
    pub fn check(&self, tensor: &Tensor) -> Result<()> {
        let refuse = |reason: String| Error::Tensor { name: self.name.clone(), reason };
        let given = tensor.data.element_type();
        if self.element_type != Some(given) {
            return Err(refuse(format!("expected {}, got {given} of shape {:?}", self.wanted(), tensor.shape)));
        }
        let fits = !self.rank_known
            || self.shape.len() == tensor.shape.len() && self.shape.iter().zip(&tensor.shape).all(|(e, g)| *e < 0 || e == g);
        if !fits {
            return Err(refuse(format!("expected {}, got {given} of shape {:?}", self.wanted(), tensor.shape)));
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
            Data::F16([1.5, -0.0, f32::INFINITY].map(f16::from_f32).to_vec()),
            Data::BF16([1.5, -0.0, 3e38].map(bf16::from_f32).to_vec()),
        ];
        assert_eq!(data.len() + 1, ElementType::ALL.len(), "all but strings");
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
            (14, &[1], 8, "element type 14 is not supported"),
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
        let spec = TensorSpec {
            name: "X".into(),
            element_type: Some(ElementType::F32),
            type_name: "float32".into(),
            shape: vec![-1, 64],
            rank_known: true,
        };
        spec.check(&Tensor::new("X", vec![7, 64], Data::zeros(ElementType::F32, 448)).unwrap()).unwrap();
        let any = TensorSpec { shape: Vec::new(), rank_known: false, ..spec.clone() };
        any.check(&Tensor::new("X", vec![1, 1, 2], Data::zeros(ElementType::F32, 2)).unwrap()).unwrap();
        let wrong_type = spec.check(&Tensor::new("X", vec![1, 64], Data::zeros(ElementType::F64, 64)).unwrap()).unwrap_err();
        assert!(
            wrong_type.to_string().contains("expected float32 of shape [-1, 64] (-1 is free), got float64 of shape [1, 64]"),
            "{wrong_type}"
        );
        let wrong_shape = spec.check(&Tensor::new("X", vec![64], Data::zeros(ElementType::F32, 64)).unwrap()).unwrap_err();
        assert!(
            wrong_shape.to_string().contains("expected float32 of shape [-1, 64] (-1 is free), got float32 of shape [64]"),
            "{wrong_shape}"
        );
    }
}
