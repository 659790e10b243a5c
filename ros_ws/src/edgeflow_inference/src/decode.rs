//! From the graph's outputs to what they mean.

use edgeflow_bundle::{Decode, Manifest};

use crate::tensor::{Data, Tensor, TensorSpec};
use crate::{Error, Result};

/// A classification decoded from a tensor of scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// Most likely class; the index in words when nothing names the classes.
    pub label: String,
    /// Index of the label; -1 when every score is NaN.
    pub class_id: i32,
    /// Score of the label; NaN when every score is.
    pub score: f32,
    /// Score per class, in class order.
    pub scores: Vec<f32>,
}

/// How one model's outputs are read.
#[derive(Clone, Debug)]
pub enum Decoder {
    /// No decoder applies: tensors are handed on as they are.
    Raw,
    /// The class with the greatest score.
    Classification {
        /// Output with one score per class.
        scores: String,
        /// Class names; empty when the manifest names none.
        labels: Vec<String>,
        /// A string output with the class's name (scikit-learn's `label`), used when the manifest names no classes.
        named_by: Option<String>,
    },
}

impl Decoder {
    /// The decoder a manifest asks for, for a graph with these outputs.
    ///
    /// # Errors
    /// [`Error::Decode`] when the scores' output cannot be told.
    pub fn new(manifest: Option<&Manifest>, outputs: &[TensorSpec]) -> Result<Self> {
        let Some((manifest, output)) = manifest.and_then(|m| Some((m, m.output.as_ref()?))) else { return Ok(Self::Raw) };
        match output.decode {
            Decode::Classification => {
                let scores = match (&output.scores, outputs) {
                    (Some(name), _) => name.clone(),
                    (None, [only]) => only.name.clone(),
                    (None, _) => {
                        return Err(Error::Decode {
                            reason: "the graph has several outputs; name one as `output.scores` in edgeflow.yaml".into(),
                        });
                    }
                };
                let named_by = outputs.iter().find(|o| o.element_type == Some(crate::tensor::ElementType::String)).map(|o| o.name.clone());
                Ok(Self::Classification { scores, labels: manifest.labels.clone(), named_by })
            }
        }
    }

    /// Reads one run's outputs; `None` when they are handed on raw.
    ///
    /// # Errors
    /// [`Error::Decode`] when they are not what the manifest says.
    pub fn decode(&self, outputs: &[Tensor]) -> Result<Option<Classification>> {
        let Self::Classification { scores, labels, named_by } = self else { return Ok(None) };
        let refuse = |reason: String| Error::Decode { reason };
        let tensor = outputs.iter().find(|t| t.name == *scores).ok_or_else(|| {
            let names: Vec<&str> = outputs.iter().map(|t| t.name.as_str()).collect();
            refuse(format!("no output `{scores}`; the graph gives {names:?}"))
        })?;
        let values: Vec<f32> = match &tensor.data {
            Data::F32(v) => v.clone(),
            Data::F64(v) => v.iter().map(|x| *x as f32).collect(),
            other => return Err(refuse(format!("output `{scores}` is {}; scores are float32 or float64", other.element_type()))),
        };
        if !matches!(tensor.shape[..], [_] | [1, _]) || values.is_empty() {
            return Err(refuse(format!("output `{scores}` has shape {:?}; scores are [1, classes] or [classes]", tensor.shape)));
        }
        if !labels.is_empty() && labels.len() != values.len() {
            return Err(refuse(format!("output `{scores}` has {} scores, but edgeflow.yaml names {} labels", values.len(), labels.len())));
        }
        // The first of equal scores wins, as in NumPy's argmax.
        let best = values.iter().enumerate().filter(|(_, s)| !s.is_nan()).fold(None, |best: Option<(usize, f32)>, (i, s)| match best {
            Some((_, top)) if top >= *s => best,
            _ => Some((i, *s)),
        });
        let Some((class, score)) = best else {
            return Ok(Some(Classification { label: String::new(), class_id: -1, score: f32::NAN, scores: values }));
        };
        let named = named_by.as_ref().and_then(|name| outputs.iter().find(|t| t.name == *name)).and_then(|t| match &t.data {
            Data::String(v) => v.first().cloned(),
            _ => None,
        });
        let label = labels.get(class).cloned().or(named).unwrap_or_else(|| class.to_string());
        Ok(Some(Classification { label, class_id: i32::try_from(class).unwrap_or(i32::MAX), score, scores: values }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder(labels: &[&str], named_by: Option<&str>) -> Decoder {
        Decoder::Classification {
            scores: "probabilities".into(),
            labels: labels.iter().map(|l| (*l).to_owned()).collect(),
            named_by: named_by.map(str::to_owned),
        }
    }

    fn scores(shape: &[i64], data: Data) -> Vec<Tensor> {
        vec![Tensor::new("label", vec![1], Data::I64(vec![7])).unwrap(), Tensor::new("probabilities", shape.to_vec(), data).unwrap()]
    }

    #[test]
    fn the_greatest_score_wins_and_the_first_of_equals() {
        let decoder = decoder(&["a", "b", "c"], None);
        let got = decoder.decode(&scores(&[1, 3], Data::F32(vec![0.2, 0.4, 0.4]))).unwrap().unwrap();
        assert_eq!((got.label.as_str(), got.class_id, got.score), ("b", 1, 0.4));
        let got = decoder.decode(&scores(&[3], Data::F64(vec![f64::NAN, 0.1, 0.9]))).unwrap().unwrap();
        assert_eq!((got.label.as_str(), got.class_id, got.score), ("c", 2, 0.9));
    }

    #[test]
    fn scores_that_are_no_numbers_give_no_class() {
        let got = decoder(&["a", "b"], None).decode(&scores(&[1, 2], Data::F32(vec![f32::NAN; 2]))).unwrap().unwrap();
        assert_eq!((got.label.as_str(), got.class_id), ("", -1));
        assert!(got.score.is_nan());
    }

    #[test]
    fn without_labels_the_graph_or_the_index_names_the_class() {
        let got = decoder(&[], None).decode(&scores(&[1, 2], Data::F32(vec![0.1, 0.9]))).unwrap().unwrap();
        assert_eq!(got.label, "1");
        let mut outputs = scores(&[1, 2], Data::F32(vec![0.1, 0.9]));
        outputs.push(Tensor::new("name", vec![1], Data::String(vec!["cat".into()])).unwrap());
        assert_eq!(decoder(&[], Some("name")).decode(&outputs).unwrap().unwrap().label, "cat");
    }

    #[test]
    fn outputs_the_manifest_does_not_describe_are_named() {
        let cases = [
            (scores(&[1, 2], Data::F32(vec![0.1, 0.9])), "has 2 scores, but edgeflow.yaml names 3 labels"),
            (scores(&[2, 3], Data::F32(vec![0.0; 6])), "has shape [2, 3]"),
            (scores(&[3], Data::I64(vec![1, 2, 3])), "is int64"),
            (scores(&[1, 3], Data::F32(vec![0.0; 3]))[..1].to_vec(), "no output `probabilities`; the graph gives [\"label\"]"),
        ];
        for (outputs, want) in cases {
            let err = decoder(&["a", "b", "c"], None).decode(&outputs).unwrap_err().to_string();
            assert!(err.contains(want), "{err}");
        }
    }
}
