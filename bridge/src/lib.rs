//! The robot's store-and-forward agent.
//!
//! Everything worth keeping becomes an entry of the edge log first ([`record`], [`summarise`], [`drift`]) and is carried to the control
//! plane from there, whenever there is a link. In the other direction comes desired state ([`desired`]), which the robot takes
//! up at its own pace: bundles are fetched by digest ([`download`]) and handed to the inference node ([`converge`]).
//! What it reports of topics is [`policy`]'s, what it notices by itself [`trigger`]'s, what it records [`capture`]'s, what it is asked to do at once [`commands`]'.
//! Software that is not ROS is heard through [`local`].
//! [`node`] ties this to ROS topics and services; nothing here knows what a model is made of.

mod activity;
mod applier;
mod capture;
mod clock;
mod commands;
mod config;
mod converge;
mod desired;
mod diagnostics;
mod download;
mod drift;
mod error;
mod escalate;
mod failures;
mod follow;
mod held;
mod hold;
mod ledger;
mod live;
mod local;
mod log;
mod node;
mod policy;
mod receipt;
mod record;
mod recorder;
mod renew;
mod secure;
mod status;
mod summarise;
mod survive;
mod trigger;
mod trust;
mod types;
mod uplinks;
mod watched;
mod way;

pub use clock::{Clock, Moment};
pub use commands::Allowed;
pub use config::{Config, Secret};
pub use desired::{DesiredStore, Offer};
pub use download::{Downloader, FetchError};
pub use drift::DriftRecorder;
pub use error::{BridgeError, Result};
pub use failures::Failed;
pub use live::LiveRules;
pub use log::{LogHandle, LogSnapshot, LogThread};
pub use node::Bridge;
pub use receipt::Receipts;
pub use recorder::Recorder;
pub use renew::keep_certificate;
pub use secure::Secure;
pub use summarise::Summariser;
pub use trust::Trust;

/// Version of this software, as it is reported to the control plane.
pub const SOFTWARE: &str = concat!("edgeflow_bridge ", env!("CARGO_PKG_VERSION"));
