//! `golden.json`: inputs whose right outputs are known. A robot runs them before a bundle may serve, so that a model which
//! loads and yet computes something else there (another runtime, another processor, a damaged conversion) is refused.

use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::{ElemType, Error, OnnxSchema, Result, ValueInfo};

/// File name of the golden cases.
pub const GOLDEN_FILE: &str = "golden.json";

/// Content of `golden.json`. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Version of the format: 1.
    pub v: u32,
    /// At least one.
    pub cases: Vec<GoldenCase>,
}

/// One run with a known answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenCase {
    /// For messages; empty: its number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Each of the graph's inputs once. Their types are the graph's.
    pub inputs: Vec<GoldenTensor>,
    /// Outputs to compare; those that are not named are not looked at.
    pub outputs: Vec<GoldenTensor>,
    /// A number may be off by `atol + rtol * |expected|`.
    #[serde(default = "atol")]
    pub atol: f64,
    /// See `atol`.
    #[serde(default = "rtol")]
    pub rtol: f64,
}

/// A tensor as people can write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenTensor {
    /// The graph's name of the input or output.
    pub name: String,
    /// Dimensions in elements.
    pub shape: Vec<i64>,
    /// Elements, row-major.
    pub data: GoldenData,
}

/// The elements of a tensor, in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GoldenData {
    /// For bool tensors.
    Bools(Vec<bool>),
    /// For all number types.
    Numbers(Vec<Number>),
    /// For string tensors.
    Strings(Vec<String>),
}

fn atol() -> f64 {
    1e-5
}

fn rtol() -> f64 {
    1e-3
}

impl GoldenData {
    fn len(&self) -> usize {
        match self {
            Self::Bools(v) => v.len(),
            Self::Numbers(v) => v.len(),
            Self::Strings(v) => v.len(),
        }
    }

    fn fits(&self, ty: ElemType) -> bool {
        match self {
            // An empty list is of any type.
            _ if self.len() == 0 => true,
            Self::Bools(_) => ty == ElemType::Bool,
            Self::Strings(_) => ty == ElemType::String,
            Self::Numbers(_) => !matches!(ty, ElemType::Bool | ElemType::String),
        }
    }
}

impl Golden {
    /// Reads the content of `golden.json` and checks it against the graph it is for.
    ///
    /// # Errors
    /// [`Error::Syntax`] with line and column, or [`Error::Golden`] with the case and the tensor.
    pub fn parse(text: &str, schema: &OnnxSchema) -> Result<Self> {
        let golden: Self = serde_json::from_str(text).map_err(|error| Error::Syntax {
            file: GOLDEN_FILE.to_owned(),
            line: error.line(),
            column: error.column(),
            message: error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
        })?;
        if golden.v != 1 {
            return Err(Error::Golden { message: format!("v is {}, a version this program does not know; it knows 1", golden.v) });
        }
        if golden.cases.is_empty() {
            return Err(Error::Golden { message: "there are no cases; give one, or leave the file out".to_owned() });
        }
        for (i, case) in golden.cases.iter().enumerate() {
            case.check(schema).map_err(|message| Error::Golden { message: format!("case {}: {message}", case.label(i)) })?;
        }
        Ok(golden)
    }
}

impl GoldenCase {
    /// Its name, or its number from 1.
    pub fn label(&self, index: usize) -> String {
        if self.name.is_empty() { (index + 1).to_string() } else { format!("{:?}", self.name) }
    }

    fn check(&self, schema: &OnnxSchema) -> Result<(), String> {
        for (key, value) in [("atol", self.atol), ("rtol", self.rtol)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!("{key} is {value}; give a finite number, 0 or more"));
            }
        }
        if self.outputs.is_empty() {
            return Err("no outputs, so that anything would do; give those that matter".to_owned());
        }
        if let Some(missing) = schema.inputs.iter().find(|input| self.inputs.iter().all(|given| given.name != input.name)) {
            return Err(format!("input {missing} is missing"));
        }
        check_tensors(&self.inputs, &schema.inputs, "input")?;
        check_tensors(&self.outputs, &schema.outputs, "output")
    }
}

fn check_tensors(given: &[GoldenTensor], known: &[ValueInfo], role: &str) -> Result<(), String> {
    for (i, tensor) in given.iter().enumerate() {
        let name = &tensor.name;
        let Some(value) = known.iter().find(|value| value.name == *name) else {
            let names: Vec<&str> = known.iter().map(|value| value.name.as_str()).collect();
            return Err(format!("the graph has no {role} {name:?}; it has {}", names.join(", ")));
        };
        if given[..i].iter().any(|other| other.name == *name) {
            return Err(format!("{role} {name:?} is given twice"));
        }
        tensor.check(value, role)?;
    }
    Ok(())
}

impl GoldenTensor {
    /// Whether it has as many elements as its shape says, of the type the graph's `value` has.
    pub(crate) fn check(&self, value: &ValueInfo, role: &str) -> Result<(), String> {
        let name = &self.name;
        let elements = self.shape.iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(*d).ok()?));
        if elements != Some(self.data.len()) {
            return Err(format!("{role} {name:?} has shape {:?}, but {} elements", self.shape, self.data.len()));
        }
        if !self.data.fits(value.elem_type) {
            return Err(format!("{role} {name:?} is {value}, but its elements are of another type"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ValueKind;

    fn schema() -> OnnxSchema {
        let tensor = |name: &str, elem_type, shape: &[Option<i64>]| ValueInfo {
            name: name.to_owned(),
            kind: ValueKind::Tensor,
            elem_type,
            shape: shape.to_vec(),
            rank_known: true,
        };
        OnnxSchema {
            inputs: vec![tensor("x", ElemType::Float32, &[None, Some(2)]), tensor("names", ElemType::String, &[None])],
            outputs: vec![tensor("y", ElemType::Float32, &[None]), tensor("ok", ElemType::Bool, &[None])],
            opset: 17,
            domains: Vec::new(),
            producer: String::new(),
            producer_version: String::new(),
            ir_version: 8,
            metadata: Vec::new(),
        }
    }

    const GOOD: &str = r#"{"v": 1, "cases": [{"name": "dark",
        "inputs": [{"name": "names", "shape": [1], "data": ["a"]}, {"name": "x", "shape": [1, 2], "data": [1, 2.5]}],
        "outputs": [{"name": "y", "shape": [1], "data": [3.5]}, {"name": "ok", "shape": [1], "data": [true]}], "atol": 0.5}]}"#;

    #[test]
    fn a_case_is_read_with_its_tolerances() {
        let golden = Golden::parse(GOOD, &schema()).unwrap();
        let case = &golden.cases[0];
        assert_eq!((case.atol, case.rtol, case.label(0)), (0.5, 1e-3, "\"dark\"".to_owned()));
        assert_eq!(case.inputs[1].data, GoldenData::Numbers(vec![Number::from(1), Number::from_f64(2.5).unwrap()]));
        assert_eq!(Golden::parse(&serde_json::to_string(&golden).unwrap(), &schema()).unwrap(), golden);
    }

    #[test]
    fn what_does_not_fit_the_graph_or_itself_is_named() {
        let cases = [
            (r#""v": 1"#, r#""v": 2"#, "v is 2"),
            (r#""name": "y""#, r#""name": "z""#, "case \"dark\": the graph has no output \"z\"; it has y, ok"),
            (r#""name": "x""#, r#""name": "names""#, "input x: float32[?, 2] is missing"),
            ("[1, 2.5]", "[1]", "input \"x\" has shape [1, 2], but 1 elements"),
            ("[1, 2.5]", "[\"1\", \"2\"]", "input \"x\" is x: float32[?, 2], but its elements are of another type"),
            ("[1, 2]", "[-1, 2]", "has shape [-1, 2]"),
            ("[true]", "[1]", "output \"ok\" is ok: bool[?]"),
            (r#""atol": 0.5"#, r#""atol": -1"#, "atol is -1"),
            (r#""atol": 0.5"#, r#""a_tol": 0.5"#, "golden.json:3"),
            ("}]}", "}]", "golden.json:3"),
        ];
        for (old, new, want) in cases {
            let text = GOOD.replacen(old, new, 1);
            assert_ne!(text, GOOD);
            let error = Golden::parse(&text, &schema()).unwrap_err().to_string();
            assert!(error.contains(want), "{new}: {error}");
        }
        let nothing = Golden::parse(r#"{"v": 1, "cases": []}"#, &schema()).unwrap_err().to_string();
        assert!(nothing.contains("no cases"), "{nothing}");
    }
}
