//! The outputs a manifest decodes, against those the graph gives. Open dimensions pass: the node looks at them again
//! when it warms the model up.

use super::{find, mismatch};
use crate::{
    ClassificationSpec, DetectionFormat, DetectionSpec, ElemType, OnnxSchema, OutputSpec, Result, SegmentationSpec, ValueInfo, ValueKind,
};

pub(super) fn check(schema: &OnnxSchema, spec: &OutputSpec, labels: &[String]) -> Result<()> {
    match spec {
        OutputSpec::Classification(spec) => classification(schema, spec, labels),
        OutputSpec::Detection(spec) => detection(schema, spec, labels),
        OutputSpec::Segmentation(spec) => segmentation(schema, spec, labels),
        OutputSpec::Regression(spec) | OutputSpec::Embedding(spec) => {
            for name in &spec.tensors {
                find(&schema.outputs, Some(name), "output.tensors", "output")?;
            }
            Ok(())
        }
    }
}

fn classification(schema: &OnnxSchema, spec: &ClassificationSpec, labels: &[String]) -> Result<()> {
    let output = find(&schema.outputs, spec.scores.as_deref(), "output.scores", "output")?;
    if !is_float(output) {
        let hint =
            if output.kind == ValueKind::Sequence { "; export with ZipMap off" } else { "; name the output with one score per class" };
        return Err(mismatch(format!("scores are a tensor of floats, but the graph's output is {output}{hint}")));
    }
    if !output.rank_known {
        return Ok(());
    }
    let (batch, classes) = match output.shape[..] {
        [classes] => (Some(1), classes),
        [batch, classes] => (batch, classes),
        _ => return Err(mismatch(format!("scores have the shape [1, classes] or [classes], but the graph's output is {output}"))),
    };
    if batch.is_some_and(|batch| batch != 1) {
        return Err(mismatch(format!("frames are scored one at a time, but the graph's output is {output}")));
    }
    match classes {
        Some(classes) if !labels.is_empty() && classes != labels.len() as i64 => {
            Err(mismatch(format!("there are {} labels, but output {output} has {classes} scores; name every class once", labels.len())))
        }
        _ => Ok(()),
    }
}

/// Dimensions as they must be, in the words of an error message; numbers must be met, words stand for any.
struct Shape(&'static [Dim]);

/// One dimension of a [`Shape`].
#[derive(Clone, Copy)]
enum Dim {
    Is(i64),
    Any(&'static str),
    /// So many numbers and one per class.
    Classes(i64),
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dims: Vec<String> = self
            .0
            .iter()
            .map(|dim| match dim {
                Dim::Is(n) => n.to_string(),
                Dim::Any(word) => (*word).to_owned(),
                Dim::Classes(0) => "classes".to_owned(),
                Dim::Classes(more) => format!("{more} + classes"),
            })
            .collect();
        write!(f, "[{}]", dims.join(", "))
    }
}

impl Shape {
    /// Checks an output's rank and the dimensions it states. `classes` is the number of labels; 0 when there are none.
    fn check(&self, output: &ValueInfo, what: &str, classes: usize) -> Result<()> {
        if !output.rank_known {
            return Ok(());
        }
        let wrong = || mismatch(format!("{what} has the shape {self}, but the graph's output is {output}"));
        if output.shape.len() != self.0.len() {
            return Err(wrong());
        }
        for (dim, have) in self.0.iter().zip(&output.shape) {
            let Some(have) = have else { continue };
            match dim {
                Dim::Is(want) if have != want => return Err(wrong()),
                Dim::Classes(more) if *have <= *more => return Err(wrong()),
                Dim::Classes(more) if classes > 0 && have - more != classes as i64 => {
                    let has = have - more;
                    return Err(mismatch(format!(
                        "there are {classes} labels, but output {output} has {has} classes; name every class once"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn detection(schema: &OnnxSchema, spec: &DetectionSpec, labels: &[String]) -> Result<()> {
    use Dim::{Any, Classes, Is};
    let format = spec.format.name();
    let output = |name: &Option<String>, key: &str| -> Result<&ValueInfo> {
        let output = find(&schema.outputs, name.as_deref(), key, "output")?;
        if is_float(output) {
            Ok(output)
        } else {
            Err(mismatch(format!("`{key}` is a tensor of floats, but the graph's output is {output}")))
        }
    };
    let one = |shape: Shape| shape.check(output(&spec.tensor, "output.tensor")?, &format!("the output of {format}"), labels.len());
    let boxes =
        || Shape(&[Is(1), Any("boxes"), Is(4)]).check(output(&spec.boxes, "output.boxes")?, &format!("`output.boxes` of {format}"), 0);
    match spec.format {
        DetectionFormat::Yolov5 => one(Shape(&[Is(1), Any("boxes"), Classes(5)])),
        DetectionFormat::Yolov8 => one(Shape(&[Is(1), Classes(4), Any("boxes")])),
        DetectionFormat::Yolov10 => one(Shape(&[Is(1), Any("boxes"), Is(6)])),
        DetectionFormat::Detr => {
            boxes()?;
            let shape = if spec.has_no_object_class() { &[Is(1), Any("boxes"), Classes(1)] } else { &[Is(1), Any("boxes"), Classes(0)] };
            Shape(shape).check(output(&spec.scores, "output.scores")?, "`output.scores` of detr", labels.len())
        }
        DetectionFormat::Ssd => ssd(schema, spec, labels, output(&spec.boxes, "output.boxes")?, output(&spec.scores, "output.scores")?),
    }
}

/// Exporters leave the batch dimension in or out.
fn ssd(schema: &OnnxSchema, spec: &DetectionSpec, labels: &[String], boxes: &ValueInfo, scores: &ValueInfo) -> Result<()> {
    use Dim::{Any, Classes, Is};
    let batched = |value: &ValueInfo, rank: usize| value.shape.len() == rank;
    let shape = if batched(boxes, 2) { &[Any("boxes"), Is(4)][..] } else { &[Is(1), Any("boxes"), Is(4)] };
    Shape(shape).check(boxes, "`output.boxes` of ssd", 0)?;
    let Some(classes) = &spec.classes else {
        let shape = if batched(scores, 2) { &[Any("boxes"), Classes(0)][..] } else { &[Is(1), Any("boxes"), Classes(0)] };
        return Shape(shape).check(scores, "`output.scores` of ssd without `output.classes`", labels.len());
    };
    let classes = find(&schema.outputs, Some(classes), "output.classes", "output")?;
    let is_number = is_float(classes) || is_whole(classes);
    if !is_number {
        return Err(mismatch(format!("`output.classes` is a tensor of numbers, but the graph's output is {classes}")));
    }
    for (key, value) in [("`output.scores` of ssd beside `output.classes`", scores), ("`output.classes` of ssd", classes)] {
        let shape = if batched(value, 1) { &[Any("boxes")][..] } else { &[Is(1), Any("boxes")] };
        Shape(shape).check(value, key, 0)?;
    }
    Ok(())
}

fn segmentation(schema: &OnnxSchema, spec: &SegmentationSpec, labels: &[String]) -> Result<()> {
    let output = find(&schema.outputs, spec.tensor.as_deref(), "output.tensor", "output")?;
    let wrong = || {
        mismatch(format!(
            "segmentation reads scores [1, classes, height, width] in floats, or classes [1, height, width] or [1, 1, height, width] in \
             whole numbers, but the graph's output is {output}"
        ))
    };
    let (floats, whole) = (is_float(output), is_whole(output));
    if !floats && !whole {
        return Err(wrong());
    }
    if !output.rank_known {
        return Ok(());
    }
    let (batch, channels) = match output.shape[..] {
        [batch, channels, _, _] => (batch, channels),
        [batch, _, _] if whole => (batch, Some(1)),
        _ => return Err(wrong()),
    };
    if batch.is_some_and(|batch| batch != 1) || (whole && channels.is_some_and(|channels| channels != 1)) {
        return Err(wrong());
    }
    // One channel of scores tells two classes apart.
    match channels {
        Some(channels) if floats && !labels.is_empty() && channels.max(2) != labels.len() as i64 => {
            let has = channels.max(2);
            Err(mismatch(format!("there are {} labels, but output {output} has {has} classes; name every class once", labels.len())))
        }
        _ => Ok(()),
    }
}

fn is_float(output: &ValueInfo) -> bool {
    output.kind == ValueKind::Tensor
        && matches!(output.elem_type, ElemType::Float32 | ElemType::Float64 | ElemType::Float16 | ElemType::Bfloat16)
}

fn is_whole(output: &ValueInfo) -> bool {
    use ElemType::{Bool, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    output.kind == ValueKind::Tensor && matches!(output.elem_type, Bool | Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64)
}
