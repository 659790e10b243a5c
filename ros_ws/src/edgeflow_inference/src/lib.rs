//! The inference engine and its ROS 2 node.
//!
//! [`engine`], [`image`], [`adapt`], [`decode`], [`annotate`], [`tensor`] and [`watch`] know nothing of ROS: bytes of a frame go in,
//! scores come out, and a model is swapped for another between two frames. [`node`] puts that behind topics and services,
//! [`http`] behind routes.

pub mod adapt;
pub mod annotate;
pub mod decode;
pub mod engine;
mod error;
pub mod http;
pub mod image;
pub mod memory;
pub mod node;
pub mod replay;
pub mod tensor;
pub mod watch;

pub use error::{Error, Result};
