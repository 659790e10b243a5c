//! What runs beside requests: idempotent, safe to stop at any point.

mod authority;
mod collect;
mod fleet;
mod openlineage;
mod publish;
mod retain;
mod rollouts;

pub use authority::refresh_authority;
pub use collect::collect;
pub use fleet::converge;
pub use openlineage::tell_lineage;
pub use publish::publish;
pub use retain::retain;
pub use rollouts::step_rollouts;
