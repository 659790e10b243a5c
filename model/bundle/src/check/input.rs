//! What a manifest feeds, against the graph's inputs.

use super::{find, mismatch, names};
use crate::manifest::PixelType;
use crate::{ElemType, GoldenTensor, ImageSpec, InputSpec, Layout, OnnxSchema, Result, ValueInfo, ValueKind};

/// Types of which a table of numbers can be.
const FLOATS: [ElemType; 3] = [ElemType::Float32, ElemType::Float16, ElemType::Float64];

pub(super) fn check(schema: &OnnxSchema, spec: &InputSpec, constants: &[GoldenTensor]) -> Result<()> {
    let input = find(&schema.inputs, spec.tensor(), "input.tensor", "input")?;
    check_constants(schema, input, constants)?;
    match spec {
        InputSpec::Image(spec) => image(input, spec),
        other => table(input, other),
    }
}

/// Every input but the one that is filled is a constant, and no constant is anything else.
fn check_constants(schema: &OnnxSchema, filled: &ValueInfo, constants: &[GoldenTensor]) -> Result<()> {
    let is_constant = |input: &&ValueInfo| constants.iter().any(|constant| constant.name == input.name);
    let open: Vec<&ValueInfo> = schema.inputs.iter().filter(|input| input.name != filled.name && !is_constant(input)).collect();
    if !open.is_empty() {
        return Err(mismatch(format!(
            "`input` fills one input ({}) but the graph also wants {}; give what is always the same as `constants`, or take `input` out and \
             feed tensors",
            filled.name,
            names(open)
        )));
    }
    for (i, constant) in constants.iter().enumerate() {
        let name = &constant.name;
        let others = || names(schema.inputs.iter().filter(|input| input.name != filled.name));
        let value =
            schema.inputs.iter().find(|input| input.name == *name && input.name != filled.name).ok_or_else(|| {
                mismatch(format!("`constants` has {name:?}, but the inputs beside the one that is filled are {}", others()))
            })?;
        if constants[..i].iter().any(|other| other.name == *name) {
            return Err(mismatch(format!("`constants` has {name:?} twice")));
        }
        constant.check(value, "constant").map_err(mismatch)?;
        if value.kind != ValueKind::Tensor || !fits(value, &constant.shape.iter().copied().map(Some).collect::<Vec<_>>()) {
            return Err(mismatch(format!("constant {name:?} has the shape {:?}, but the graph's input is {value}", constant.shape)));
        }
    }
    Ok(())
}

/// Whether the dimensions both sides state are the same.
fn fits(input: &ValueInfo, expected: &[Option<i64>]) -> bool {
    let same = |(have, want): (&Option<i64>, &Option<i64>)| have.zip(*want).is_none_or(|(have, want)| have == want);
    !input.rank_known || (input.shape.len() == expected.len() && input.shape.iter().zip(expected).all(same))
}

fn image(input: &ValueInfo, spec: &ImageSpec) -> Result<()> {
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
    let expected = image_shape(spec);
    if fits(input, &expected) {
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
fn image_shape(spec: &ImageSpec) -> Vec<Option<i64>> {
    let channels = spec.encoding.channels() as i64;
    let (width, height) = spec.resize.map_or((None, None), |r| (Some(i64::from(r.width)), Some(i64::from(r.height))));
    let one = Some(1);
    match spec.layout {
        Layout::Flat => vec![one, width.zip(height).map(|(w, h)| w * h * channels)],
        Layout::Nchw => vec![one, Some(channels), height, width],
        Layout::Nhwc => vec![one, height, width, Some(channels)],
    }
}

fn table(input: &ValueInfo, spec: &InputSpec) -> Result<()> {
    let Some(rows) = spec.rows() else { return Ok(()) };
    if input.kind != ValueKind::Tensor || !FLOATS.contains(&input.elem_type) {
        let kind = spec.kind();
        return Err(mismatch(format!("{kind} becomes a tensor of float32, float16 or float64, but the graph's input is {input}")));
    }
    let (count, columns) = (spec.row_count(), spec.columns());
    let expected = rows.layout.shape(count.map(|rows| rows as i64), columns as i64);
    if fits(input, &expected) {
        return Ok(());
    }
    let count = count.map_or_else(|| "as many".to_owned(), |rows| rows.to_string());
    let described = ValueInfo { shape: expected, ..input.clone() };
    Err(mismatch(format!(
        "input {input} does not take the {} described ({count} rows of {columns} numbers, layout {}), which is {described}; mend `input`",
        spec.kind(),
        rows.layout.name()
    )))
}
