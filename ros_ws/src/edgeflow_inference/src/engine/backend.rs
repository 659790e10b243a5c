//! What the engine asks of a runtime. ONNX Runtime is behind it today; nothing else in the crate names it.

use super::ort::Provider;
use crate::Result;
use crate::tensor::{Tensor, TensorSpec};

/// How a session is to be built, and what its classes are called.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// What may run its operators, in the order of preference. The CPU need not be named.
    pub providers: Vec<Provider>,
    /// Threads used inside one operator.
    pub intra_op_threads: usize,
    /// Operators run at the same time where the graph has branches; 1: one after the other.
    pub inter_op_threads: usize,
    /// Whether inputs and outputs are bound to memory that stays.
    pub io_binding: IoBinding,
    /// Class names in place of the manifest's; empty: the manifest's.
    pub labels: Vec<String>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { providers: vec![Provider::Cpu], intra_op_threads: 1, inter_op_threads: 1, io_binding: IoBinding::Auto, labels: Vec::new() }
    }
}

/// When inputs and outputs are bound to memory that stays from run to run. The answers are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoBinding {
    /// Where a provider has memory of its own: elsewhere it would only copy the inputs.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl IoBinding {
    /// Their names as a parameter's values. (`on` and `off` would be truths in YAML.)
    pub const NAMES: [&str; 3] = ["auto", "always", "never"];

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "auto" => Self::Auto,
            "always" => Self::Always,
            "never" => Self::Never,
            _ => return None,
        })
    }
}

/// A runtime that can turn graphs into sessions.
pub trait Backend: Send + Sync {
    /// Name and version, for logs.
    fn describe(&self) -> String;

    /// Whether sessions can be built like this.
    fn check(&self, options: &SessionOptions) -> Result<()>;

    /// Builds a session from the bytes of an ONNX file. Errors leave nothing behind.
    fn load(&self, onnx: &[u8], options: &SessionOptions) -> Result<Box<dyn Session>>;
}

/// A loaded graph.
pub trait Session: Send + Sync {
    /// The graph's inputs, in its order.
    fn inputs(&self) -> &[TensorSpec];

    /// The graph's outputs, in its order.
    fn outputs(&self) -> &[TensorSpec];

    /// Whether inputs and outputs are bound to memory that stays.
    fn binds(&self) -> bool;

    /// Runs the graph; one run at a time, others wait. The inputs have been checked against [`Session::inputs`]. Outputs come in the graph's order;
    /// a sequence of maps (scikit-learn's ZipMap) as a table and, named `NAME.keys`, its keys. Outputs whose
    /// [`TensorSpec::element_type`] is `None` are left out.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>>;
}
