//! A class for each pixel of the frame that went in, from an output of any size.

use edgeflow_bundle::{Activation, SegmentationSpec};

use super::{Thresholds, activation, check_labels, numbers, output, refuse, the_only, whole_numbers};
use crate::Result;
use crate::image::Placement;
use crate::tensor::{Data, Tensor, TensorSpec};

/// A class for each pixel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelImage {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` classes.
    pub labels: Labels,
}

/// Classes in as few bits as they fit. The greatest number stands for pixels that have none, which is what
/// `vision_msgs/LabelInfo` calls UNLABELED: those outside of what the model saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// At most 255 classes.
    U8(Vec<u8>),
    /// More.
    U16(Vec<u16>),
}

/// Reads classes of pixels.
#[derive(Clone, Debug)]
pub struct SegmentationDecoder {
    tensor: String,
    activation: Activation,
    score_threshold: f32,
    /// Number of labels; 0 when the manifest has none.
    labels: usize,
}

/// The classes of an output's pixels.
struct Classes {
    width: usize,
    height: usize,
    /// [`u16::MAX`] where there is none.
    values: Vec<u16>,
    /// Whether 8 bits are enough for every class there can be.
    narrow: bool,
}

impl SegmentationDecoder {
    pub(super) fn new(spec: &SegmentationSpec, labels: usize, outputs: &[TensorSpec]) -> Result<Self> {
        Ok(Self {
            tensor: the_only(spec.tensor.as_ref(), outputs, "output.tensor")?,
            activation: spec.activation,
            score_threshold: spec.score_threshold,
            labels,
        })
    }

    pub(super) fn score_threshold(&self) -> f32 {
        self.score_threshold
    }

    pub(super) fn decode(&self, outputs: &[Tensor], at: &Placement, asked: &Thresholds) -> Result<LabelImage> {
        let tensor = output(outputs, &self.tensor)?;
        let classes = match whole_numbers(&tensor.data) {
            Some(values) => self.ready(tensor, &values)?,
            None => self.scored(tensor, asked.score_threshold.unwrap_or(self.score_threshold))?,
        };
        let (width, height) = at.frame;
        let labels = if classes.narrow {
            Labels::U8(sampled(&classes, at, |class| u8::try_from(class).unwrap_or(u8::MAX)))
        } else {
            Labels::U16(sampled(&classes, at, |class| class))
        };
        Ok(LabelImage { width, height, labels })
    }

    fn wrong(&self, tensor: &Tensor) -> crate::Error {
        refuse(format!(
            "output `{}` has shape {:?}; segmentation reads scores [1, classes, height, width] in floats, or classes [1, height, width] or \
             [1, 1, height, width] in whole numbers",
            tensor.name, tensor.shape
        ))
    }

    /// Classes as the graph gives them.
    fn ready(&self, tensor: &Tensor, values: &[i64]) -> Result<Classes> {
        let (height, width) = match tensor.shape[..] {
            [1, height, width] | [1, 1, height, width] => (height as usize, width as usize),
            _ => return Err(self.wrong(tensor)),
        };
        let narrow = match &tensor.data {
            _ if self.labels > 0 => self.labels <= usize::from(u8::MAX),
            Data::U8(_) | Data::I8(_) | Data::Bool(_) => true,
            _ => false,
        };
        // Below 0, and at the greatest number, lie pixels that the graph itself leaves out.
        let greatest = if narrow { i64::from(u8::MAX) } else { i64::from(u16::MAX) };
        if let Some(beyond) = values.iter().find(|v| **v > greatest) {
            return Err(refuse(format!(
                "a pixel of output `{}` has class {beyond}; the greatest in a label image is {greatest}",
                tensor.name
            )));
        }
        let values = values.iter().map(|v| if *v < 0 || *v == greatest { u16::MAX } else { *v as u16 }).collect();
        Ok(Classes { width, height, values, narrow })
    }

    /// The class with the greatest score; with one channel, whether it reaches the threshold.
    fn scored(&self, tensor: &Tensor, threshold: f32) -> Result<Classes> {
        let scores = numbers(tensor, "scores of pixels")?;
        let (channels, height, width) = match tensor.shape[..] {
            [1, channels, height, width] if channels > 0 => (channels as usize, height as usize, width as usize),
            _ => return Err(self.wrong(tensor)),
        };
        let classes = channels.max(2);
        check_labels(&tensor.name, classes, "classes", self.labels)?;
        if classes >= usize::from(u16::MAX) {
            return Err(refuse(format!("output `{}` has {classes} classes; a label image has room for {}", tensor.name, u16::MAX)));
        }
        let narrow = classes <= usize::from(u8::MAX);
        if channels == 1 {
            let class = |score: &f32| {
                let mut score = [*score];
                activation::apply(self.activation, &mut score);
                u16::from(score[0] >= threshold)
            };
            return Ok(Classes { width, height, values: scores.iter().map(class).collect(), narrow });
        }
        let mut planes = scores.chunks_exact((width * height).max(1));
        let mut greatest = planes.next().unwrap_or_default().to_vec();
        let mut values = vec![0u16; greatest.len()];
        for (class, plane) in planes.enumerate() {
            for ((best, value), score) in greatest.iter_mut().zip(&mut values).zip(plane) {
                // What is no number is less than any.
                if *score > *best || (best.is_nan() && !score.is_nan()) {
                    (*best, *value) = (*score, class as u16 + 1);
                }
            }
        }
        Ok(Classes { width, height, values, narrow })
    }
}

/// For each of the frame's pixels the class at its centre.
fn sampled<T: Copy>(classes: &Classes, at: &Placement, narrow: impl Fn(u16) -> T) -> Vec<T> {
    let places = |frame: usize, from: f64, length: f64, target: usize, size: usize, input: usize, out: usize| -> Vec<Option<usize>> {
        let place = |i: usize| {
            let part = (i as f64 + 0.5 - from) / length;
            let in_input = part * size as f64 + target as f64;
            let place = (in_input / input as f64 * out as f64) as usize;
            ((0.0..1.0).contains(&part) && place < out).then_some(place)
        };
        (0..frame).map(place).collect()
    };
    let (s, t) = (&at.source, &at.target);
    let columns = places(at.frame.0, s.left, s.width, t.left, t.width, at.input.0, classes.width);
    let rows = places(at.frame.1, s.top, s.height, t.top, t.height, at.input.1, classes.height);
    let nowhere = narrow(u16::MAX);
    let mut out = Vec::with_capacity(columns.len() * rows.len());
    for row in rows {
        match row {
            None => out.extend(std::iter::repeat_n(nowhere, columns.len())),
            Some(y) => {
                let row = &classes.values[y * classes.width..(y + 1) * classes.width];
                out.extend(columns.iter().map(|column| column.map_or(nowhere, |x| narrow(row[x]))));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Rect;

    fn decoder(labels: usize) -> SegmentationDecoder {
        SegmentationDecoder { tensor: "y".into(), activation: Activation::None, score_threshold: 0.5, labels }
    }

    /// A frame as the input is.
    fn plain(width: usize, height: usize) -> Placement {
        Placement::new(None, width, height)
    }

    fn decode(decoder: &SegmentationDecoder, shape: &[i64], data: Data, at: &Placement) -> Result<LabelImage> {
        decoder.decode(&[Tensor::new("y", shape.to_vec(), data).unwrap()], at, &Thresholds::default())
    }

    #[test]
    fn the_class_with_the_greatest_score_is_taken_for_each_pixel() {
        // Three classes, two by two pixels; equal scores go to the first.
        let scores = vec![0.1, 0.9, 0.3, 0.5, 0.7, 0.2, 0.3, 0.1, 0.2, 0.1, 0.4, 0.5];
        let got = decode(&decoder(3), &[1, 3, 2, 2], Data::F32(scores.clone()), &plain(2, 2)).unwrap();
        assert_eq!(got, LabelImage { width: 2, height: 2, labels: Labels::U8(vec![1, 0, 2, 0]) });
        let none_of_the_first = vec![f32::NAN, f32::NAN, -5.0, f32::NAN];
        let got = decode(&decoder(2), &[1, 2, 1, 2], Data::F32(none_of_the_first), &plain(2, 1)).unwrap();
        assert_eq!(got.labels, Labels::U8(vec![1, 0]));
        // The frame is larger than the output: each pixel is four.
        let got = decode(&decoder(0), &[1, 3, 2, 2], Data::F32(scores), &plain(4, 4)).unwrap();
        assert_eq!(got.labels, Labels::U8(vec![1, 1, 0, 0, 1, 1, 0, 0, 2, 2, 0, 0, 2, 2, 0, 0]));
    }

    #[test]
    fn one_channel_tells_two_classes_apart() {
        let at = plain(4, 1);
        let scores = Data::F32(vec![0.4, 0.5, 0.6, f32::NAN]);
        assert_eq!(decode(&decoder(2), &[1, 1, 1, 4], scores, &at).unwrap().labels, Labels::U8(vec![0, 1, 1, 0]));
        let logits = Data::F32(vec![-0.1, 0.0, 0.1, -9.0]);
        let sigmoid = SegmentationDecoder { activation: Activation::Sigmoid, ..decoder(0) };
        assert_eq!(decode(&sigmoid, &[1, 1, 1, 4], logits, &at).unwrap().labels, Labels::U8(vec![0, 1, 1, 0]));
    }

    #[test]
    fn ready_classes_are_taken_in_as_few_bits_as_they_fit() {
        let at = plain(3, 1);
        let wide = Data::I64(vec![0, 300, -1]);
        assert_eq!(decode(&decoder(0), &[1, 1, 3], wide.clone(), &at).unwrap().labels, Labels::U16(vec![0, 300, u16::MAX]));
        assert_eq!(decode(&decoder(2), &[1, 1, 1, 3], Data::I32(vec![0, 1, -1]), &at).unwrap().labels, Labels::U8(vec![0, 1, u8::MAX]));
        assert_eq!(decode(&decoder(0), &[1, 1, 3], Data::U8(vec![0, 9, 255]), &at).unwrap().labels, Labels::U8(vec![0, 9, 255]));
        let error = decode(&decoder(2), &[1, 1, 3], wide, &at).unwrap_err().to_string();
        assert!(error.contains("a pixel of output `y` has class 300; the greatest in a label image is 255"), "{error}");
        let many = Data::F32((0..256 * 3).map(|i| i as f32).collect());
        assert_eq!(decode(&decoder(256), &[1, 256, 1, 3], many, &at).unwrap().labels, Labels::U16(vec![255; 3]));
    }

    #[test]
    fn the_resize_is_undone() {
        // 8 x 4 letterboxed into 4 x 4, whose output is 2 x 2: the rows of border are not seen.
        let letterboxed = Placement {
            frame: (8, 4),
            input: (4, 4),
            source: Rect { left: 0.0, top: 0.0, width: 8.0, height: 4.0 },
            target: Rect { left: 0, top: 1, width: 4, height: 2 },
        };
        let got = decode(&decoder(0), &[1, 2, 2], Data::U8(vec![1, 2, 3, 4]), &letterboxed).unwrap();
        let rows = [[1, 1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 2, 2, 2, 2], [3, 3, 3, 3, 4, 4, 4, 4], [3, 3, 3, 3, 4, 4, 4, 4]];
        assert_eq!(got.labels, Labels::U8(rows.concat()));
        // The middle of 8 x 4 into 4 x 4: left and right of it nothing is known.
        let cropped = Placement {
            source: Rect { left: 2.0, top: 0.0, width: 4.0, height: 4.0 },
            target: Rect { left: 0, top: 0, width: 4, height: 4 },
            ..letterboxed
        };
        let Labels::U8(got) = decode(&decoder(0), &[1, 2, 2], Data::U8(vec![1, 2, 3, 4]), &cropped).unwrap().labels else { panic!() };
        assert_eq!(got[..8], [255, 255, 1, 1, 2, 2, 255, 255]);
        assert_eq!(got[24..], [255, 255, 3, 3, 4, 4, 255, 255]);
    }

    #[test]
    fn outputs_that_are_not_as_described_are_named() {
        let f = |n: usize| Data::F32(vec![0.0; n]);
        for (labels, shape, data, want) in [
            (0, &[1, 2, 2][..], f(4), "output `y` has shape [1, 2, 2]; segmentation reads"),
            (0, &[1, 2, 1, 2], Data::I64(vec![0; 4]), "segmentation reads"),
            (3, &[1, 2, 1, 2], f(4), "output `y` has 2 classes, but 3 labels are named"),
            (0, &[1, 1, 1], Data::String(vec![String::new()]), "scores of pixels are floats"),
        ] {
            let error = decode(&decoder(labels), shape, data, &plain(1, 1)).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
