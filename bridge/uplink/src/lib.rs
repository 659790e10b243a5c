//! Ways to carry the wire to the control plane.
//!
//! Three parts that know little of each other: [`Session`] decides what to say next (pure: no clock, no socket),
//! an [`Uplink`] keeps a connection and moves bytes, and [`Pump`] joins the two with a [`Backlog`], the log on the robot.
//! A new transport is one more `Uplink`; acknowledgement, resending and order are the same for all.

mod backoff;
mod bandwidth;
mod fallback;
mod http;
mod link;
#[cfg(feature = "zenoh")]
pub mod live;
mod mqtt;
mod pump;
mod session;
#[cfg(test)]
mod testing;
#[cfg(feature = "zenoh")]
mod zenoh;

pub use backoff::Backoff;
pub use bandwidth::Bandwidth;
pub use fallback::{Fallback, Patience};
pub use http::{Http, HttpConfig};
pub use link::{Link, LinkEvent, Outbox, Uplink};
pub use mqtt::{Mqtt, MqttConfig};
pub use pump::{Backlog, Document, Ends, Limits, LinkState, Pump};
pub use session::{Effect, Session, Share, Step, Timing};

#[cfg(feature = "zenoh")]
pub use self::zenoh::{Zenoh, ZenohConfig};

/// Why an uplink cannot be used at all. What may pass (no network, a refused token) is a [`LinkEvent::Down`] instead.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The address has not the form `host:port`.
    #[error("bad mqtt address {address:?}: use host:port, for instance 127.0.0.1:1883")]
    Address {
        /// What was given.
        address: String,
    },
    /// The address has not the form `http://host:port`.
    #[error("bad http address {address:?}: use http://host:port, for instance http://127.0.0.1:5000")]
    HttpAddress {
        /// What was given.
        address: String,
    },
    /// The address has not the form `host:port`.
    #[error("bad zenoh address {address:?}: use host:port, for instance 127.0.0.1:7448")]
    ZenohAddress {
        /// What was given.
        address: String,
    },
    /// The address is not on this machine.
    #[error(
        "the {uplink} address {address} is not on this machine: until robots have certificates only loopback is allowed (127.0.0.1:port)"
    )]
    NotLoopback {
        /// Of which uplink.
        uplink: &'static str,
        /// What was given.
        address: String,
    },
    /// The uplink zenoh knows robots by their certificates only.
    #[error("the uplink zenoh wants a certificate: enrol the robot")]
    NoCertificate,
    /// This program was built without zenoh.
    #[error("this program has no uplink zenoh: build it with the feature zenoh, or use mqtt and http")]
    NotBuilt,
    /// There is no uplink of that name.
    #[error("there is no uplink {name:?}: use mqtt, zenoh or http")]
    Unknown {
        /// What was given.
        name: String,
    },
    /// The robot's name cannot be part of a topic.
    #[error("cannot use the robot's name")]
    Name(#[from] edgeflow_wire::WireError),
}
