//! Between the engine's terms and ROS messages.

use edgeflow_bundle::ValueInfo;
use edgeflow_drift::OUTPUT_PREFIX;
use edgeflow_ros::builtin_interfaces::msg::Time;
use edgeflow_ros::diagnostic_msgs::msg::KeyValue;
use edgeflow_ros::edgeflow_msgs::msg::{DriftFeature, DriftReport, InferenceResult, ModelInfo, Tensor as TensorMsg, TensorInfo};
use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::std_msgs::msg::Header;

use crate::Result;
use crate::decode::Decoded;
use crate::engine::{Inference, Model, movable};
use crate::image::Frame;
use crate::tensor::{Data, ElementType, Tensor, TensorSpec};

/// A view of an image message.
pub(super) fn frame(image: &Image) -> Frame<'_> {
    Frame {
        width: image.width,
        height: image.height,
        step: image.step,
        encoding: &image.encoding,
        is_bigendian: image.is_bigendian != 0,
        data: &image.data,
    }
}

/// A result message without latency; outputs are filled when nothing was decoded.
pub(super) fn result(model: &Model, header: Header, inference: &Inference) -> InferenceResult {
    let mut message = InferenceResult {
        header,
        model_name: model.name.clone(),
        model_version: model.version.clone(),
        model_digest: model.digest.to_string(),
        class_id: -1,
        score: f32::NAN,
        ..InferenceResult::default()
    };
    match &inference.decoded {
        Decoded::Classification(class) => {
            message.label = class.label.clone();
            message.class_id = class.class_id;
            message.score = class.score;
            message.scores = class.scores.clone();
        }
        Decoded::Tensors(which) => message.outputs = which.iter().filter_map(|i| inference.outputs.get(*i)).map(tensor).collect(),
        // What they mean has a topic of its own.
        Decoded::Detections(_) | Decoded::Segmentation(_) => {}
    }
    message
}

/// A tensor's wire form.
pub(super) fn tensor(tensor: &Tensor) -> TensorMsg {
    TensorMsg {
        name: tensor.name.clone(),
        dtype: tensor.data.element_type().onnx(),
        shape: tensor.shape.clone(),
        data: tensor.data.to_le_bytes(),
        strings: match &tensor.data {
            Data::String(strings) => strings.clone(),
            _ => Vec::new(),
        },
    }
}

/// A tensor from its wire form.
pub(super) fn from_message(message: &TensorMsg) -> Result<Tensor> {
    Tensor::from_wire(&message.name, message.dtype, &message.shape, &message.data, &message.strings)
}

/// What a model is.
pub(super) fn model_info(model: &Model) -> ModelInfo {
    let info = |values: &[ValueInfo], specs: &[TensorSpec]| {
        values
            .iter()
            .map(|v| {
                let spec = specs.iter().find(|s| s.name == v.name);
                TensorInfo {
                    name: v.name.clone(),
                    // What is cast on the way goes as another type than the graph has.
                    dtype: spec.and_then(|s| s.element_type).map_or(v.elem_type.code(), ElementType::onnx),
                    type_name: spec.map_or_else(|| v.elem_type.to_string(), movable::described),
                    shape: v.shape.iter().map(|d| d.unwrap_or(-1)).collect(),
                    rank_known: v.rank_known,
                }
            })
            .collect()
    };
    ModelInfo {
        name: model.name.clone(),
        version: model.version.clone(),
        digest: model.digest.to_string(),
        model_digest: model.model_digest.to_string(),
        opset: model.schema.opset,
        producer: model.schema.producer.clone(),
        domains: model.schema.domains.iter().map(|(domain, version)| format!("{domain} {version}")).collect(),
        producer_version: model.schema.producer_version.clone(),
        ir_version: model.schema.ir_version,
        metadata: model.schema.metadata.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect(),
        inputs: info(&model.schema.inputs, model.inputs()),
        outputs: info(&model.schema.outputs, model.outputs()),
        labels: model.labels.clone(),
    }
}

/// A drift report under the model whose frames it is about.
pub(super) fn drift_report(model: &Model, header: Header, report: &edgeflow_drift::Report) -> DriftReport {
    DriftReport {
        header,
        window_start: time(report.start_ns),
        model_name: model.name.clone(),
        model_version: model.version.clone(),
        model_digest: model.digest.to_string(),
        baseline: report.baseline.name().to_owned(),
        false_alarms_per_day: report.false_alarms_per_day,
        false_alarm_rate: report.false_alarm_rate,
        duration_s: report.duration_s,
        window: report.window,
        flagged: report.flagged,
        max_psi: report.max_psi,
        features: report.features.iter().map(drift_feature).collect(),
    }
}

fn drift_feature(f: &edgeflow_drift::FeatureReport) -> DriftFeature {
    DriftFeature {
        name: f.name.clone(),
        subject: if f.name.starts_with(OUTPUT_PREFIX) { "output" } else { "input" }.to_owned(),
        baseline: f.baseline.name().to_owned(),
        n: f.n,
        n_effective: f.n_effective,
        mean: f.mean,
        baseline_mean: f.baseline_mean,
        std: f.std,
        baseline_std: f.baseline_std,
        mean_shift: f.mean_shift,
        std_ratio: f.std_ratio,
        location: f.location,
        location_threshold: f.location_threshold,
        spread: f.spread,
        spread_threshold: f.spread_threshold,
        outside: f.outside,
        outside_threshold: f.outside_threshold,
        psi: f.psi,
        psi_threshold: f.psi_threshold,
        ks: f.ks,
        ks_threshold: f.ks_threshold,
        chi_square: f.chi_square,
        chi_square_threshold: f.chi_square_threshold,
        kl: f.kl,
        js: f.js,
        wasserstein: f.wasserstein,
        p_value: f.p_value,
        p_threshold: f.p_threshold,
        strongest: f.strongest.to_owned(),
        edges: f.edges.clone(),
        categories: f.categories.clone(),
        counts: f.counts.clone(),
        significant: f.significant,
        flagged: f.flagged,
    }
}

/// A stamp in nanoseconds since the epoch.
pub(super) fn nanoseconds(stamp: &Time) -> i64 {
    i64::from(stamp.sec) * 1_000_000_000 + i64::from(stamp.nanosec)
}

fn time(ns: i64) -> Time {
    Time { sec: i32::try_from(ns.div_euclid(1_000_000_000)).unwrap_or(i32::MAX), nanosec: ns.rem_euclid(1_000_000_000) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_go_there_and_back() {
        for stamp in [Time { sec: 0, nanosec: 0 }, Time { sec: 1_700_000_000, nanosec: 999_999_999 }, Time { sec: -1, nanosec: 5 }] {
            assert_eq!(time(nanoseconds(&stamp)), stamp);
        }
    }

    #[test]
    fn tensors_go_there_and_back() {
        let tensors = [
            Tensor::new("x", vec![2, 1], Data::F64(vec![0.5, -1.0])).unwrap(),
            Tensor::new("flag", vec![], Data::Bool(vec![true])).unwrap(),
            Tensor::new("names", vec![2], Data::String(vec!["a".into(), "b".into()])).unwrap(),
        ];
        for one in tensors {
            assert_eq!(from_message(&tensor(&one)).unwrap(), one);
        }
    }
}
