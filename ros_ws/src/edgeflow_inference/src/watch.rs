//! What a frame and a model's answer are reduced to, to be watched for drift: one number per feature.
//!
//! Of images light, contrast, focus and the mean of each colour; of vectors each element; of scans, samples and arrays each
//! column; of answers the class and how sure the model is of it, the objects found of each class, or each element. Which of them a model has is known when it is loaded,
//! so that a baseline over anything else is refused then.

use edgeflow_bundle::InputSpec;
use edgeflow_drift::{Baseline, Feature, FeatureBaseline, IMAGE_FEATURES, OUTPUT_PREFIX, image_features};

use crate::adapt::Adapter;
use crate::decode::{Decoded, Decoder, Detection, LabelImage, Labels};
use crate::engine::{Inference, Model};
use crate::image::{CheckedFrame, colour_means, gray};
use crate::tensor::{Data, Tensor, TensorSpec};
use crate::{Error, Result};

/// Most elements or columns of a vector input that are watched; a longer one is no vector of features.
const MOST_INPUT_ELEMENTS: usize = 64;
/// Most elements of raw outputs that are watched: the first.
const MOST_OUTPUT_ELEMENTS: usize = 16;
/// Most classes of a segmentation whose shares, and of a detection whose numbers of objects, are watched: the first.
const MOST_CLASSES: usize = 16;
/// Every so many rows of a segmentation are counted: a share needs no more.
const SHARE_ROWS: usize = 4;

/// Names of the means of a colour image's channels.
const COLOURS: [&str; 3] = ["red", "green", "blue"];

/// What the model saw.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A frame.
    Image(&'a CheckedFrame<'a>),
    /// The graph's inputs.
    Tensors(&'a [Tensor]),
    /// What an [adapter](crate::adapt::Adapter::features) made of a scan, or of a window's newest message.
    Numbers(&'a [f64]),
}

/// Where a feature's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// Place in [`IMAGE_FEATURES`].
    Image(usize),
    /// Place in [`COLOURS`].
    Colour(usize),
    /// Element of an input.
    Input(String, usize),
    /// Place among an adapter's numbers.
    Number(usize),
    Class,
    Confidence,
    Detections,
    MeanScore,
    /// Objects of a class.
    Count(usize),
    /// Share of pixels of a class.
    Share(usize),
    /// Element of an output.
    Output(String, usize),
}

/// One feature, and how it is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Measure {
    feature: Feature,
    source: Source,
}

/// The features of one model's frames and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measures(Vec<Measure>);

impl Measures {
    /// Those that are watched: of inputs and of outputs those that the baseline has, or, where it has none of the kind, all.
    ///
    /// A vector's elements may have other names in the baseline, such as the columns of the table it was made from, as long as
    /// there are as many.
    ///
    /// # Errors
    /// [`Error::BaselineFeature`] when the baseline has a feature that is not measured, or that is of another kind.
    pub fn of(model: &Model, baseline: Option<&Baseline>) -> Result<Self> {
        let known = baseline.map(|baseline| &baseline.features[..]).unwrap_or_default();
        let (outputs, inputs): (Vec<_>, Vec<_>) = known.iter().partition(|feature| feature.name.starts_with(OUTPUT_PREFIX));
        let mut measures = choose(&inputs, of_inputs(model), has_columns(model))?;
        measures.extend(choose(&outputs, of_outputs(model), false)?);
        Ok(Self(measures))
    }

    /// Names and kinds, in the order of the values.
    pub fn features(&self) -> Vec<Feature> {
        self.0.iter().map(|measure| measure.feature.clone()).collect()
    }

    /// A value per feature; NaN where the frame or the answer does not have it. `answer` is `None` when the model failed.
    ///
    /// # Errors
    /// [`Error::Drift`] when the frame contradicts itself, which a checked one does not.
    pub fn values(&self, seen: Seen<'_>, answer: Option<&Inference>) -> Result<Vec<f64>> {
        let has = |wanted: fn(&Source) -> bool| self.0.iter().any(|measure| wanted(&measure.source));
        let (mut image, mut colours) = ([f64::NAN; IMAGE_FEATURES.len()], [f64::NAN; 3]);
        if let Seen::Image(frame) = seen {
            if has(|source| matches!(source, Source::Image(_))) {
                let (pixels, step) = gray(frame);
                image = image_features(&pixels, frame.width, frame.height, step)?.values();
            }
            if has(|source| matches!(source, Source::Colour(_))) {
                colours = colour_means(frame)?.unwrap_or(colours);
            }
        }
        let decoded = answer.map(|answer| &answer.decoded);
        let shares = match decoded {
            Some(Decoded::Segmentation(labels)) if has(|source| matches!(source, Source::Share(_))) => shares(labels),
            _ => Vec::new(),
        };
        let value = |source: &Source| match (source, seen, decoded) {
            (Source::Image(place), ..) => image[*place],
            (Source::Colour(place), ..) => colours[*place],
            (Source::Input(name, at), Seen::Tensors(tensors), _) => element(tensors, name, *at),
            (Source::Number(at), Seen::Numbers(numbers), _) => numbers.get(*at).copied().unwrap_or(f64::NAN),
            (Source::Class, _, Some(Decoded::Classification(class))) if class.class_id >= 0 => f64::from(class.class_id),
            (Source::Confidence, _, Some(Decoded::Classification(class))) => f64::from(class.score),
            (Source::Detections, _, Some(Decoded::Detections(found))) => found.len() as f64,
            (Source::MeanScore, _, Some(Decoded::Detections(found))) => {
                found.iter().map(|one| f64::from(one.score)).sum::<f64>() / found.len() as f64
            }
            (Source::Count(class), _, Some(Decoded::Detections(found))) => count(found, *class),
            (Source::Share(class), ..) => shares.get(*class).copied().unwrap_or(f64::NAN),
            (Source::Output(name, at), ..) => answer.map_or(f64::NAN, |answer| element(&answer.outputs, name, *at)),
            _ => f64::NAN,
        };
        Ok(self.0.iter().map(|measure| value(&measure.source)).collect())
    }
}

/// Those of `all` that the baseline knows, in its order; all of them when it knows none.
fn choose(known: &[&FeatureBaseline], mut all: Vec<Measure>, has_columns: bool) -> Result<Vec<Measure>> {
    if known.is_empty() {
        return Ok(all);
    }
    let by_place =
        has_columns && known.len() == all.len() && known.iter().all(|feature| !all.iter().any(|one| one.feature.name == feature.name));
    if by_place {
        all.iter_mut().zip(known).for_each(|(measure, known)| measure.feature = Feature::numeric(&known.name, &known.unit));
    }
    let named = |known: &&FeatureBaseline| {
        let same =
            |measure: &&Measure| measure.feature.name == known.name && matches!(measure.source, Source::Class) == known.is_categorical();
        all.iter().find(same).cloned().ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|measure| measure.feature.name.as_str()).collect();
            Error::BaselineFeature {
                name: known.name.clone(),
                known: if names.is_empty() { "nothing of the kind".into() } else { names.join(", ") },
            }
        })
    };
    known.iter().map(named).collect()
}

fn measure(name: impl Into<String>, unit: &str, source: Source) -> Measure {
    Measure { feature: Feature::numeric(name, unit), source }
}

fn of_images() -> Vec<Measure> {
    let plain = IMAGE_FEATURES.iter().enumerate().map(|(place, &(name, unit))| measure(name, unit, Source::Image(place)));
    plain.chain(COLOURS.iter().enumerate().map(|(place, &name)| measure(name, "0..255", Source::Colour(place)))).collect()
}

/// Whether what goes in has columns, which a table that a baseline was made from may call otherwise. A scan's numbers are
/// made of its columns.
fn has_columns(model: &Model) -> bool {
    !model.takes_images() && !matches!(model.table().map(Adapter::spec), Some(InputSpec::PointCloud(_)))
}

fn of_inputs(model: &Model) -> Vec<Measure> {
    if model.takes_images() {
        return of_images();
    }
    let all = match model.table() {
        Some(adapter) => {
            let numbers = adapter.features().into_iter().enumerate();
            numbers.map(|(place, feature)| Measure { feature, source: Source::Number(place) }).collect()
        }
        None => elements(model.inputs(), MOST_INPUT_ELEMENTS, Source::Input, ""),
    };
    if all.len() > MOST_INPUT_ELEMENTS { Vec::new() } else { all }
}

fn of_outputs(model: &Model) -> Vec<Measure> {
    let named = |name: &str| format!("{OUTPUT_PREFIX}{name}");
    match model.decoder() {
        Decoder::Classification(_) => vec![
            Measure { feature: Feature::categorical(named("class"), model.labels.clone()), source: Source::Class },
            measure(named("confidence"), "", Source::Confidence),
        ],
        Decoder::Detection(_) => {
            let classes = model.labels.iter().take(MOST_CLASSES).enumerate();
            let counts = classes.map(|(class, label)| measure(named(&format!("count[{label}]")), "", Source::Count(class)));
            let all = [measure(named("detections"), "", Source::Detections), measure(named("mean_score"), "", Source::MeanScore)];
            all.into_iter().chain(counts).collect()
        }
        Decoder::Segmentation(_) => {
            let classes = model.labels.iter().take(MOST_CLASSES).enumerate();
            classes.map(|(class, label)| measure(named(&format!("share[{label}]")), "", Source::Share(class))).collect()
        }
        Decoder::Tensors(names) => {
            let specs = model.outputs().iter().filter(|spec| names.is_empty() || names.contains(&spec.name)).cloned();
            let mut all = elements(&specs.collect::<Vec<_>>(), MOST_OUTPUT_ELEMENTS, Source::Output, OUTPUT_PREFIX);
            all.truncate(MOST_OUTPUT_ELEMENTS);
            all
        }
    }
}

/// The elements of tensors of numbers, at most one more than `most`. Open dimensions count as one.
fn elements(specs: &[TensorSpec], most: usize, source: fn(String, usize) -> Source, prefix: &str) -> Vec<Measure> {
    let numeric = specs.iter().filter(|spec| spec.rank_known && spec.element_type.is_some_and(|ty| ty.size_bytes().is_some()));
    let each = numeric.flat_map(|spec| {
        let count = spec.shape.iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(*d).unwrap_or(1))).unwrap_or(usize::MAX);
        let name = move |at: usize| if count == 1 { format!("{prefix}{}", spec.name) } else { format!("{prefix}{}[{at}]", spec.name) };
        (0..count).map(move |at| measure(name(at), "", source(spec.name.clone(), at)))
    });
    each.take(most + 1).collect()
}

/// One element as a number; NaN when the tensor does not have it.
fn element(tensors: &[Tensor], name: &str, at: usize) -> f64 {
    let Some(tensor) = tensors.iter().find(|tensor| tensor.name == name) else { return f64::NAN };
    let value = match &tensor.data {
        Data::F32(v) => v.get(at).map(|x| f64::from(*x)),
        Data::F64(v) => v.get(at).copied(),
        Data::F16(v) => v.get(at).map(|x| x.to_f64()),
        Data::BF16(v) => v.get(at).map(|x| x.to_f64()),
        Data::U8(v) => v.get(at).map(|x| f64::from(*x)),
        Data::I8(v) => v.get(at).map(|x| f64::from(*x)),
        Data::U16(v) => v.get(at).map(|x| f64::from(*x)),
        Data::I16(v) => v.get(at).map(|x| f64::from(*x)),
        Data::U32(v) => v.get(at).map(|x| f64::from(*x)),
        Data::I32(v) => v.get(at).map(|x| f64::from(*x)),
        Data::U64(v) => v.get(at).map(|x| *x as f64),
        Data::I64(v) => v.get(at).map(|x| *x as f64),
        Data::Bool(v) => v.get(at).map(|x| f64::from(u8::from(*x))),
        Data::String(_) => None,
    };
    value.unwrap_or(f64::NAN)
}

/// Objects of a class.
fn count(found: &[Detection], class: usize) -> f64 {
    found.iter().filter(|one| one.class == class).count() as f64
}

/// Share of each class among the pixels that have one.
fn shares(image: &LabelImage) -> Vec<f64> {
    fn count<T: Copy + Into<usize>>(image: &LabelImage, labels: &[T], unlabelled: usize) -> Vec<u64> {
        let mut counts = vec![0u64; unlabelled + 1];
        for row in labels.chunks_exact(image.width.max(1)).step_by(SHARE_ROWS) {
            row.iter().for_each(|&label| counts[label.into()] += 1);
        }
        counts.truncate(unlabelled);
        counts
    }
    let counts = match &image.labels {
        Labels::U8(labels) => count(image, labels, usize::from(u8::MAX)),
        Labels::U16(labels) => count(image, labels, usize::from(u16::MAX)),
    };
    let all: u64 = counts.iter().sum();
    counts.into_iter().take(MOST_CLASSES).map(|n| n as f64 / all as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Frame;

    #[test]
    fn a_baseline_that_the_command_line_made_of_images_holds_for_frames() {
        let rgb = [10, 20, 30, 20, 40, 60, 30, 60, 90, 40, 80, 120];
        let frame = Frame { width: 2, height: 2, step: 6, encoding: "rgb8", is_bigendian: false, data: &rgb }.check().unwrap();
        let (grey, _) = gray(&frame);
        let expected: Vec<u8> = rgb.as_chunks::<3>().0.iter().map(|[r, g, b]| edgeflow_drift::luma(*r, *g, *b)).collect();
        assert_eq!(grey.as_ref(), expected);
    }

    #[test]
    fn objects_are_counted_by_class() {
        let found = [3, 0, 3].map(|class| Detection { class, score: 1.0, corners: [0.0; 4] });
        assert_eq!([0, 1, 3].map(|class| count(&found, class)), [1.0, 0.0, 2.0]);
    }

    #[test]
    fn shares_are_of_the_pixels_that_have_a_class() {
        let labels = (0..16 * 8).map(|i| if i % 4 == 3 { u8::MAX } else { (i % 4) as u8 }).collect();
        let found = shares(&LabelImage { width: 16, height: 8, labels: Labels::U8(labels) });
        assert_eq!((found.len(), found[3]), (MOST_CLASSES, 0.0));
        assert!(found[..3].iter().all(|share| (share - 1.0 / 3.0).abs() < 1e-12), "{found:?}");
        assert!(shares(&LabelImage { width: 1, height: 1, labels: Labels::U16(vec![u16::MAX]) })[0].is_nan());
    }

    #[test]
    fn a_baseline_chooses_what_is_watched_and_may_name_a_vectors_columns() {
        let known = |names: &[&str]| -> Vec<FeatureBaseline> {
            let mut builder = edgeflow_drift::BaselineBuilder::new(&names.iter().map(|name| (*name, "")).collect::<Vec<_>>());
            (0..100).for_each(|i| builder.push(&vec![f64::from(i); names.len()]).unwrap());
            builder.build().unwrap().features
        };
        let names = |measures: &[Measure]| measures.iter().map(|measure| measure.feature.name.clone()).collect::<Vec<_>>();
        let vector = || (0..2).map(|at| measure(format!("X[{at}]"), "", Source::Input("X".into(), at))).collect::<Vec<_>>();
        let chosen = |known: &[FeatureBaseline], vector: bool, all| choose(&known.iter().collect::<Vec<_>>(), all, vector);

        assert_eq!(names(&chosen(&[], true, vector()).unwrap()), ["X[0]", "X[1]"]);
        assert_eq!(names(&chosen(&known(&["X[1]"]), true, vector()).unwrap()), ["X[1]"]);
        let named = chosen(&known(&["speed", "load"]), true, vector()).unwrap();
        assert_eq!((names(&named), &named[1].source), (vec!["speed".into(), "load".into()], &Source::Input("X".into(), 1)));
        for (wrong, vector_input) in [(&["speed"][..], true), (&["X[0]", "load"], true), (&["speed", "load"], false)] {
            let error = chosen(&known(wrong), vector_input, vector()).unwrap_err().to_string();
            assert!(error.contains("what is measured of this model is X[0], X[1]"), "{error}");
        }
        assert_eq!(names(&chosen(&known(&["contrast", "red"]), false, of_images()).unwrap()), ["contrast", "red"]);
    }
}
