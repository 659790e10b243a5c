//! What a graph takes and gives.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Read;

use crate::{Result, onnx};

/// What an ONNX model says about itself: inputs, outputs, operator set, origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnnxSchema {
    /// What the graph takes, without its initialisers.
    pub inputs: Vec<ValueInfo>,
    /// What the graph gives.
    pub outputs: Vec<ValueInfo>,
    /// Version of the default operator set; 0 when the graph uses none of it.
    pub opset: i64,
    /// Operator sets of other domains, such as `ai.onnx.ml`, with their versions.
    pub domains: Vec<(String, i64)>,
    /// Program that wrote the model, as it calls itself; may be empty.
    pub producer: String,
    /// Its version; may be empty.
    pub producer_version: String,
    /// Version of the ONNX format.
    pub ir_version: i64,
    /// Key and value pairs the exporter attached.
    pub metadata: Vec<(String, String)>,
}

impl OnnxSchema {
    /// Schema of a model in memory. Weights are stepped over, never copied.
    ///
    /// # Errors
    /// [`Error::Onnx`](crate::Error::Onnx) when the bytes are no whole ONNX model.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        onnx::read_schema(bytes)
    }

    /// Schema of a model that streams by; reads to the end and holds names and shapes only.
    ///
    /// # Errors
    /// [`Error::Onnx`](crate::Error::Onnx) when it is no whole ONNX model or cannot be read.
    pub fn read(reader: impl Read) -> Result<Self> {
        onnx::read_schema(reader)
    }

    /// Input of that name.
    pub fn input(&self, name: &str) -> Option<&ValueInfo> {
        self.inputs.iter().find(|value| value.name == name)
    }

    /// Output of that name.
    pub fn output(&self, name: &str) -> Option<&ValueInfo> {
        self.outputs.iter().find(|value| value.name == name)
    }
}

/// Name, type and shape of one graph input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueInfo {
    /// Name in the graph.
    pub name: String,
    /// Whether it is a tensor.
    pub kind: ValueKind,
    /// Element type: of the tensor, of a sequence's tensors, of a map's values.
    pub elem_type: ElemType,
    /// Dimensions in elements; `None` (JSON `null`) where the graph leaves one open. Empty for a scalar and for what is no tensor.
    pub shape: Vec<Option<i64>>,
    /// Whether the graph says how many dimensions there are. When not, `shape` is empty and means nothing.
    pub rank_known: bool,
}

impl fmt::Display for ValueInfo {
    /// `X: float32[?, 64]`, as error messages say it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match self.kind {
            ValueKind::Tensor => write!(f, "{}", self.elem_type)?,
            other => write!(f, "{} of {}", other.name(), self.elem_type)?,
        }
        if self.kind == ValueKind::Tensor && self.rank_known {
            let dims: Vec<String> = self.shape.iter().map(|dim| dim.map_or_else(|| "?".to_owned(), |d| d.to_string())).collect();
            write!(f, "[{}]", dims.join(", "))?;
        }
        Ok(())
    }
}

/// What sort of value an input or output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// A dense tensor.
    Tensor,
    /// A sparse tensor.
    SparseTensor,
    /// A sequence, such as scikit-learn's list of maps.
    Sequence,
    /// A map.
    Map,
    /// A value that may be absent.
    Optional,
}

impl ValueKind {
    /// Its name in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            ValueKind::Tensor => "tensor",
            ValueKind::SparseTensor => "sparse_tensor",
            ValueKind::Sequence => "sequence",
            ValueKind::Map => "map",
            ValueKind::Optional => "optional",
        }
    }
}

macro_rules! elem_types {
    ($($variant:ident = $code:literal $name:literal),+ $(,)?) => {
        /// Element type of a tensor, numbered as `onnx.TensorProto.DataType`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "the names say it")]
        pub enum ElemType { $(#[serde(rename = $name)] $variant = $code),+ }

        impl ElemType {
            /// Type of an ONNX number; `None` when this version does not know it.
            pub fn from_code(code: i32) -> Option<Self> {
                match code { $($code => Some(ElemType::$variant),)+ _ => None }
            }

            /// Its name, as NumPy and ONNX say it.
            pub fn name(self) -> &'static str {
                match self { $(ElemType::$variant => $name),+ }
            }
        }
    };
}

elem_types! {
    Undefined = 0 "undefined",
    Float32 = 1 "float32",
    Uint8 = 2 "uint8",
    Int8 = 3 "int8",
    Uint16 = 4 "uint16",
    Int16 = 5 "int16",
    Int32 = 6 "int32",
    Int64 = 7 "int64",
    String = 8 "string",
    Bool = 9 "bool",
    Float16 = 10 "float16",
    Float64 = 11 "float64",
    Uint32 = 12 "uint32",
    Uint64 = 13 "uint64",
    Complex64 = 14 "complex64",
    Complex128 = 15 "complex128",
    Bfloat16 = 16 "bfloat16",
    Float8E4M3Fn = 17 "float8e4m3fn",
    Float8E4M3Fnuz = 18 "float8e4m3fnuz",
    Float8E5M2 = 19 "float8e5m2",
    Float8E5M2Fnuz = 20 "float8e5m2fnuz",
    Uint4 = 21 "uint4",
    Int4 = 22 "int4",
    Float4E2M1 = 23 "float4e2m1",
    Float8E8M0 = 24 "float8e8m0",
    Uint2 = 25 "uint2",
    Int2 = 26 "int2",
}

impl ElemType {
    /// Its number in ONNX, which is also `edgeflow_msgs/Tensor`'s.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for ElemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
