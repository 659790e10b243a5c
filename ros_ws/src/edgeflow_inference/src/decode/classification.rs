//! The most likely class, and the scores of all of them.

use edgeflow_bundle::{Activation, ClassificationSpec};

use super::{Thresholds, activation, check_labels, numbers, output, refuse, the_only};
use crate::Result;
use crate::tensor::{Data, ElementType, Tensor, TensorSpec};

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
    /// Indices of the most likely classes, best first: no more than asked for, and none below the threshold.
    pub best: Vec<usize>,
}

/// Reads one score per class.
#[derive(Clone, Debug)]
pub struct ClassificationDecoder {
    /// Output with the scores.
    scores: String,
    activation: Activation,
    score_threshold: Option<f32>,
    top_k: usize,
    /// Class names; empty when the manifest names none.
    labels: Vec<String>,
    /// A string output with the class's name (scikit-learn's `label`), used when the manifest names no classes.
    named_by: Option<String>,
}

impl ClassificationDecoder {
    pub(super) fn new(spec: &ClassificationSpec, labels: &[String], outputs: &[TensorSpec]) -> Result<Self> {
        Ok(Self {
            scores: the_only(spec.scores.as_ref(), outputs, "output.scores")?,
            activation: spec.activation,
            score_threshold: spec.score_threshold,
            top_k: spec.top_k as usize,
            labels: labels.to_vec(),
            named_by: outputs.iter().find(|o| o.element_type == Some(ElementType::String)).map(|o| o.name.clone()),
        })
    }

    pub(super) fn score_threshold(&self) -> Option<f32> {
        self.score_threshold
    }

    pub(super) fn decode(&self, outputs: &[Tensor], asked: &Thresholds) -> Result<Classification> {
        let Self { scores, labels, named_by, .. } = self;
        let tensor = output(outputs, scores)?;
        let mut values = numbers(tensor, "scores")?.into_owned();
        if !matches!(tensor.shape[..], [_] | [1, _]) || values.is_empty() {
            return Err(refuse(format!("output `{scores}` has shape {:?}; scores are [1, classes] or [classes]", tensor.shape)));
        }
        check_labels(scores, values.len(), "scores", labels.len())?;
        activation::apply(self.activation, &mut values);
        let threshold = asked.score_threshold.or(self.score_threshold).unwrap_or(f32::NEG_INFINITY);
        // Numbers only. The sort is stable: the first of equal scores wins, as in NumPy's argmax.
        let mut order: Vec<usize> = (0..values.len()).filter(|i| !values[*i].is_nan()).collect();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
        let Some(&class) = order.first() else {
            return Ok(Classification { label: String::new(), class_id: -1, score: f32::NAN, scores: values, best: Vec::new() });
        };
        let named = named_by.as_ref().and_then(|name| outputs.iter().find(|t| t.name == *name)).and_then(|t| match &t.data {
            Data::String(v) => v.first().cloned(),
            _ => None,
        });
        let label = labels.get(class).cloned().or(named).unwrap_or_else(|| class.to_string());
        order.retain(|i| values[*i] >= threshold);
        order.truncate(asked.top_k.unwrap_or(self.top_k));
        let class_id = i32::try_from(class).unwrap_or(i32::MAX);
        Ok(Classification { label, class_id, score: values[class], scores: values, best: order })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder(labels: &[&str], named_by: Option<&str>) -> ClassificationDecoder {
        ClassificationDecoder {
            scores: "probabilities".into(),
            activation: Activation::None,
            score_threshold: None,
            top_k: 5,
            labels: labels.iter().map(|l| (*l).to_owned()).collect(),
            named_by: named_by.map(str::to_owned),
        }
    }

    fn decode(decoder: &ClassificationDecoder, outputs: &[Tensor]) -> Result<Classification> {
        decoder.decode(outputs, &Thresholds::default())
    }

    fn scores(shape: &[i64], data: Data) -> Vec<Tensor> {
        vec![Tensor::new("label", vec![1], Data::I64(vec![7])).unwrap(), Tensor::new("probabilities", shape.to_vec(), data).unwrap()]
    }

    #[test]
    fn the_greatest_score_wins_and_the_first_of_equals() {
        let decoder = decoder(&["a", "b", "c"], None);
        let got = decode(&decoder, &scores(&[1, 3], Data::F32(vec![0.2, 0.4, 0.4]))).unwrap();
        assert_eq!((got.label.as_str(), got.class_id, got.score), ("b", 1, 0.4));
        let got = decode(&decoder, &scores(&[3], Data::F64(vec![f64::NAN, 0.1, 0.9]))).unwrap();
        assert_eq!((got.label.as_str(), got.class_id, got.score), ("c", 2, 0.9));
    }

    #[test]
    fn scores_that_are_no_numbers_give_no_class() {
        let got = decode(&decoder(&["a", "b"], None), &scores(&[1, 2], Data::F32(vec![f32::NAN; 2]))).unwrap();
        assert_eq!((got.label.as_str(), got.class_id), ("", -1));
        assert!(got.score.is_nan());
    }

    #[test]
    fn without_labels_the_graph_or_the_index_names_the_class() {
        let got = decode(&decoder(&[], None), &scores(&[1, 2], Data::F32(vec![0.1, 0.9]))).unwrap();
        assert_eq!(got.label, "1");
        let mut outputs = scores(&[1, 2], Data::F32(vec![0.1, 0.9]));
        outputs.push(Tensor::new("name", vec![1], Data::String(vec!["cat".into()])).unwrap());
        assert_eq!(decode(&decoder(&[], Some("name")), &outputs).unwrap().label, "cat");
    }

    #[test]
    fn outputs_the_manifest_does_not_describe_are_named() {
        let cases = [
            (scores(&[1, 2], Data::F32(vec![0.1, 0.9])), "has 2 scores, but 3 labels are named"),
            (scores(&[2, 3], Data::F32(vec![0.0; 6])), "has shape [2, 3]"),
            (scores(&[3], Data::I64(vec![1, 2, 3])), "is int64"),
            (scores(&[1, 3], Data::F32(vec![0.0; 3]))[..1].to_vec(), "no output `probabilities`; the graph gives [\"label\"]"),
        ];
        for (outputs, want) in cases {
            let err = decode(&decoder(&["a", "b", "c"], None), &outputs).unwrap_err().to_string();
            assert!(err.contains(want), "{err}");
        }
    }

    #[test]
    fn the_best_are_listed_down_to_the_threshold() {
        let outputs = scores(&[1, 4], Data::F32(vec![0.1, 0.4, f32::NAN, 0.3]));
        let decoder = ClassificationDecoder { score_threshold: Some(0.2), ..decoder(&[], None) };
        assert_eq!(decode(&decoder, &outputs).unwrap().best, [1, 3]);
        let best = |asked: Thresholds| decoder.decode(&outputs, &asked).unwrap().best;
        assert_eq!(best(Thresholds { top_k: Some(1), ..Thresholds::default() }), [1]);
        assert_eq!(best(Thresholds { score_threshold: Some(0.0), ..Thresholds::default() }), [1, 3, 0]);
        assert_eq!(best(Thresholds { score_threshold: Some(0.5), ..Thresholds::default() }), [0usize; 0]);
    }

    #[test]
    fn logits_become_scores() {
        let decoder = ClassificationDecoder { activation: Activation::Softmax, ..decoder(&["a", "b"], None) };
        let got = decode(&decoder, &scores(&[1, 2], Data::F32(vec![1000.0, 1000.0 + 3.0f32.ln()]))).unwrap();
        assert!((got.scores[0] - 0.25).abs() < 1e-4 && (got.score - 0.75).abs() < 1e-4, "{got:?}");
    }
}
