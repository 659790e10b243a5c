//! What the engine asks of a runtime. ONNX Runtime is behind it today; nothing else in the crate names it.

use crate::Result;
use crate::tensor::{Tensor, TensorSpec};

/// How a session is to be built.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Threads used inside one operator.
    pub intra_op_threads: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { intra_op_threads: 1 }
    }
}

/// A runtime that can turn graphs into sessions.
pub trait Backend: Send + Sync {
    /// Name and version, for logs.
    fn describe(&self) -> String;

    /// Builds a session from the bytes of an ONNX file. Errors leave nothing behind.
    fn load(&self, onnx: &[u8], options: &SessionOptions) -> Result<Box<dyn Session>>;
}

/// A loaded graph.
pub trait Session: Send {
    /// The graph's inputs, in its order.
    fn inputs(&self) -> &[TensorSpec];

    /// The graph's outputs, in its order.
    fn outputs(&self) -> &[TensorSpec];

    /// Runs the graph. The inputs have been checked against [`Session::inputs`]. Outputs come in the graph's order;
    /// those that are no tensors, or of types the engine does not move, are left out.
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>>;
}
