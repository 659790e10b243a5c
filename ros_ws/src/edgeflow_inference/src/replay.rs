//! Recorded frames through two models, one after the other, and how far they agree: what a rollout asks before any robot gets the
//! candidate.

use edgeflow_ros::sensor_msgs::msg::{CompressedImage, Image};
use edgeflow_ros::{Message, cdr};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::engine::{Inference, Model};
use crate::image::{Decompressed, Frame};
use crate::{Error, Result};

/// Largest recording that is read, bytes: all of it is in memory.
pub const MAX_RECORDING_BYTES: u64 = 2 << 30;
/// Frames on which the models disagree that are named.
const NAMED: usize = 20;

const IMAGE: &str = "sensor_msgs/msg/Image";
const COMPRESSED: &str = "sensor_msgs/msg/CompressedImage";

/// What is replayed, and how both are compared.
#[derive(Debug, Clone)]
pub struct Replay<'a> {
    /// MCAP file.
    pub recording: &'a Path,
    /// Topic of the frames; `None`: the only one with images.
    pub topic: Option<&'a str>,
    /// Largest relative difference of outputs that counts as agreement where there are no labels.
    pub tolerance: f64,
    /// At most so many frames, from the beginning.
    pub most_frames: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Replayed {
    /// Topic of the frames.
    pub topic: String,
    /// Frames that both answered.
    pub frames: u64,
    /// Frames that could not be read, or that the current model failed on.
    pub skipped: u64,
    /// Frames that the current model answered and the candidate failed on: they count as disagreement.
    pub failed: u64,
    /// Why the candidate failed first; empty when it did not.
    pub failure: String,
    /// Frames on which both agree.
    pub agreed: u64,
    /// `agreed / (frames + failed)`, 0 to 1; 0 of none.
    pub agreement: f64,
    /// Median time of the candidate for a frame, with its pre- and post-processing, microseconds.
    pub candidate_p50_us: u64,
    /// The same of the current model.
    pub current_p50_us: u64,
    /// Greatest difference of any number of the outputs; `null` where outputs have different shapes.
    pub max_difference: Option<f64>,
    /// First frames on which they disagree.
    pub differences: Vec<Difference>,
    /// How often which label became which, `"7 -> 1"`; of models with labels.
    pub relabelled: BTreeMap<String, u64>,
}

/// A frame on which both disagree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Log time of the frame, nanoseconds since the Unix epoch.
    pub t_ns: u64,
    /// What the current model says; empty when it gives no label.
    pub current: String,
    /// What the candidate says; `failed` when it failed.
    pub candidate: String,
}

impl Replay<'_> {
    /// Runs the frames through both models.
    ///
    /// # Errors
    /// [`Error::Recording`] when the file does not read, has no images, or several topics of them and none was named.
    pub fn run(&self, candidate: &Model, current: &Model) -> Result<Replayed> {
        let failed = |reason: String| Error::Recording { path: self.recording.to_owned(), reason };
        let size = std::fs::metadata(self.recording).map_err(|error| failed(error.to_string()))?.len();
        if size > MAX_RECORDING_BYTES {
            return Err(failed(format!("it has {size} bytes: more than {MAX_RECORDING_BYTES} are not replayed, record a shorter one")));
        }
        let bytes = std::fs::read(self.recording).map_err(|error| failed(error.to_string()))?;
        let topic = self.topic_of(&bytes).map_err(&failed)?;
        let mut replayed = Replayed { topic, max_difference: Some(0.0), ..Replayed::default() };
        let mut times: [Vec<Duration>; 2] = Default::default();
        for message in mcap::MessageStream::new(&bytes).map_err(|error| failed(error.to_string()))? {
            let message = match message {
                Ok(message) => message,
                // What was cut off by a crash is read as far as it goes.
                Err(_) if replayed.frames > 0 => break,
                Err(error) => return Err(failed(error.to_string())),
            };
            if message.channel.topic != replayed.topic || message.channel.message_encoding != "cdr" {
                continue;
            }
            if replayed.frames + replayed.failed + replayed.skipped >= self.most_frames {
                break;
            }
            let schema = message.channel.schema.as_ref().map(|schema| schema.name.as_str()).unwrap_or_default();
            let answers = match schema {
                IMAGE => decoded::<Image>(&message.data).and_then(|image| both(&frame(&image), current, candidate)),
                COMPRESSED => decoded::<CompressedImage>(&message.data)
                    .and_then(|image| Decompressed::new(&image.data))
                    .and_then(|pixels| both(&pixels.frame(), current, candidate)),
                _ => continue,
            };
            match answers {
                Ok(answers) => replayed.take(message.log_time, answers, &mut times, self.tolerance),
                Err(_) => replayed.skipped += 1,
            }
        }
        let compared = replayed.frames + replayed.failed;
        replayed.agreement = if compared > 0 { replayed.agreed as f64 / compared as f64 } else { 0.0 };
        let [current_times, candidate_times] = &mut times;
        (replayed.current_p50_us, replayed.candidate_p50_us) = (median_us(current_times), median_us(candidate_times));
        Ok(replayed)
    }

    fn topic_of(&self, bytes: &[u8]) -> std::result::Result<String, String> {
        if let Some(topic) = self.topic {
            return Ok(topic.to_owned());
        }
        let mut topics: Vec<String> = Vec::new();
        for message in mcap::MessageStream::new(bytes).map_err(|error| error.to_string())?.map_while(|message| message.ok()) {
            let image = message.channel.schema.as_ref().is_some_and(|schema| [IMAGE, COMPRESSED].contains(&schema.name.as_str()));
            if image && !topics.contains(&message.channel.topic) {
                topics.push(message.channel.topic.clone());
            }
        }
        match topics.as_slice() {
            [topic] => Ok(topic.clone()),
            [] => Err("it has no images (sensor_msgs/msg/Image or CompressedImage)".to_owned()),
            several => Err(format!("it has images of {}: name a topic", several.join(", "))),
        }
    }
}

fn decoded<T: Message>(bytes: &[u8]) -> Result<T> {
    Ok(cdr::decode(bytes)?)
}

fn frame(image: &Image) -> Frame<'_> {
    Frame {
        width: image.width,
        height: image.height,
        step: image.step,
        encoding: &image.encoding,
        is_bigendian: image.is_bigendian != 0,
        data: &image.data,
    }
}

/// An answer and how long it took.
type Answer = (Inference, Duration);

/// The current model's answer, and the candidate's.
fn both(frame: &Frame<'_>, current: &Model, candidate: &Model) -> Result<(Answer, Result<Answer>)> {
    let frame = frame.check()?;
    let ask = |model: &Model| {
        let began = Instant::now();
        model.infer_frame(&frame).map(|inference| (inference, began.elapsed()))
    };
    Ok((ask(current)?, ask(candidate)))
}

impl Replayed {
    fn take(&mut self, t_ns: u64, (current, candidate): (Answer, Result<Answer>), times: &mut [Vec<Duration>; 2], tolerance: f64) {
        let label = |inference: &Inference| inference.classification().map(|class| class.label.clone()).unwrap_or_default();
        let ((was, was_time), (is, is_time)) = match candidate {
            Ok(candidate) => (current, candidate),
            Err(error) => {
                self.failed += 1;
                if self.failure.is_empty() {
                    self.failure = error.to_string();
                }
                self.note(Difference { t_ns, current: label(&current.0), candidate: "failed".to_owned() });
                return;
            }
        };
        self.frames += 1;
        times.iter_mut().zip([was_time, is_time]).for_each(|(times, time)| times.push(time));
        self.max_difference = self.max_difference.zip(max_difference(&was, &is)).map(|(a, b)| a.max(b));
        if agree(&was, &is, tolerance) {
            self.agreed += 1;
            return;
        }
        let (was, is) = (label(&was), label(&is));
        if was != is && self.relabelled.len() < 1000 {
            *self.relabelled.entry(format!("{was} -> {is}")).or_default() += 1;
        }
        self.note(Difference { t_ns, current: was, candidate: is });
    }

    fn note(&mut self, difference: Difference) {
        if self.differences.len() < NAMED {
            self.differences.push(difference);
        }
    }
}

/// The same class; without classes: every number within `tolerance` of the other, relatively, or within a thousandth of it absolutely.
fn agree(was: &Inference, is: &Inference, tolerance: f64) -> bool {
    if let (Some(a), Some(b)) = (was.classification(), is.classification()) {
        return a.label == b.label;
    }
    let close = |a: f64, b: f64| (a - b).abs() <= tolerance * (1e-3 + a.abs().max(b.abs())) || a == b || (a.is_nan() && b.is_nan());
    was.outputs.len() == is.outputs.len()
        && was.outputs.iter().zip(&is.outputs).all(|(a, b)| {
            a.name == b.name
                && a.shape == b.shape
                && match (a.data.to_f64(), b.data.to_f64()) {
                    (Some(x), Some(y)) => x.iter().zip(&y).all(|(x, y)| close(*x, *y)),
                    _ => a.data == b.data,
                }
        })
}

/// Greatest difference of any number; `None` when outputs cannot be compared.
fn max_difference(was: &Inference, is: &Inference) -> Option<f64> {
    let same = was.outputs.len() == is.outputs.len() && was.outputs.iter().zip(&is.outputs).all(|(a, b)| a.shape == b.shape);
    same.then(|| {
        let pairs = was.outputs.iter().zip(&is.outputs).filter_map(|(a, b)| a.data.to_f64().zip(b.data.to_f64()));
        pairs.flat_map(|(x, y)| x.into_iter().zip(y)).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
    })
}

fn median_us(times: &mut [Duration]) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}
