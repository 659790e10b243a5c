//! Boxes with classes: from the graph's way of writing them down to the pixels of the frame that went in.

use edgeflow_bundle::{Coordinates, Corners, DetectionFormat, DetectionSpec};

use super::boxes::{self, corners};
use super::{Candidate, Thresholds, check_labels, numbers, output, refuse, suppress, the_only, whole_numbers};
use crate::Result;
use crate::image::Placement;
use crate::tensor::{Tensor, TensorSpec};

/// An object in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Class index.
    pub class: usize,
    /// Its score.
    pub score: f32,
    /// Left, top, right, bottom in the frame's pixels, counted from the outer edge of the first; within the frame.
    pub corners: [f32; 4],
}

/// Reads boxes.
#[derive(Clone, Debug)]
pub struct DetectionDecoder {
    spec: DetectionSpec,
    /// The output with everything, or the one with boxes.
    boxes: String,
    /// Number of labels; 0 when the manifest has none.
    labels: usize,
}

impl DetectionDecoder {
    pub(super) fn new(spec: &DetectionSpec, labels: usize, outputs: &[TensorSpec]) -> Result<Self> {
        let boxes = match spec.format.is_one_tensor() {
            true => the_only(spec.tensor.as_ref(), outputs, "output.tensor")?,
            false => the_only(spec.boxes.as_ref(), outputs, "output.boxes")?,
        };
        Ok(Self { spec: spec.clone(), boxes, labels })
    }

    pub(super) fn score_threshold(&self) -> f32 {
        self.spec.score_threshold
    }

    pub(super) fn decode(&self, outputs: &[Tensor], at: &Placement, asked: &Thresholds) -> Result<Vec<Detection>> {
        let threshold = asked.score_threshold.unwrap_or(self.spec.score_threshold);
        let mut candidates = self.candidates(outputs, threshold)?;
        if let Some(unknown) = candidates.iter().find(|c| self.labels > 0 && c.class >= self.labels) {
            return Err(refuse(format!(
                "an object has class {}, but {} labels are named; mend those of edgeflow.yaml or the parameter `labels`",
                unknown.class, self.labels
            )));
        }
        candidates.retain(|c| c.corners.iter().all(|v| v.is_finite()));
        if self.spec.coordinates() == Coordinates::Normalised {
            let (width, height) = (at.input.0 as f32, at.input.1 as f32);
            for Candidate { corners: [l, t, r, b], .. } in &mut candidates {
                (*l, *t, *r, *b) = (*l * width, *t * height, *r * width, *b * height);
            }
        }
        let iou_threshold = asked.iou_threshold.unwrap_or_else(|| self.spec.iou_threshold());
        let most = asked.max_detections.unwrap_or(self.spec.max_detections as usize);
        Ok(suppress(candidates, iou_threshold, most).into_iter().filter_map(|c| in_frame(&c, at)).collect())
    }

    fn candidates(&self, outputs: &[Tensor], threshold: f32) -> Result<Vec<Candidate>> {
        let tensor = output(outputs, &self.boxes)?;
        let values = numbers(tensor, "boxes")?;
        let format = self.spec.format;
        let activation = self.spec.activation();
        let wrong =
            |expected: &str| refuse(format!("output `{}` has shape {:?}; {} has {expected}", tensor.name, tensor.shape, format.name()));
        let shape: Vec<usize> = tensor.shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect();
        Ok(match (format, &shape[..]) {
            (DetectionFormat::Yolov5, [1, _, row]) if *row > 5 => {
                check_labels(&tensor.name, row - 5, "classes", self.labels)?;
                boxes::yolov5(&values, *row, activation, threshold)
            }
            (DetectionFormat::Yolov5, _) => return Err(wrong("[1, boxes, 5 + classes]")),
            (DetectionFormat::Yolov8, [1, rows, n]) if *rows > 4 => {
                check_labels(&tensor.name, rows - 4, "classes", self.labels)?;
                if *n == 0 { Vec::new() } else { boxes::yolov8(&values, *n, activation, threshold) }
            }
            (DetectionFormat::Yolov8, _) => return Err(wrong("[1, 4 + classes, boxes]")),
            (DetectionFormat::Yolov10, [1, _, 6]) => boxes::yolov10(&values, activation, threshold),
            (DetectionFormat::Yolov10, _) => return Err(wrong("[1, boxes, 6]")),
            (DetectionFormat::Ssd | DetectionFormat::Detr, [.., 4]) if matches!(shape.len(), 2 | 3) => {
                let corners: Vec<[f32; 4]> = values.as_chunks::<4>().0.iter().map(|b| self.corners(*b)).collect();
                self.scored(outputs, &corners, threshold)?
            }
            (DetectionFormat::Ssd | DetectionFormat::Detr, _) => return Err(wrong("[1, boxes, 4]")),
        })
    }

    fn corners(&self, [a, b, c, d]: [f32; 4]) -> [f32; 4] {
        match (self.spec.format, self.spec.corners.unwrap_or_default()) {
            (DetectionFormat::Detr, _) => corners([a, b, c, d]),
            (_, Corners::Xyxy) => [a, b, c, d],
            (_, Corners::Yxyx) => [b, a, d, c],
        }
    }

    /// Boxes whose scores, and perhaps classes, are in other outputs.
    fn scored(&self, outputs: &[Tensor], corners: &[[f32; 4]], threshold: f32) -> Result<Vec<Candidate>> {
        let scores = output(outputs, self.spec.scores.as_deref().unwrap_or_default())?;
        let values = numbers(scores, "scores")?;
        let n = corners.len();
        let wrong =
            |t: &Tensor, expected: &str| refuse(format!("output `{}` has shape {:?}; for {n} boxes it is {expected}", t.name, t.shape));
        if let Some(classes) = &self.spec.classes {
            let classes = output(outputs, classes)?;
            let ids: Vec<f32> = match whole_numbers(&classes.data) {
                Some(ids) => ids.into_iter().map(|id| id as f32).collect(),
                None => numbers(classes, "classes")?.into_owned(),
            };
            for (tensor, len) in [(scores, values.len()), (classes, ids.len())] {
                if len != n {
                    return Err(wrong(tensor, "[1, boxes] or [boxes]"));
                }
            }
            let mut scores = values.into_owned();
            super::activation::apply(self.spec.activation(), &mut scores);
            let background = self.spec.background.map(|class| class as f32);
            let rows = corners.iter().zip(&scores).zip(&ids).filter(|(_, id)| Some(**id) != background);
            return Ok(rows.filter_map(|((corners, score), id)| boxes::candidate(*id, *score, *corners, threshold)).collect());
        }
        let classes = match scores.shape[..] {
            [.., rows, classes] if usize::try_from(rows) == Ok(n) => usize::try_from(classes).unwrap_or(0),
            _ => return Err(wrong(scores, "[1, boxes, classes]")),
        };
        if classes == 0 || values.len() != n * classes {
            return Err(wrong(scores, "[1, boxes, classes]"));
        }
        let last = self.spec.has_no_object_class();
        check_labels(&scores.name, classes - usize::from(last), "classes", self.labels)?;
        let skip = if last { Some(classes - 1) } else { self.spec.background.map(|class| class as usize) };
        Ok(boxes::one_row_each(corners, &values, classes, self.spec.activation(), skip, threshold))
    }
}

/// A candidate in the frame's pixels, cut off at its edges; `None` when nothing of it is within.
fn in_frame(candidate: &Candidate, at: &Placement) -> Option<Detection> {
    let [l, t, r, b] = candidate.corners;
    let ((l, t), (r, b)) = (at.to_frame(l, t), at.to_frame(r, b));
    let (width, height) = (at.frame.0 as f32, at.frame.1 as f32);
    let corners = [l.clamp(0.0, width), t.clamp(0.0, height), r.clamp(0.0, width), b.clamp(0.0, height)];
    let [left, top, right, bottom] = corners;
    (right > left && bottom > top).then_some(Detection { class: candidate.class, score: candidate.score, corners })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Decoded, Decoder};
    use crate::image::Rect;
    use crate::tensor::Data;
    use edgeflow_bundle::Manifest;

    /// A frame of 200 x 100 letterboxed into 100 x 100: one input pixel is two of the frame, 25 rows of border above.
    const LETTERBOXED: Placement = Placement {
        frame: (200, 100),
        input: (100, 100),
        source: Rect { left: 0.0, top: 0.0, width: 200.0, height: 100.0 },
        target: Rect { left: 0, top: 25, width: 100, height: 50 },
    };

    fn decode_with(output: &str, outputs: Vec<(&str, &[i64], Data)>, asked: &Thresholds) -> Result<Vec<Detection>> {
        let text = format!("v: 1\ninput: {{encoding: rgb8, layout: nchw}}\noutput: {{decode: detection, {output}}}\nlabels: [a, b]\n");
        let manifest = Manifest::parse(&text).unwrap();
        let outputs: Vec<Tensor> =
            outputs.into_iter().map(|(name, shape, data)| Tensor::new(name, shape.to_vec(), data).unwrap()).collect();
        let specs: Vec<TensorSpec> = outputs
            .iter()
            .map(|t| TensorSpec {
                name: t.name.clone(),
                element_type: None,
                type_name: String::new(),
                shape: t.shape.clone(),
                rank_known: true,
            })
            .collect();
        let decoder = Decoder::new(Some(&manifest), &specs)?;
        match decoder.decode(&outputs, Some(&LETTERBOXED), asked)? {
            Decoded::Detections(found) => Ok(found),
            other => panic!("{other:?}"),
        }
    }

    fn decode(output: &str, outputs: Vec<(&str, &[i64], Data)>) -> Vec<Detection> {
        decode_with(output, outputs, &Thresholds::default()).unwrap()
    }

    /// What every format below describes: class b at 10, 30, 30, 50 of the input, class a at 50, 40, 70, 60.
    const EXPECTED: [Detection; 2] = [
        Detection { class: 1, score: 0.9, corners: [20.0, 10.0, 60.0, 50.0] },
        Detection { class: 0, score: 0.5, corners: [100.0, 30.0, 140.0, 70.0] },
    ];

    fn assert_expected(found: &[Detection], what: &str) {
        assert_eq!(found.len(), 2, "{what}: {found:?}");
        for (got, want) in found.iter().zip(&EXPECTED) {
            assert_eq!(got.class, want.class, "{what}: {found:?}");
            assert!((got.score - want.score).abs() < 1e-5, "{what}: {found:?}");
            assert!(got.corners.iter().zip(&want.corners).all(|(g, w)| (g - w).abs() < 1e-3), "{what}: {found:?}");
        }
    }

    fn logit(p: f32) -> f32 {
        (p / (1.0 - p)).ln()
    }

    #[test]
    fn yolov5_multiplies_objectness_and_class() {
        #[rustfmt::skip]
        let rows = vec![
            60.0, 50.0, 20.0, 20.0, 1.0, 0.5, 0.1,
            20.0, 40.0, 20.0, 20.0, 0.9, 0.2, 1.0,
            20.5, 40.0, 20.0, 20.0, 0.8, 0.2, 1.0, // covered by the one before
            80.0, 80.0, 20.0, 20.0, 0.4, 0.5, 0.1, // 0.2 is too little
        ];
        assert_expected(&decode("format: yolov5", vec![("y", &[1, 4, 7], Data::F32(rows.clone()))]), "float32");
        let wide = rows.iter().map(|v| f64::from(*v)).collect();
        assert_expected(&decode("format: yolov5", vec![("y", &[1, 4, 7], Data::F64(wide))]), "float64");
        let logits = rows.chunks_exact(7).flat_map(|r| r[..4].iter().copied().chain(r[4..].iter().map(|p| logit(*p)))).collect();
        assert_expected(&decode("format: yolov5, activation: sigmoid", vec![("y", &[1, 4, 7], Data::F32(logits))]), "logits");
    }

    #[test]
    fn yolov8_has_its_boxes_along_the_last_axis() {
        #[rustfmt::skip]
        let rows = vec![
            60.0, 20.0, 80.0,
            50.0, 40.0, 80.0,
            20.0, 20.0, 20.0,
            20.0, 20.0, 20.0,
            0.5, 0.2, 0.1,
            0.1, 0.9, f32::NAN,
        ];
        assert_expected(&decode("format: yolov8", vec![("y", &[1, 6, 3], Data::F32(rows.clone()))]), "pixels");
        let parts = rows.iter().enumerate().map(|(i, v)| if i < 12 { v / 100.0 } else { *v }).collect();
        assert_expected(&decode("format: yolov8, coordinates: normalised", vec![("y", &[1, 6, 3], Data::F32(parts))]), "normalised");
        assert_eq!(decode("format: yolov8", vec![("y", &[1, 6, 0], Data::F32(vec![]))]), []);
    }

    #[test]
    fn yolov10_is_taken_as_it_is() {
        #[rustfmt::skip]
        let rows = vec![
            10.0, 30.0, 30.0, 50.0, 0.9, 1.0,
            50.0, 40.0, 70.0, 60.0, 0.5, 0.0,
            0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        ];
        assert_expected(&decode("format: yolov10", vec![("y", &[1, 3, 6], Data::F32(rows.clone()))]), "once");
        let twice = [rows.clone(), rows].concat();
        assert_eq!(decode("format: yolov10", vec![("y", &[1, 6, 6], Data::F32(twice.clone()))]).len(), 4);
        assert_expected(&decode("format: yolov10, iou_threshold: 0.5", vec![("y", &[1, 6, 6], Data::F32(twice))]), "suppressed");
    }

    #[test]
    fn ssd_has_corners_and_scores_apart() {
        let boxes = vec![0.5, 0.4, 0.7, 0.6, 0.1, 0.3, 0.3, 0.5];
        let scores = vec![0.5, 0.1, 0.2, 0.9];
        let ssd = "format: ssd, boxes: b, scores: s";
        let found = decode(ssd, vec![("b", &[1, 2, 4], Data::F32(boxes.clone())), ("s", &[1, 2, 2], Data::F32(scores.clone()))]);
        assert_expected(&found, "scores per class");
        let pixels: Vec<f32> = boxes.iter().map(|v| v * 100.0).collect();
        let found = decode(
            &format!("{ssd}, coordinates: pixels"),
            vec![("b", &[2, 4], Data::F32(pixels)), ("s", &[2, 2], Data::F32(scores.clone()))],
        );
        assert_expected(&found, "without batch, in pixels");
        let swapped: Vec<f32> = boxes.as_chunks::<4>().0.iter().flat_map(|[l, t, r, b]| [*t, *l, *b, *r]).collect();
        let found = decode(
            &format!("{ssd}, classes: c, corners: yxyx"),
            vec![
                ("b", &[1, 2, 4], Data::F32(swapped)),
                ("s", &[1, 2], Data::F32(vec![0.5, 0.9])),
                ("c", &[1, 2], Data::F32(vec![0.0, 1.0])),
            ],
        );
        assert_expected(&found, "as TensorFlow has it");
        let found = decode(
            &format!("{ssd}, classes: c, background: 0"),
            vec![("b", &[2, 4], Data::F32(boxes.clone())), ("s", &[2], Data::F32(vec![0.5, 0.9])), ("c", &[2], Data::I64(vec![0, 1]))],
        );
        assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [1], "class 0 is no object");
        let found =
            decode(&format!("{ssd}, background: 0"), vec![("b", &[1, 2, 4], Data::F32(boxes)), ("s", &[1, 2, 2], Data::F32(scores))]);
        assert_eq!(found.iter().map(|d| d.class).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn detr_has_a_last_class_of_no_object() {
        let boxes = vec![0.6, 0.5, 0.2, 0.2, 0.2, 0.4, 0.2, 0.2, 0.8, 0.8, 0.2, 0.2];
        // Logarithms of shares of one are their own softmax.
        let shares: Vec<f32> = [0.5, 0.2, 0.3, 0.05, 0.9, 0.05, 0.02, 0.03, 0.95].iter().map(|p: &f32| p.ln() + 7.0).collect();
        let detr = "format: detr, boxes: b, scores: s";
        let outputs =
            |scores: &'static [i64], values| vec![("b", &[1, 3, 4][..], Data::F32(boxes.clone())), ("s", scores, Data::F32(values))];
        assert_expected(&decode(detr, outputs(&[1, 3, 3], shares)), "softmax");
        let logits = [0.5, 0.2, 0.05, 0.9, 0.02, 0.03].iter().map(|p| logit(*p)).collect();
        assert_expected(&decode(&format!("{detr}, activation: sigmoid"), outputs(&[1, 3, 2], logits)), "sigmoid");
    }

    #[test]
    fn boxes_are_cut_off_at_the_frames_edges_and_nothing_outside_is_left() {
        #[rustfmt::skip]
        let rows = vec![
            -10.0, 20.0, 20.0, 45.0, 0.9, 0.0, // over the left edge and into the border
            60.0, 70.0, 140.0, 90.0, 0.8, 0.0, // over the corner below right
            10.0, 0.0, 30.0, 20.0, 0.7, 1.0, // in the border alone
            10.0, 30.0, f32::NAN, 50.0, 0.6, 1.0,
        ];
        let found = decode("format: yolov10", vec![("y", &[1, 4, 6], Data::F32(rows))]);
        assert_eq!(found.iter().map(|d| d.corners).collect::<Vec<_>>(), [[0.0, 0.0, 40.0, 40.0], [120.0, 90.0, 200.0, 100.0]]);
    }

    #[test]
    fn what_is_asked_stands_before_the_manifest() {
        let rows = vec![10.0, 30.0, 30.0, 50.0, 0.9, 1.0, 10.0, 30.0, 31.0, 50.0, 0.2, 1.0];
        let count = |asked: Thresholds| {
            let outputs = vec![("y", &[1, 2, 6][..], Data::F32(rows.clone()))];
            decode_with("format: yolov10, score_threshold: 0.3", outputs, &asked).unwrap().len()
        };
        assert_eq!(count(Thresholds::default()), 1);
        let all = Thresholds { score_threshold: Some(0.1), ..Thresholds::default() };
        assert_eq!(count(all), 2);
        assert_eq!(count(Thresholds { iou_threshold: Some(0.5), ..all }), 1);
        assert_eq!(count(Thresholds { max_detections: Some(1), ..all }), 1);
    }

    #[test]
    fn outputs_that_are_not_as_described_are_named() {
        let ssd = "format: ssd, boxes: b, scores: s";
        let f = |n: usize| Data::F32(vec![0.9; n]);
        type Outputs<'a> = Vec<(&'a str, &'a [i64], Data)>;
        let cases: [(&str, Outputs<'_>, &str); 8] = [
            ("format: yolov5", vec![("y", &[1, 7, 2, 1], f(14))], "output `y` has shape [1, 7, 2, 1]; yolov5 has [1, boxes, 5 + classes]"),
            ("format: yolov8", vec![("y", &[1, 8, 2], f(16))], "output `y` has 4 classes, but 2 labels are named"),
            ("format: yolov8", vec![("y", &[1, 6, 1], Data::I32(vec![0; 6]))], "output `y` is int32; boxes are floats"),
            (
                "format: yolov10",
                vec![("y", &[1, 1, 6], Data::F32(vec![0.0, 0.0, 1.0, 1.0, 0.9, 2.0]))],
                "has class 2, but 2 labels are named",
            ),
            (ssd, vec![("b", &[1, 2, 5], f(10)), ("s", &[1, 2, 2], f(4))], "output `b` has shape [1, 2, 5]; ssd has [1, boxes, 4]"),
            (
                ssd,
                vec![("b", &[1, 2, 4], f(8)), ("s", &[1, 3, 2], f(6))],
                "output `s` has shape [1, 3, 2]; for 2 boxes it is [1, boxes, classes]",
            ),
            (ssd, vec![("b", &[1, 2, 4], f(8))], "no output `s`; the graph gives [\"b\"]"),
            ("format: yolov8", vec![("y", &[1, 6, 1], f(6)), ("z", &[1], f(1))], "several outputs; name one as `output.tensor`"),
        ];
        for (output, outputs, want) in cases {
            let error = decode_with(output, outputs, &Thresholds::default()).unwrap_err().to_string();
            assert!(error.starts_with("cannot decode the model's outputs: ") && error.contains(want), "{error}");
        }
    }
}
