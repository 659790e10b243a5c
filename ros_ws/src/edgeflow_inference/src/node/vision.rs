//! What a model's outputs mean, in the messages that the rest of ROS 2 understands: classes and boxes of `vision_msgs`, label
//! images, the labels themselves, and the frame with all of that drawn into it.
//!
//! A slot has the topics of the model that it runs, and no others: they come and go with the models.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use edgeflow_ros::sensor_msgs::msg::Image;
use edgeflow_ros::std_msgs::msg::Header;
use edgeflow_ros::vision_msgs::msg::{
    BoundingBox2D, Classification, Detection2D, Detection2DArray, LabelInfo, ObjectHypothesis, ObjectHypothesisWithPose, VisionClass,
    VisionInfo,
};
use edgeflow_ros::{Message, Node, Publisher, QosProfile};

use super::slots::topic;
use crate::Result;
use crate::annotate::annotated;
use crate::decode::{self, Decoded, Decoder, Detection, LabelImage, Labels, Thresholds};
use crate::engine::{Inference, Model};
use crate::image::CheckedFrame;

/// Quality of service of these topics.
#[derive(Clone, Debug)]
pub struct VisionQos {
    classification: QosProfile,
    detections: QosProfile,
    segmentation: QosProfile,
    annotated: QosProfile,
}

impl VisionQos {
    pub(super) fn declare(node: &Node, slot: &str) -> Result<Self> {
        let qos = |leaf: &str, default: QosProfile| node.publisher_qos(&topic(slot, leaf), default);
        Ok(Self {
            classification: qos("classification", QosProfile::default().keep_last(100))?,
            detections: qos("detections", QosProfile::default().keep_last(100))?,
            segmentation: qos("segmentation", QosProfile::default().keep_last(10))?,
            // To be looked at: a viewer behind a slow network must not hold up the model.
            annotated: qos("annotated", QosProfile::sensor_data().keep_last(5))?,
        })
    }
}

/// A slot's topics.
pub(super) struct VisionTopics {
    node: Node,
    slot: String,
    qos: VisionQos,
    shown: Mutex<Shown>,
}

/// What there is now.
#[derive(Default)]
struct Shown {
    /// The model it is about, and the least score that was told.
    model: Weak<Model>,
    score_threshold: Option<f32>,
    results: Option<Results>,
    annotated: Option<Publisher<Image>>,
    labels: Option<LabelTopics>,
    /// Counts the lists of labels there have been.
    label_lists: i32,
}

enum Results {
    Classification(Publisher<Classification>),
    Detections(Publisher<Detection2DArray>),
    Segmentation(Publisher<Image>),
}

/// The labels, for whoever comes late too.
struct LabelTopics {
    labels: Vec<String>,
    vision_info: Publisher<VisionInfo>,
    label_info: Publisher<LabelInfo>,
}

impl VisionTopics {
    pub(super) fn new(node: Node, slot: String, qos: VisionQos) -> Self {
        Self { node, slot, qos, shown: Mutex::default() }
    }

    /// Sees to it that the topics are those of a model. Called before a model's first frame, and cheap after that.
    pub(super) fn show(&self, model: &Arc<Model>, asked: &Thresholds) -> Result<()> {
        self.fit(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner), model, asked)
    }

    /// There is no model any more.
    pub(super) fn clear(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Shown { label_lists: shown.label_lists, ..Shown::default() };
    }

    /// Publishes what a frame, or a list of tensors, gave.
    pub(super) fn publish(
        &self,
        model: &Arc<Model>,
        header: &Header,
        frame: Option<&CheckedFrame<'_>>,
        inference: &Inference,
        asked: &Thresholds,
    ) -> Result<()> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.fit(&mut shown, model, asked)?;
        match (&shown.results, &inference.decoded) {
            (Some(Results::Classification(publisher)), Decoded::Classification(class)) => {
                publisher.publish(&classification(header, class, &model.labels))?;
            }
            (Some(Results::Detections(publisher)), Decoded::Detections(found)) => {
                publisher.publish(&detections(header, found, &model.labels))?;
            }
            (Some(Results::Segmentation(publisher)), Decoded::Segmentation(labels)) => publisher.publish(&label_image(header, labels))?,
            // Raw tensors are in the result.
            _ => {}
        }
        if let (Some(publisher), Some(frame)) = (&shown.annotated, frame)
            && publisher.subscriber_count() > 0
        {
            let data = annotated(frame, &inference.decoded, &model.labels)?;
            let (width, height) = (frame.width as u32, frame.height as u32);
            let header = header.clone();
            publisher.publish(&Image { header, width, height, step: width * 3, encoding: "rgb8".into(), is_bigendian: 0, data })?;
        }
        Ok(())
    }

    fn fit(&self, shown: &mut Shown, model: &Arc<Model>, asked: &Thresholds) -> Result<()> {
        let score_threshold = asked.score_threshold.or(model.decoder().score_threshold());
        let same_model = std::ptr::eq(shown.model.as_ptr(), Arc::as_ptr(model));
        if same_model && shown.score_threshold == score_threshold {
            return Ok(());
        }
        if !same_model {
            let fits = matches!(
                (&shown.results, model.decoder()),
                (Some(Results::Classification(_)), Decoder::Classification(_))
                    | (Some(Results::Detections(_)), Decoder::Detection(_))
                    | (Some(Results::Segmentation(_)), Decoder::Segmentation(_))
                    | (None, Decoder::Tensors(_))
            );
            if !fits {
                shown.results = self.results(model.decoder())?;
            }
            let looked_at = shown.results.is_some() && model.takes_images();
            shown.annotated = match shown.annotated.take() {
                publisher @ Some(_) if looked_at => publisher,
                None if looked_at => Some(self.publisher("annotated", self.qos.annotated)?),
                _ => None,
            };
        }
        self.show_labels(shown, model, score_threshold)?;
        shown.model = Arc::downgrade(model);
        shown.score_threshold = score_threshold;
        Ok(())
    }

    fn publisher<T: Message>(&self, leaf: &str, qos: QosProfile) -> Result<Publisher<T>> {
        Ok(self.node.create_publisher(&topic(&self.slot, leaf), qos)?)
    }

    fn results(&self, decoder: &Decoder) -> Result<Option<Results>> {
        Ok(Some(match decoder {
            Decoder::Tensors(_) => return Ok(None),
            Decoder::Classification(_) => Results::Classification(self.publisher("classification", self.qos.classification)?),
            Decoder::Detection(_) => Results::Detections(self.publisher("detections", self.qos.detections)?),
            Decoder::Segmentation(_) => Results::Segmentation(self.publisher("segmentation", self.qos.segmentation)?),
        }))
    }

    fn show_labels(&self, shown: &mut Shown, model: &Model, score_threshold: Option<f32>) -> Result<()> {
        if model.labels.is_empty() {
            shown.labels = None;
            return Ok(());
        }
        let topics = match shown.labels.take() {
            Some(topics) if topics.labels == model.labels => topics,
            before => {
                shown.label_lists += 1;
                let latched = QosProfile::default().keep_last(1).transient_local();
                let (vision_info, label_info) = match before {
                    Some(topics) => (topics.vision_info, topics.label_info),
                    None => (self.publisher("vision_info", latched)?, self.publisher("label_info", latched)?),
                };
                LabelTopics { labels: model.labels.clone(), vision_info, label_info }
            }
        };
        let topics = shown.labels.insert(topics);
        let header = Header { stamp: self.node.now(), ..Header::default() };
        // Its classes have 16 bits.
        let class = |(id, name): (usize, &String)| Some(VisionClass { class_id: u16::try_from(id).ok()?, class_name: name.clone() });
        topics.label_info.publish(&LabelInfo {
            header: header.clone(),
            class_map: topics.labels.iter().enumerate().filter_map(class).collect(),
            threshold: score_threshold.unwrap_or(0.0),
        })?;
        let method = format!("{} {}", model.name, model.version).trim_end().to_owned();
        let database_location = topics.label_info.topic().to_owned();
        topics.vision_info.publish(&VisionInfo { header, method, database_location, database_version: shown.label_lists })?;
        Ok(())
    }
}

fn name(labels: &[String], class: usize) -> String {
    labels.get(class).cloned().unwrap_or_else(|| class.to_string())
}

fn hypothesis(class_id: String, score: f32) -> ObjectHypothesis {
    ObjectHypothesis { class_id, score: f64::from(score) }
}

fn classification(header: &Header, class: &decode::Classification, labels: &[String]) -> Classification {
    // The graph itself may name the best one.
    let named = |id: usize| if i32::try_from(id) == Ok(class.class_id) { class.label.clone() } else { name(labels, id) };
    let results = class.best.iter().map(|id| hypothesis(named(*id), class.scores[*id])).collect();
    Classification { header: header.clone(), results }
}

fn detections(header: &Header, found: &[Detection], labels: &[String]) -> Detection2DArray {
    let detection = |Detection { class, score, corners }: &Detection| {
        let [left, top, right, bottom] = corners.map(f64::from);
        let mut bbox = BoundingBox2D { size_x: right - left, size_y: bottom - top, ..BoundingBox2D::default() };
        bbox.center.position.x = f64::midpoint(left, right);
        bbox.center.position.y = f64::midpoint(top, bottom);
        let result = ObjectHypothesisWithPose { hypothesis: hypothesis(name(labels, *class), *score), ..Default::default() };
        Detection2D { header: header.clone(), results: vec![result], bbox, id: String::new() }
    };
    Detection2DArray { header: header.clone(), detections: found.iter().map(detection).collect() }
}

fn label_image(header: &Header, image: &LabelImage) -> Image {
    let (width, height) = (image.width as u32, image.height as u32);
    let (encoding, bytes, data) = match &image.labels {
        Labels::U8(labels) => ("mono8", 1, labels.clone()),
        Labels::U16(labels) => ("16UC1", 2, labels.iter().flat_map(|label| label.to_le_bytes()).collect()),
    };
    Image { header: header.clone(), width, height, step: width * bytes, encoding: encoding.into(), is_bigendian: 0, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_have_their_centre_and_size_and_the_name_of_their_class() {
        let header = Header { frame_id: "camera".into(), ..Header::default() };
        let found = [
            Detection { class: 1, score: 0.75, corners: [10.0, 20.0, 30.5, 60.0] },
            Detection { class: 2, score: 0.5, corners: [0.0, 0.0, 1.0, 1.0] },
        ];
        let message = detections(&header, &found, &["a".into(), "b".into()]);
        let [first, second] = &message.detections[..] else { panic!("{message:?}") };
        let (bbox, result) = (&first.bbox, &first.results[0].hypothesis);
        assert_eq!((bbox.center.position.x, bbox.center.position.y, bbox.size_x, bbox.size_y), (20.25, 40.0, 20.5, 40.0));
        assert_eq!((result.class_id.as_str(), result.score, first.header.frame_id.as_str()), ("b", 0.75, "camera"));
        assert_eq!(second.results[0].hypothesis.class_id, "2", "a class without a name is called by its number");
    }

    #[test]
    fn label_images_are_as_wide_as_their_labels() {
        let image = |labels| LabelImage { width: 2, height: 1, labels };
        let narrow = label_image(&Header::default(), &image(Labels::U8(vec![1, 255])));
        assert_eq!((narrow.encoding.as_str(), narrow.step, &narrow.data[..]), ("mono8", 2, &[1, 255][..]));
        let wide = label_image(&Header::default(), &image(Labels::U16(vec![1, 0x1234])));
        assert_eq!((wide.encoding.as_str(), wide.step, &wide.data[..]), ("16UC1", 4, &[1, 0, 0x34, 0x12][..]));
    }
}
