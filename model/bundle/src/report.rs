//! What a graph consists of and about what it costs, from its protobuf alone.
//!
//! Weights are stepped over, as for the [schema](crate::OnnxSchema); nodes are read one by one. The cost is that of one run
//! with every open dimension at 1: multiply-accumulates of convolutions and matrix products, which are nearly all
//! there is in the networks robots run. Shapes are those the graph states, followed through the common operators. What
//! could not be estimated is named, never guessed.

use prost::Message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use crate::Result;
use crate::onnx::{Kind, Wire};

mod cost;

use cost::Shapes;

/// What a graph consists of, and about what it costs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphReport {
    /// Nodes of the graph; those inside of control flow are not counted.
    pub nodes: u64,
    /// Operator to how often it is used. One of another operator set has that before its name: `ai.onnx.ml.Scaler`.
    pub operators: BTreeMap<String, u64>,
    /// Weights: elements of all initialisers.
    pub parameters: u64,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    /// Convolutions, matrix products and control flow whose cost could not be told, to how many.
    pub unestimated: BTreeMap<String, u64>,
}

impl GraphReport {
    /// Report of a model that streams by.
    ///
    /// # Errors
    /// [`Error::Onnx`](crate::Error::Onnx) when it is no whole ONNX model or cannot be read.
    pub fn read(reader: impl Read) -> Result<Self> {
        let mut wire = Wire::new(BufReader::with_capacity(1 << 16, reader));
        let mut report = GraphReport::default();
        while let Some(field) = wire.next_field(u64::MAX, "model")? {
            match (field.number, field.kind) {
                (7, Kind::Bytes(len)) => read_graph(&mut wire, len, &mut report)?,
                (_, kind) => wire.skip_kind(kind, "model")?,
            }
        }
        Ok(report)
    }
}

/// A node larger than this holds a tensor; what it is called is read and the rest stepped over.
const MAX_NODE_BYTES: u64 = 1 << 18;
/// Constants that say how something is reshaped are this small.
const MAX_INDEX_BYTES: u64 = 1 << 10;

fn read_graph(wire: &mut Wire<impl BufRead>, len: u64, report: &mut GraphReport) -> Result<()> {
    let end = wire.position().saturating_add(len);
    let mut nodes = Vec::new();
    let mut shapes = Shapes::default();
    while let Some(field) = wire.next_field(end, "graph")? {
        match (field.number, field.kind) {
            (1, Kind::Bytes(len)) if len <= MAX_NODE_BYTES => nodes.push(wire.message::<Node>(len, "graph.node")?),
            (1, Kind::Bytes(len)) => nodes.push(read_large_node(wire, len)?),
            (5, Kind::Bytes(len)) => {
                let weight = read_weight(wire, len)?;
                let elements = weight.dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(u64::try_from(*dim).ok()?));
                report.parameters = report.parameters.saturating_add(elements.unwrap_or(0));
                shapes.weight(weight);
            }
            (11..=13, Kind::Bytes(len)) => shapes.stated(&wire.message(len, "graph.value_info")?),
            (_, kind) => wire.skip_kind(kind, "graph")?,
        }
    }
    for node in &nodes {
        report.nodes += 1;
        let name = match node.domain.as_str() {
            "" | "ai.onnx" => node.op_type.clone(),
            domain => format!("{domain}.{}", node.op_type),
        };
        match shapes.through(node) {
            Some(macs) => report.macs = report.macs.saturating_add(macs),
            None => *report.unestimated.entry(name.clone()).or_default() += 1,
        }
        *report.operators.entry(name).or_default() += 1;
    }
    Ok(())
}

/// Names and domain of a node whose attributes are large.
fn read_large_node(wire: &mut Wire<impl BufRead>, len: u64) -> Result<Node> {
    const WHERE: &str = "graph.node";
    let end = wire.position().saturating_add(len);
    let mut node = Node::default();
    while let Some(field) = wire.next_field(end, WHERE)? {
        match (field.number, field.kind) {
            (1, Kind::Bytes(len)) => node.input.push(wire.text(len, WHERE)?),
            (2, Kind::Bytes(len)) => node.output.push(wire.text(len, WHERE)?),
            (4, Kind::Bytes(len)) => node.op_type = wire.text(len, WHERE)?,
            (7, Kind::Bytes(len)) => node.domain = wire.text(len, WHERE)?,
            (_, kind) => wire.skip_kind(kind, WHERE)?,
        }
    }
    Ok(node)
}

/// Name and dimensions of a weight tensor, and its values if it is a small list of indices.
struct Weight {
    name: String,
    dims: Vec<i64>,
    values: Vec<i64>,
}

fn read_weight(wire: &mut Wire<impl BufRead>, len: u64) -> Result<Weight> {
    const WHERE: &str = "graph.initializer";
    if len <= MAX_INDEX_BYTES {
        let tensor: Tensor = wire.message(len, WHERE)?;
        let values = tensor.values();
        return Ok(Weight { name: tensor.name, dims: tensor.dims, values });
    }
    let end = wire.position().saturating_add(len);
    let mut weight = Weight { name: String::new(), dims: Vec::new(), values: Vec::new() };
    while let Some(field) = wire.next_field(end, WHERE)? {
        match (field.number, field.kind) {
            (1, Kind::Varint(dim)) => weight.dims.push(dim.cast_signed()),
            (1, Kind::Bytes(len)) => {
                // Packed: as a field of its own kind it is read as any message with one field.
                let packed = wire.held(len, WHERE)?;
                let mut rest = packed.as_slice();
                while let Ok(dim) = prost::encoding::decode_varint(&mut rest) {
                    weight.dims.push(dim.cast_signed());
                }
            }
            (8, Kind::Bytes(len)) => weight.name = wire.text(len, WHERE)?,
            (_, kind) => wire.skip_kind(kind, WHERE)?,
        }
    }
    Ok(weight)
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(bytes = "vec", tag = "4")]
    s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    t: Option<Tensor>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(int64, repeated, tag = "7")]
    int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

impl Tensor {
    /// Its values, if they are 64-bit integers.
    fn values(&self) -> Vec<i64> {
        const INT64: i32 = 7;
        if self.data_type != INT64 {
            return Vec::new();
        }
        if !self.int64_data.is_empty() {
            return self.int64_data.clone();
        }
        self.raw_data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(number: u8, content: &[u8]) -> Vec<u8> {
        let mut length = Vec::new();
        prost::encoding::encode_varint(content.len() as u64, &mut length);
        [&[number << 3 | 2], length.as_slice(), content].concat()
    }

    fn ints(name: &str, ints: &[i64]) -> Attribute {
        Attribute { name: name.into(), ints: ints.to_vec(), ..Attribute::default() }
    }

    fn node(op_type: &str, input: &[&str], output: &str, attribute: Vec<Attribute>) -> Vec<u8> {
        let input = input.iter().map(|name| (*name).to_owned()).collect();
        let node = Node { input, output: vec![output.into()], op_type: op_type.into(), attribute, domain: String::new() };
        held(1, &node.encode_to_vec())
    }

    fn weight(name: &str, dims: &[i64], raw_bytes: usize) -> Vec<u8> {
        let tensor = Tensor { dims: dims.to_vec(), data_type: 1, name: name.into(), raw_data: vec![0; raw_bytes], ..Tensor::default() };
        held(5, &tensor.encode_to_vec())
    }

    /// `input` of float32 with these dimensions; 0 is an open one.
    fn input(name: &str, dims: &[u8]) -> Vec<u8> {
        let dims = dims.iter().flat_map(|dim| held(1, &if *dim == 0 { held(2, b"batch") } else { vec![8, *dim] })).collect::<Vec<_>>();
        let tensor = [vec![8, 1], held(2, &dims)].concat();
        held(11, &[held(1, name.as_bytes()), held(2, &held(1, &tensor))].concat())
    }

    fn report(graph: &[Vec<u8>]) -> GraphReport {
        GraphReport::read(held(7, &graph.concat()).as_slice()).unwrap()
    }

    #[test]
    fn a_small_network_is_counted_and_costed() {
        let turned = Attribute { name: "transB".into(), i: 1, ..Attribute::default() };
        let found = report(&[
            node("Conv", &["x", "w"], "a", vec![ints("pads", &[1, 1, 1, 1]), ints("kernel_shape", &[3, 3])]),
            node("Relu", &["a"], "b", vec![]),
            node("MaxPool", &["b"], "c", vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])]),
            node("Flatten", &["c"], "d", vec![]),
            node("Gemm", &["d", "v", "bias"], "y", vec![turned]),
            weight("w", &[16, 3, 3, 3], 16 * 27 * 4),
            weight("v", &[10, 4096], 10 * 4096 * 4),
            weight("bias", &[10], 40),
            input("x", &[0, 3, 32, 32]),
        ]);
        assert_eq!((found.nodes, found.parameters), (5, 16 * 27 + 10 * 4096 + 10));
        assert_eq!(found.macs, 16 * 27 * 32 * 32 + 10 * 4096);
        assert!(found.unestimated.is_empty(), "{found:?}");
        assert_eq!(found.operators.keys().collect::<Vec<_>>(), ["Conv", "Flatten", "Gemm", "MaxPool", "Relu"]);
    }

    #[test]
    fn strides_groups_reshapes_and_batches_of_matrices_are_followed() {
        let grouped = vec![ints("strides", &[2, 2]), ints("kernel_shape", &[3, 3])];
        let shape = Tensor { dims: vec![3], data_type: 7, int64_data: vec![0, 4, -1], name: "s".into(), ..Tensor::default() };
        let found = report(&[
            // Depthwise: 8 channels, 9 weights each, 5 by 5 places.
            node("Conv", &["x", "w"], "a", grouped),
            // [1, 8, 5, 5] to [1, 4, 50], times [50, 7].
            node("Reshape", &["a", "s"], "b", vec![]),
            node("MatMul", &["b", "m"], "y", vec![]),
            weight("w", &[8, 1, 3, 3], 8 * 9 * 4),
            weight("m", &[50, 7], 50 * 7 * 4),
            held(5, &shape.encode_to_vec()),
            input("x", &[0, 8, 12, 12]),
        ]);
        assert_eq!(found.macs, 8 * 9 * 25 + 4 * 50 * 7);
        assert!(found.unestimated.is_empty(), "{found:?}");
    }

    #[test]
    fn what_cannot_be_estimated_is_named() {
        let found = report(&[
            node("Mystery", &["x"], "a", vec![]),
            node("Conv", &["a", "w"], "b", vec![]),
            node("LSTM", &["b"], "c", vec![]),
            weight("w", &[4, 3, 1, 1], 48),
            input("x", &[0, 3, 8, 8]),
        ]);
        assert_eq!(found.unestimated.into_iter().collect::<Vec<_>>(), [("Conv".to_owned(), 1), ("LSTM".to_owned(), 1)]);
        assert_eq!(found.macs, 0);
    }

    #[test]
    fn sizes_beyond_all_reason_do_not_wrap() {
        let found = report(&[
            node("MatMul", &["a", "b"], "y", vec![]),
            weight("a", &[i64::MAX, i64::MAX], 0),
            weight("b", &[i64::MAX, i64::MAX, -4], 0),
        ]);
        assert_eq!((found.macs, found.unestimated["MatMul"]), (0, 1));
    }
}
