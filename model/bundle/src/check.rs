//! Whether a graph takes what its manifest feeds it, and gives what its manifest reads.

use crate::{Decode, ElemType, Error, InputSpec, Layout, Manifest, OnnxSchema, OutputSpec, Result, ValueInfo, ValueKind};

/// Checks that the frame `manifest` describes fits the graph's input, and that the output it decodes is there with as
/// many scores as there are labels.
///
/// # Errors
/// [`Error::Mismatch`] says what was expected and what the graph has.
pub fn check_manifest(schema: &OnnxSchema, manifest: &Manifest) -> Result<()> {
    if let Some(input) = &manifest.input {
        check_input(schema, input)?;
    }
    if let Some(output) = &manifest.output {
        check_output(schema, output, &manifest.labels)?;
    }
    Ok(())
}

fn check_input(schema: &OnnxSchema, spec: &InputSpec) -> Result<()> {
    let input = find(&schema.inputs, spec.tensor.as_deref(), "input.tensor", "input")?;
    if schema.inputs.len() > 1 {
        let others = names(schema.inputs.iter().filter(|other| other.name != input.name));
        return Err(mismatch(format!(
            "an image fills one input ({}) but the graph also wants {others}; take `input` out and feed tensors",
            input.name
        )));
    }
    if input.kind != ValueKind::Tensor || input.elem_type != ElemType::Float32 {
        return Err(mismatch(format!("an image becomes a float32 tensor, but the graph's input is {input}")));
    }
    if !input.rank_known {
        return Ok(());
    }
    let expected = expected_shape(spec);
    let fits = input.shape.len() == expected.len()
        && input.shape.iter().zip(&expected).all(|(have, want)| match (have, want) {
            (Some(have), Some(want)) => have == want,
            _ => true,
        });
    if fits {
        return Ok(());
    }
    let size = spec.resize.map_or_else(|| "frames as they come".to_owned(), |r| format!("{}x{}", r.width, r.height));
    let image = ValueInfo { shape: expected, ..input.clone() };
    Err(mismatch(format!(
        "input {input} does not take the image described (width x height {size}, {}, layout {}), which is {image}; mend `input`",
        spec.encoding.name(),
        layout_name(spec.layout)
    )))
}

/// Shape of the tensor an image becomes; `None` where the frame decides.
fn expected_shape(spec: &InputSpec) -> Vec<Option<i64>> {
    let channels = spec.encoding.channels() as i64;
    let (width, height) = spec.resize.map_or((None, None), |r| (Some(i64::from(r.width)), Some(i64::from(r.height))));
    let one = Some(1);
    match spec.layout {
        Layout::Flat => vec![one, width.zip(height).map(|(w, h)| w * h * channels)],
        Layout::Nchw => vec![one, Some(channels), height, width],
        Layout::Nhwc => vec![one, height, width, Some(channels)],
    }
}

fn check_output(schema: &OnnxSchema, spec: &OutputSpec, labels: &[String]) -> Result<()> {
    match spec.decode {
        Decode::Classification => check_classification(schema, spec, labels),
    }
}

fn check_classification(schema: &OnnxSchema, spec: &OutputSpec, labels: &[String]) -> Result<()> {
    let output = find(&schema.outputs, spec.scores.as_deref(), "output.scores", "output")?;
    if output.kind != ValueKind::Tensor || !matches!(output.elem_type, ElemType::Float32 | ElemType::Float64) {
        let hint =
            if output.kind == ValueKind::Sequence { "; export with ZipMap off" } else { "; name the output with one score per class" };
        return Err(mismatch(format!("scores are a float32 or float64 tensor, but the graph's output is {output}{hint}")));
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

fn find<'a>(values: &'a [ValueInfo], name: Option<&str>, key: &str, role: &str) -> Result<&'a ValueInfo> {
    match (name, values) {
        (Some(name), _) => values
            .iter()
            .find(|value| value.name == name)
            .ok_or_else(|| mismatch(format!("`{key}` is {name:?}, but the graph's {role}s are {}", names(values)))),
        (None, [only]) => Ok(only),
        (None, _) => Err(mismatch(format!("`{key}` is missing and the graph's {role}s are {}; name one", names(values)))),
    }
}

fn names<'a>(values: impl IntoIterator<Item = &'a ValueInfo>) -> String {
    let names: Vec<&str> = values.into_iter().map(|value| value.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::Flat => "flat",
        Layout::Nchw => "nchw",
        Layout::Nhwc => "nhwc",
    }
}

fn mismatch(message: String) -> Error {
    Error::Mismatch { message }
}
