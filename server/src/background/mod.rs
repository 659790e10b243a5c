//! What runs beside requests: idempotent, safe to stop at any point.

mod publish;
mod retain;

pub use publish::publish;
pub use retain::retain;
