//! What runs beside requests: idempotent, safe to stop at any point.

mod authority;
mod publish;
mod retain;

pub use authority::refresh_authority;
pub use publish::publish;
pub use retain::retain;
