//! What a graph takes and gives that nothing here can move, and what to do to the graph then.

use edgeflow_bundle::OnnxSchema;

use crate::tensor::TensorSpec;
use crate::{Error, Result};

/// What to do to a graph whose input or output is of a type, told by its name.
fn remedy(type_name: &str) -> &'static str {
    match type_name {
        name if name.starts_with("seq(") => {
            "take the sequence apart in the graph (SequenceAt, ConcatFromSequence) or make it there (SequenceConstruct), so that tensors go in and out"
        }
        name if name.starts_with("optional(") => "make it a plain tensor in the graph (OptionalGetElement)",
        name if name.starts_with("map(") => "export the model with tensors in place of maps",
        name if name.starts_with("sparse_") => "make it dense in the graph",
        name if name.starts_with("complex") => {
            "onnxruntime has no complex tensors; let the graph have real and imaginary parts in a last dimension of 2"
        }
        _ => "Cast it in the graph where this onnxruntime knows the type, else export the model with float32 or integers of 8 bits there",
    }
}

/// The error of an input or output.
pub(crate) fn refused(end: &str, spec: &TensorSpec) -> Error {
    Error::Unmovable { end: format!("{end} `{}`", spec.name), is: spec.type_name.clone(), remedy: remedy(&spec.type_name) }
}

/// Its type in words, with what to do where it is not moved.
pub(crate) fn described(spec: &TensorSpec) -> String {
    match spec.element_type {
        Some(_) => spec.type_name.clone(),
        None => format!("{} (not moved: {})", spec.type_name, remedy(&spec.type_name)),
    }
}

/// Every input must be fed, and at least one output read; what lacks of the others is said once.
///
/// # Errors
/// [`Error::Unmovable`].
pub(super) fn check(model: &str, inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<()> {
    let unmovable = |spec: &&TensorSpec| spec.element_type.is_none();
    if let Some(input) = inputs.iter().find(unmovable) {
        return Err(refused("input", input));
    }
    if let Some(output) = outputs.first().filter(|_| outputs.iter().all(|output| unmovable(&output))) {
        return Err(refused("output", output));
    }
    for output in outputs.iter().filter(unmovable) {
        tracing::warn!(model, output = %output.name, is = %output.type_name, remedy = remedy(&output.type_name), "results will lack this output: it cannot be moved");
    }
    Ok(())
}

/// Why the runtime refuses a graph, in terms of the graph's ends where one is of a type that it is known not to have.
pub(super) fn explained(error: Error, schema: &OnnxSchema) -> Error {
    let Error::Session { reason } = &error else { return error };
    let mut ends = schema.inputs.iter().map(|value| ("input", value)).chain(schema.outputs.iter().map(|value| ("output", value)));
    let told = ends.find_map(|(end, value)| {
        let is = value.elem_type.name();
        let suspect = is.starts_with("complex") || reason.contains(&format!("tensor({is})"));
        let odd = crate::tensor::ElementType::from_onnx(i32::from(value.elem_type.code())).is_none();
        (suspect && odd).then(|| Error::Unmovable {
            end: format!("{end} `{}`", value.name),
            is: format!("{is} (onnxruntime: {reason})"),
            remedy: remedy(is),
        })
    });
    told.unwrap_or(error)
}
