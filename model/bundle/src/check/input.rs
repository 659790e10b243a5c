//! The frame a manifest describes, against the graph's inputs.

use super::{find, mismatch, names};
use crate::manifest::PixelType;
use crate::{InputSpec, Layout, OnnxSchema, Result, ValueInfo, ValueKind};

pub(super) fn check(schema: &OnnxSchema, spec: &InputSpec) -> Result<()> {
    let input = find(&schema.inputs, spec.tensor.as_deref(), "input.tensor", "input")?;
    if schema.inputs.len() > 1 {
        let others = names(schema.inputs.iter().filter(|other| other.name != input.name));
        return Err(mismatch(format!(
            "an image fills one input ({}) but the graph also wants {others}; take `input` out and feed tensors",
            input.name
        )));
    }
    let dtype = PixelType::of(input.elem_type).filter(|_| input.kind == ValueKind::Tensor);
    match (dtype, spec.dtype) {
        (None, _) => {
            return Err(mismatch(format!("an image becomes a tensor of {}, but the graph's input is {input}", PixelType::NAMES)));
        }
        (Some(has), Some(wanted)) if has != wanted => {
            return Err(mismatch(format!("`input.dtype` is {}, but the graph's input is {input}; take `dtype` out", wanted.elem_type())));
        }
        _ => {}
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
        spec.layout.name()
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
