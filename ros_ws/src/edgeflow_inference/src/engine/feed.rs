//! What turns a message into the graph's input, as the manifest says.

use edgeflow_bundle::{ImageSpec, InputSpec, Layout};

use crate::adapt::Adapter;
use crate::image::Preparer;
use crate::tensor::TensorSpec;
use crate::{Error, Result};

/// What turns a message into the graph's input.
pub(super) enum Feed {
    Image(Preparer),
    Table(Adapter),
}

impl Feed {
    /// For the graph input a manifest names, or the only one.
    pub(super) fn new(input: InputSpec, inputs: &[TensorSpec]) -> Result<Self> {
        let spec = match (input.tensor(), inputs) {
            (Some(name), _) => inputs.iter().find(|spec| spec.name == name),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let Some(spec) = spec else {
            let reason = "the graph has other inputs than edgeflow.yaml says; name one of them as `input.tensor`".into();
            return Err(Error::NoInput { given: input.kind(), reason });
        };
        Ok(match input {
            InputSpec::Image(input) => Self::Image(Preparer::new(input, spec)?),
            other => Self::Table(Adapter::new(other, spec)?),
        })
    }
}

/// Size of the warm-up's frame: one that has to be resized when the manifest resizes, else what the graph wants.
pub(super) fn warm_up_size(input: &ImageSpec, spec: Option<&TensorSpec>) -> (u32, u32) {
    const ANY: u32 = 64;
    if let Some(resize) = input.resize {
        return (resize.width.saturating_mul(2).min(16_384), resize.height.saturating_mul(2).min(16_384));
    }
    let shape = spec.map(|s| s.shape.as_slice()).unwrap_or_default();
    let at = |i: usize| shape.get(i).and_then(|d| u32::try_from(*d).ok()).filter(|d| *d > 0);
    match input.layout {
        Layout::Nchw => (at(3).unwrap_or(ANY), at(2).unwrap_or(ANY)),
        Layout::Nhwc => (at(2).unwrap_or(ANY), at(1).unwrap_or(ANY)),
        Layout::Flat => (at(1).map_or(ANY, |n| n / input.encoding.channels() as u32).max(1), if at(1).is_some() { 1 } else { ANY }),
    }
}
