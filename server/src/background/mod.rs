//! What runs beside requests: idempotent, safe to stop at any point.

mod publish;

pub use publish::publish;
