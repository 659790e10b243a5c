//! What runs beside requests: idempotent, safe to stop at any point.

mod authority;
mod collect;
mod publish;
mod retain;

pub use authority::refresh_authority;
pub use collect::collect;
pub use publish::publish;
pub use retain::retain;
