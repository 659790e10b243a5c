//! How a slot's outputs are read, as parameters: what is set here goes before what the bundle's manifest says.

use edgeflow_ros::{DeclaredParameter, Node};

use super::slots::parameter;
use crate::Result;
use crate::decode::Thresholds;

/// What stands for the manifest's value.
const AS_MANIFEST: f64 = -1.0;

/// Thresholds and labels of one slot.
#[derive(Clone, Debug)]
pub struct DecodingParameters {
    score_threshold: DeclaredParameter<f64>,
    iou_threshold: DeclaredParameter<f64>,
    max_detections: DeclaredParameter<i64>,
    top_k: DeclaredParameter<i64>,
    labels: DeclaredParameter<Vec<String>>,
}

impl DecodingParameters {
    /// Declares them for a slot.
    ///
    /// # Errors
    /// A value of the wrong type or out of range.
    pub fn declare(node: &Node, slot: &str) -> Result<Self> {
        let part = |name: &str, description: &str| {
            node.parameter(&parameter(slot, name), AS_MANIFEST)
                .description(description)
                .range(AS_MANIFEST..=1.0)
                .constraints("-1, or from 0 to 1")
                .validate(|value| {
                    if (AS_MANIFEST..0.0).contains(value) && *value != AS_MANIFEST {
                        Err(format!("must be -1, or from 0 to 1, got {value:?}"))
                    } else {
                        Ok(())
                    }
                })
                .declare()
        };
        let count = |name: &str, description: &str| {
            node.parameter(&parameter(slot, name), -1).description(description).range(-1..=100_000).declare()
        };
        Ok(Self {
            score_threshold: part("score_threshold", "Least score of a class, a detection or a pixel. -1: the manifest's.")?,
            iou_threshold: part("iou_threshold", "Greatest overlap of two detections of one class. -1: the manifest's.")?,
            max_detections: count("max_detections", "Most detections of a frame. -1: the manifest's.")?,
            top_k: count("top_k", "Most classes in ~/classification. -1: the manifest's.")?,
            labels: node
                .parameter(&parameter(slot, "labels"), vec![String::new()])
                .description("Class names in class order, from the next load on. One empty name: the manifest's.")
                .constraints("each once")
                .validate(|labels| check_labels(labels))
                .declare()?,
        })
    }

    /// Thresholds as they are set now.
    pub fn thresholds(&self) -> Thresholds {
        let part = |parameter: &DeclaredParameter<f64>| Some(parameter.get() as f32).filter(|value| *value >= 0.0);
        let count = |parameter: &DeclaredParameter<i64>| usize::try_from(parameter.get()).ok();
        Thresholds {
            score_threshold: part(&self.score_threshold),
            iou_threshold: part(&self.iou_threshold),
            max_detections: count(&self.max_detections),
            top_k: count(&self.top_k),
        }
    }

    /// Labels as they are set now; empty: the manifest's.
    pub fn labels(&self) -> Vec<String> {
        Some(self.labels.get()).filter(|labels| !stands_for_none(labels)).unwrap_or_default()
    }
}

/// A ROS parameter file cannot hold an empty list: one empty name stands for it.
fn stands_for_none(labels: &[String]) -> bool {
    matches!(labels, [only] if only.is_empty())
}

fn check_labels(labels: &[String]) -> std::result::Result<(), String> {
    if stands_for_none(labels) {
        return Ok(());
    }
    for (i, label) in labels.iter().enumerate() {
        if label.is_empty() {
            return Err(format!("label {i} is empty; give every class a name"));
        }
        if labels[..i].contains(label) {
            return Err(format!("label \"{label}\" is there twice; give every class a name of its own"));
        }
    }
    Ok(())
}
