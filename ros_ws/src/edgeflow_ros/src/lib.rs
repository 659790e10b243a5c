//! The door to ROS 2.
//!
//! Nodes are written against this crate and never name the stack behind it: by default ROS 2 over
//! zenoh, embedded in the program and on the wire as `rmw_zenoh_cpp` is; with the feature `r2r` an
//! installed ROS 2 through rcl. The API has r2r's shape (nodes, streams of messages and service
//! requests, generated types under `package::msg` and `package::srv`), and whatever one of the
//! stacks lacks is added here, so that nodes behave the same on both.
//!
//! ```no_run
//! use edgeflow_ros::{Context, Node, QosProfile, Queue, std_msgs};
//! use futures::StreamExt;
//!
//! # async fn example() -> edgeflow_ros::Result<()> {
//! let context = Context::create()?;
//! let node = Node::create(&context, "echo", "")?;
//! let publisher = node.create_publisher::<std_msgs::msg::String>("heard", QosProfile::default())?;
//! let mut words = node.subscribe::<std_msgs::msg::String>("said", QosProfile::default(), Queue::all())?;
//! while let Some(word) = words.next().await {
//!     publisher.publish(&word)?;
//! }
//! # Ok(())
//! # }
//! ```

mod action;
mod args;
pub mod cdr;
mod client;
pub mod constants;
mod context;
mod dynamic;
mod endpoint;
mod error;
#[cfg_attr(not(feature = "r2r"), allow(dead_code))] // only that stack compares hashes at start
mod installed;
pub mod lifecycle;
mod logging;
pub mod messages;
pub mod names;
mod node;
mod parameters;
mod publisher;
mod qos;
mod queue;
pub mod registry;
#[cfg(all(feature = "embedded", not(feature = "r2r")))]
pub mod router;
mod runtime;
mod service;
mod stack;
mod subscription;
mod time;
mod type_description;

pub use action::{ActionClient, ActionServer, ClientGoal, GoalId, GoalRequest, GoalStatus, Outcome, ServerGoal};
pub use client::Client;
pub use context::{Context, ContextBuilder};
pub use dynamic::{DynamicClient, DynamicPublisher, DynamicSubscription, RawPublisher, RawSubscription, RawType};
pub use error::{Error, Result};
pub use logging::init_tracing;
pub use messages::*;
pub use node::Node;
pub use parameters::{DeclaredParameter, ParameterBuilder, ParameterClient, ParameterType, ParameterValue};
pub use publisher::Publisher;
pub use qos::{Durability, EndpointInfo, History, ParsePolicyError, QosProfile, Reliability};
pub use queue::{DropCounter, Queue};
pub use runtime::{Stop, program, shutdown_signal};
pub use service::{ServiceRequest, ServiceStream};
pub use stack::{Action, Message, Service};
pub use subscription::Subscription;
