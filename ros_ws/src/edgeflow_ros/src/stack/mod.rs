//! The stack behind the door. Both have the same surface, and nothing outside this module names either.

#[cfg(not(any(feature = "embedded", feature = "r2r")))]
compile_error!("edgeflow_ros needs a stack: the feature `embedded` (default) or `r2r`");

#[cfg(all(feature = "embedded", not(feature = "r2r")))]
mod embedded;
#[cfg(all(feature = "embedded", not(feature = "r2r")))]
pub(crate) use embedded::*;
#[cfg(all(feature = "embedded", not(feature = "r2r")))]
pub use embedded::{Action, Message, Service};

#[cfg(feature = "r2r")]
#[path = "r2r/mod.rs"]
mod native;
#[cfg(feature = "r2r")]
pub(crate) use native::*;
#[cfg(feature = "r2r")]
pub use native::{Action, Message, Service};

/// What becomes of a publisher and a subscription whose quality of service does not fit.
#[cfg_attr(not(feature = "r2r"), expect(dead_code, reason = "the embedded stack refuses nobody"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// They do not connect, as DDS has it.
    Refused,
    /// They connect, and what the subscription asked for is not kept, as with zenoh.
    Lossy,
}
