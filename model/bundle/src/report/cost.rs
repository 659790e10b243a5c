//! Shapes, followed through the operators that networks for robots are made of, and the multiply-accumulates on the way.

use std::collections::HashMap;

use super::{Node, Weight};
use crate::onnx::ValueInfoProto;

/// A tensor's dimensions; open ones are 1.
type Shape = Vec<u64>;

/// What is known of the tensors of a graph.
#[derive(Default)]
pub(super) struct Shapes {
    known: HashMap<String, Shape>,
    /// Small constants: how something is reshaped.
    constants: HashMap<String, Vec<i64>>,
}

/// Operators that give what they take, element by element.
const SAME: [&str; 40] = [
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Tanh",
    "Elu",
    "Selu",
    "Softplus",
    "Softsign",
    "Gelu",
    "Clip",
    "Softmax",
    "LogSoftmax",
    "BatchNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "GroupNormalization",
    "LRN",
    "Dropout",
    "Identity",
    "Cast",
    "Abs",
    "Neg",
    "Exp",
    "Log",
    "Sqrt",
    "Reciprocal",
    "Floor",
    "Ceil",
    "Round",
    "Erf",
    "Sign",
    "Not",
    "QuantizeLinear",
    "DequantizeLinear",
    "LpNormalization",
    "Mish",
    "CumSum",
];
/// Operators that stretch what they take to each other.
const BROADCAST: [&str; 14] = ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "Where", "Equal", "Greater", "Less", "And"];
/// Operators that cost what cannot be told from shapes.
const OPAQUE: [&str; 12] =
    ["If", "Loop", "Scan", "LSTM", "GRU", "RNN", "Einsum", "DeformConv", "Attention", "MultiHeadAttention", "Conv", "ConvTranspose"];

fn product(dims: &[u64]) -> Option<u64> {
    dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim))
}

impl Node {
    fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.ints.as_slice())
    }

    fn int(&self, name: &str, usual: i64) -> i64 {
        self.attribute.iter().find(|attribute| attribute.name == name).map_or(usual, |attribute| attribute.i)
    }

    fn text(&self, name: &str) -> &[u8] {
        self.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.s.as_slice()).unwrap_or_default()
    }

    fn is(&self, operators: &[&str]) -> bool {
        operators.contains(&self.op_type.as_str())
    }
}

impl Shapes {
    pub(super) fn weight(&mut self, weight: Weight) {
        let dims = weight.dims.iter().map(|dim| u64::try_from(*dim).unwrap_or(1)).collect();
        self.known.insert(weight.name.clone(), dims);
        if !weight.values.is_empty() {
            self.constants.insert(weight.name, weight.values);
        }
    }

    /// What the graph says of an input, an output or a value between.
    pub(super) fn stated(&mut self, value: &ValueInfoProto) {
        if let Some(dims) = value.lengths() {
            let dims = dims.into_iter().map(|dim| dim.and_then(|dim| u64::try_from(dim).ok()).unwrap_or(1)).collect();
            self.known.entry(value.name().to_owned()).or_insert(dims);
        }
    }

    fn input(&self, node: &Node, index: usize) -> Option<&Shape> {
        self.known.get(node.input.get(index)?)
    }

    /// Follows a node: the shape of what it gives is noted if it can be told. Answers its multiply-accumulates, 0 of
    /// what has none to speak of, `None` of what has but cannot be estimated.
    pub(super) fn through(&mut self, node: &Node) -> Option<u64> {
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            // Classical models: trees and tables, whose cost is not in multiplications.
            return Some(0);
        }
        if node.op_type == "Constant" {
            self.constant(node);
            return Some(0);
        }
        let (shape, macs) = match node.op_type.as_str() {
            "Conv" | "ConvInteger" | "QLinearConv" => self.conv(node).map_or((None, None), |(shape, macs)| (Some(shape), Some(macs))),
            "ConvTranspose" => self.conv_transpose(node).map_or((None, None), |(shape, macs)| (Some(shape), Some(macs))),
            "Gemm" => self.gemm(node).map_or((None, None), |(shape, macs)| (Some(shape), Some(macs))),
            "MatMul" | "MatMulInteger" | "QLinearMatMul" => {
                self.matmul(node).map_or((None, None), |(shape, macs)| (Some(shape), Some(macs)))
            }
            _ => (self.shape_of(node), (!node.is(&OPAQUE)).then_some(0)),
        };
        if let (Some(shape), Some(output)) = (shape, node.output.first()) {
            self.known.insert(output.clone(), shape);
        }
        macs
    }

    fn constant(&mut self, node: &Node) {
        let Some(output) = node.output.first() else { return };
        if let Some(tensor) = node.attribute.iter().find_map(|attribute| attribute.t.as_ref()) {
            self.known.insert(output.clone(), tensor.dims.iter().map(|dim| u64::try_from(*dim).unwrap_or(1)).collect());
            self.constants.insert(output.clone(), tensor.values());
        } else if let Some(ints) = node.ints("value_ints") {
            self.known.insert(output.clone(), vec![ints.len() as u64]);
            self.constants.insert(output.clone(), ints.to_vec());
        }
    }

    fn shape_of(&self, node: &Node) -> Option<Shape> {
        if node.is(&SAME) {
            return self.input(node, 0).cloned();
        }
        if node.is(&BROADCAST) {
            return (0..node.input.len()).try_fold(Shape::new(), |shape, index| broadcast(&shape, self.input(node, index)?));
        }
        match node.op_type.as_str() {
            "MaxPool" | "AveragePool" | "LpPool" => {
                let input = self.input(node, 0)?;
                let kernel = node.ints("kernel_shape")?.to_vec();
                Some([input.get(..2)?, &windows(node, input.get(2..)?, &kernel)?].concat())
            }
            "GlobalAveragePool" | "GlobalMaxPool" => {
                let input = self.input(node, 0)?;
                Some([input.get(..2)?, &vec![1; input.len().saturating_sub(2)]].concat())
            }
            "Flatten" => {
                let input = self.input(node, 0)?;
                let axis = position(node.int("axis", 1), input.len() + 1)?;
                let (before, after) = input.split_at_checked(axis)?;
                Some(vec![product(before)?, product(after)?])
            }
            "Transpose" => {
                let input = self.input(node, 0)?;
                match node.ints("perm") {
                    None | Some([]) => Some(input.iter().rev().copied().collect()),
                    Some(perm) => perm.iter().map(|axis| input.get(usize::try_from(*axis).ok()?).copied()).collect(),
                }
            }
            "Reshape" => self.reshape(node),
            "Concat" => {
                let mut shape = self.input(node, 0)?.clone();
                let axis = position(node.int("axis", 0), shape.len())?;
                let mut lengths = (0..node.input.len()).map(|index| self.input(node, index)?.get(axis).copied());
                *shape.get_mut(axis)? = lengths.try_fold(0_u64, |sum, length| sum.checked_add(length?))?;
                Some(shape)
            }
            _ => None,
        }
    }

    fn reshape(&self, node: &Node) -> Option<Shape> {
        let input = self.input(node, 0)?;
        let wanted = self.constants.get(node.input.get(1)?)?;
        let mut shape = Shape::with_capacity(wanted.len());
        for (index, dim) in wanted.iter().enumerate() {
            shape.push(match dim {
                0 => *input.get(index)?,
                -1 => 0,
                dim => u64::try_from(*dim).ok()?,
            });
        }
        if let Some(open) = wanted.iter().position(|dim| *dim == -1) {
            *shape.get_mut(open)? = 1;
            let rest = product(&shape)?;
            *shape.get_mut(open)? = product(input)?.checked_div(rest)?;
        }
        Some(shape)
    }

    /// Weights `[out, in/group, kernel...]` at every place of the output.
    fn conv(&self, node: &Node) -> Option<(Shape, u64)> {
        // The quantised one has scale and zero point between.
        let input = self.input(node, 0)?;
        let weight = self.input(node, if node.op_type == "QLinearConv" { 3 } else { 1 })?;
        let kernel = weight.get(2..)?.iter().map(|dim| i64::try_from(*dim).ok()).collect::<Option<Vec<_>>>()?;
        let places = windows(node, input.get(2..)?, &kernel)?;
        let shape = [&[*input.first()?, *weight.first()?], places.as_slice()].concat();
        let macs = product(&shape)?.checked_mul(product(weight.get(1..)?)?)?;
        Some((shape, macs))
    }

    /// Weights `[in, out/group, kernel...]` at every place of the input.
    fn conv_transpose(&self, node: &Node) -> Option<(Shape, u64)> {
        let (input, weight) = (self.input(node, 0)?, self.input(node, 1)?);
        let macs = product(input)?.checked_mul(product(weight.get(1..)?)?)?;
        let group = u64::try_from(node.int("group", 1)).ok()?;
        let mut shape = vec![*input.first()?, weight.get(1)?.checked_mul(group)?];
        let pads = node.ints("pads").unwrap_or_default();
        for (axis, (length, kernel)) in input.get(2..)?.iter().zip(weight.get(2..)?).enumerate() {
            let of = |name: &str, usual: i64| node.ints(name).and_then(|ints| ints.get(axis)).copied().unwrap_or(usual);
            let pad = pads.get(axis).copied().unwrap_or(0) + pads.get(axis + pads.len() / 2).copied().unwrap_or(0);
            let reach = (i64::try_from(*kernel).ok()? - 1).checked_mul(of("dilations", 1))? + 1;
            let length = (i64::try_from(*length).ok()? - 1).checked_mul(of("strides", 1))? + reach + of("output_padding", 0) - pad;
            shape.push(u64::try_from(length).ok()?);
        }
        Some((shape, macs))
    }

    fn gemm(&self, node: &Node) -> Option<(Shape, u64)> {
        let side = |index: usize, turned: bool| match self.input(node, index)?.as_slice() {
            [rows, columns] if turned => Some((*columns, *rows)),
            [rows, columns] => Some((*rows, *columns)),
            _ => None,
        };
        let (rows, inner) = side(0, node.int("transA", 0) != 0)?;
        let (_, columns) = side(1, node.int("transB", 0) != 0)?;
        Some((vec![rows, columns], product(&[rows, inner, columns])?))
    }

    fn matmul(&self, node: &Node) -> Option<(Shape, u64)> {
        let (left, right) = (self.input(node, 0)?, self.input(node, if node.op_type == "QLinearMatMul" { 3 } else { 1 })?);
        let (left_batch, [rows, inner]) = split_matrix(left, true)?;
        let (right_batch, [_, columns]) = split_matrix(right, false)?;
        let mut shape = broadcast(&left_batch, &right_batch)?;
        let macs = product(&shape)?.checked_mul(product(&[rows, inner, columns])?)?;
        if left.len() > 1 {
            shape.push(rows);
        }
        if right.len() > 1 {
            shape.push(columns);
        }
        Some((shape, macs))
    }
}

/// A list of numbers is a row on the left and a column on the right.
fn split_matrix(shape: &[u64], left: bool) -> Option<(Shape, [u64; 2])> {
    match shape {
        [] => None,
        [length] if left => Some((Shape::new(), [1, *length])),
        [length] => Some((Shape::new(), [*length, 1])),
        [batch @ .., rows, columns] => Some((batch.to_vec(), [*rows, *columns])),
    }
}

fn broadcast(a: &[u64], b: &[u64]) -> Option<Shape> {
    let length = a.len().max(b.len());
    let at =
        |shape: &[u64], index: usize| (index + shape.len()).checked_sub(length).and_then(|index| shape.get(index).copied()).unwrap_or(1);
    (0..length)
        .map(|index| match (at(a, index), at(b, index)) {
            (a, b) if a == b || b == 1 => Some(a),
            (1, b) => Some(b),
            _ => None,
        })
        .collect()
}

fn position(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis + rank } else { axis };
    usize::try_from(axis).ok().filter(|_| axis <= rank)
}

/// How many places a window has along each axis.
fn windows(node: &Node, input: &[u64], kernel: &[i64]) -> Option<Shape> {
    let pads = node.ints("pads").unwrap_or_default();
    let same = matches!(node.text("auto_pad"), b"SAME_UPPER" | b"SAME_LOWER");
    let up = node.int("ceil_mode", 0) != 0;
    let mut places = Shape::with_capacity(input.len());
    for (axis, length) in input.iter().enumerate() {
        let of = |name: &str| node.ints(name).and_then(|ints| ints.get(axis)).copied().unwrap_or(1).max(1);
        let (length, stride) = (i64::try_from(*length).ok()?, of("strides"));
        let count = if same {
            (length + stride - 1) / stride
        } else {
            let pad = pads.get(axis).copied().unwrap_or(0) + pads.get(axis + pads.len() / 2).copied().unwrap_or(0);
            let room = length.checked_add(pad)? - ((kernel.get(axis)? - 1).checked_mul(of("dilations"))? + 1);
            if room < 0 {
                return None;
            }
            (room + if up { stride - 1 } else { 0 }) / stride + 1
        };
        places.push(u64::try_from(count).ok()?);
    }
    Some(places)
}
