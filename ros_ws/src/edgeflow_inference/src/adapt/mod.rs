//! From messages that are no images to the graph's input, as the bundle's manifest describes it: the points of a cloud, or a
//! window of the newest samples, become a table whose rows are points or messages and whose columns are numbers of them.
//!
//! Whatever contradicts itself or lacks what the manifest takes is an error that names it: a column read from the wrong
//! place is a wrong answer that looks right.

mod cloud;
mod samples;
mod watched;
mod window;

pub use cloud::{Cloud, CloudField};
pub use samples::Sample;
pub use window::{Gathered, Window};

use edgeflow_bundle::{InputSpec, RowLayout, Rows};
use half::f16;

use crate::tensor::{Data, ElementType, Tensor, TensorSpec};
use crate::{Error, Result};

/// Rows of the warm-up's tensor where neither manifest nor graph says how many there are.
const ANY_ROWS: usize = 64;

/// What a message, or a window of them, became.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapted {
    /// The graph's input.
    pub tensor: Tensor,
    /// What is watched of it for drift, in the order of [`Adapter::features`].
    pub numbers: Vec<f64>,
}

/// Turns messages of one kind into one graph input.
#[derive(Clone, Debug)]
pub struct Adapter {
    spec: InputSpec,
    rows: Rows,
    tensor: String,
    element: ElementType,
    /// Rows of the tensor; `None`: as many as there are.
    count: Option<usize>,
    /// Of each column: factor, subtrahend, divisor.
    scales: Vec<[f64; 3]>,
}

impl Adapter {
    /// For a manifest's input that feeds the graph input `graph`.
    ///
    /// # Errors
    /// [`Error::NoInput`] when no table becomes a tensor of the graph's type, or when `spec` is an image.
    pub fn new(spec: InputSpec, graph: &TensorSpec) -> Result<Self> {
        let refuse = |reason: String| Error::NoInput { given: spec.kind(), reason };
        let rows = spec.rows().cloned().ok_or_else(|| refuse("an image is no table".into()))?;
        let element = match graph.element_type {
            Some(element @ (ElementType::F32 | ElementType::F16 | ElementType::F64)) => element,
            _ => {
                return Err(refuse(format!("it becomes a tensor of float32, float16 or float64, but the graph wants {}", graph.type_name)));
            }
        };
        let columns = spec.columns();
        let dimension = match rows.layout {
            RowLayout::RowsColumns => graph.shape.get(1).copied(),
            RowLayout::ColumnsRows => graph.shape.get(2).copied(),
            RowLayout::Flat => graph.shape.get(1).map(|elements| elements / columns as i64),
        };
        if let (RowLayout::Flat, Some(elements)) = (rows.layout, graph.shape.get(1).filter(|d| **d > 0 && **d % columns as i64 != 0)) {
            return Err(refuse(format!("rows of {columns} numbers never make the {elements} elements the graph wants")));
        }
        let stated = dimension.and_then(|rows| usize::try_from(rows).ok()).filter(|rows| *rows > 0);
        let of = |values: &[f64], column: usize, default: f64| values.get(column).or(values.first()).copied().unwrap_or(default);
        let scales = (0..columns).map(|c| [of(&rows.scale, c, 1.0), of(&rows.mean, c, 0.0), of(&rows.std, c, 1.0)]).collect();
        Ok(Self { count: spec.row_count().or(stated), tensor: graph.name.clone(), spec, rows, element, scales })
    }

    /// What the manifest says.
    pub fn spec(&self) -> &InputSpec {
        &self.spec
    }

    /// The graph input that is fed.
    pub fn tensor(&self) -> &str {
        &self.tensor
    }

    /// Whether the number of rows changes from message to message.
    pub fn is_open(&self) -> bool {
        self.count.is_none()
    }

    /// A tensor of zeros, for the first run.
    ///
    /// # Errors
    /// A shape that is too large.
    pub fn zeros(&self) -> Result<Tensor> {
        let rows = self.count.unwrap_or(ANY_ROWS);
        Tensor::new(self.tensor.clone(), self.shape(rows), Data::zeros(self.element, rows * self.columns()))
    }

    fn columns(&self) -> usize {
        self.scales.len()
    }

    fn shape(&self, rows: usize) -> Vec<i64> {
        // A dimension is open in a shape only where the number of rows is.
        self.rows.layout.shape(Some(rows as i64), self.columns() as i64).into_iter().flatten().collect()
    }

    /// The tensor of a table's numbers as they came, row by row; zeros where it has fewer than `rows` rows.
    fn table(&self, numbers: &[f64], rows: usize) -> Result<Tensor> {
        let data = match self.element {
            ElementType::F16 => Data::F16(self.filled(numbers, rows, f16::ZERO, f16::from_f64)),
            ElementType::F64 => Data::F64(self.filled(numbers, rows, 0.0, |v| v)),
            _ => Data::F32(self.filled(numbers, rows, 0.0, |v| v as f32)),
        };
        Tensor::new(self.tensor.clone(), self.shape(rows), data)
    }

    fn filled<T: Copy>(&self, numbers: &[f64], rows: usize, zero: T, of: impl Fn(f64) -> T) -> Vec<T> {
        let mut out = vec![zero; rows * self.columns()];
        for (r, row) in numbers.chunks_exact(self.columns()).take(rows).enumerate() {
            for (c, (number, [scale, mean, std])) in row.iter().zip(&self.scales).enumerate() {
                let at = match self.rows.layout {
                    RowLayout::RowsColumns | RowLayout::Flat => r * self.columns() + c,
                    RowLayout::ColumnsRows => c * rows + r,
                };
                out[at] = of((number * scale - mean) / std);
            }
        }
        out
    }

    /// An error about a message of this kind.
    fn refuse(&self, reason: String) -> Error {
        Error::Message { kind: self.spec.kind(), reason }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use edgeflow_bundle::Manifest;

    pub(crate) fn graph(element: ElementType, shape: &[i64]) -> TensorSpec {
        TensorSpec {
            name: "x".into(),
            element_type: Some(element),
            type_name: element.to_string(),
            shape: shape.to_vec(),
            rank_known: true,
        }
    }

    pub(crate) fn adapter_of(element: ElementType, input: &str, shape: &[i64]) -> Adapter {
        let manifest = Manifest::parse(&format!("v: 1\ninput: {{{input}}}\n")).unwrap();
        Adapter::new(manifest.input.unwrap(), &graph(element, shape)).unwrap()
    }

    pub(crate) fn adapter(input: &str, shape: &[i64]) -> Adapter {
        adapter_of(ElementType::F32, input, shape)
    }

    #[test]
    fn numbers_are_scaled_by_column_and_laid_out() {
        let scaled = "kind: array, elements: 2, window: 3, scale: [2, 1], mean: [1, 0], std: [0.5, 1]";
        let numbers = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
        let of = |layout: &str| adapter(&format!("{scaled}, layout: {layout}"), &[1, -1, -1]).table(&numbers, 3).unwrap();
        let rows = of("rows_columns");
        assert_eq!((rows.shape.as_slice(), rows.data), ([1, 3, 2].as_slice(), Data::F32(vec![2.0, 10.0, 6.0, 20.0, 10.0, 30.0])));
        let columns = of("columns_rows");
        assert_eq!((columns.shape.as_slice(), columns.data), ([1, 2, 3].as_slice(), Data::F32(vec![2.0, 6.0, 10.0, 10.0, 20.0, 30.0])));
        assert_eq!(of("flat").shape, [1, 6]);
    }

    #[test]
    fn the_graph_says_the_type_and_what_the_manifest_leaves_open() {
        let cloud = "kind: point_cloud, fields: [x, y]";
        assert_eq!(adapter(cloud, &[1, 7, 2]).zeros().unwrap().shape, [1, 7, 2]);
        assert_eq!(adapter(&format!("{cloud}, layout: columns_rows"), &[1, 2, 9]).zeros().unwrap().shape, [1, 2, 9]);
        assert_eq!(adapter(&format!("{cloud}, layout: flat"), &[1, 8]).zeros().unwrap().shape, [1, 8]);
        let open = adapter(cloud, &[1, -1, 2]);
        assert!(open.is_open() && open.zeros().unwrap().shape == [1, 64, 2]);
        for element in [ElementType::F16, ElementType::F64] {
            let tensor = adapter_of(element, cloud, &[1, 1, 2]).table(&[0.5, -2.0], 1).unwrap();
            assert_eq!((tensor.data.element_type(), tensor.data.to_f64().unwrap()), (element, vec![0.5, -2.0]));
        }
        for (input, element, shape, want) in [
            (
                "kind: imu",
                ElementType::I64,
                [1, 6],
                "takes no imu: it becomes a tensor of float32, float16 or float64, but the graph wants int64",
            ),
            ("kind: point_cloud, fields: [x, y], layout: flat", ElementType::F32, [1, 7], "rows of 2 numbers never make the 7 elements"),
        ] {
            let spec = Manifest::parse(&format!("v: 1\ninput: {{{input}}}\n")).unwrap().input.unwrap();
            let error = Adapter::new(spec, &graph(element, &shape)).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
