//! The MQTT door for robots: a gateway that serves the fleet's star topology itself.
//!
//! Robots talk to the control plane and never to each other, so a general broker is more than is needed and, in the
//! shape of `rumqttd` 0.20 behind its `link` API, less than is promised:
//!
//! - it answers PUBLISH with PUBACK when the message is in its in-memory log, long before the control plane has it,
//!   and drops whole segments of that log under overload; here PUBACK follows durable ingestion;
//! - a link's packet buffers have no bound (only the wake-up channel has one, and waiting on it blocks the executor's
//!   thread), so one fast robot grows the process and a full router stalls every connection; here a connection that has
//!   sent more than is taken is simply not read;
//! - every connection preallocates two queues of 200 packets (52 KB were measured for an idle one); here an idle
//!   connection holds one read buffer of 1 KB (4.7 KB measured for all of it, over 4,000 connections without TLS);
//! - all robots arrive through one link, in one thread, so order and back-pressure per robot would have to be rebuilt.
//!
//! What remains to be served is small: identity, a topic list that is compared and never matched (so wildcards cannot
//! reach anything), a desired state per robot that is looked up in the store instead of retained in memory, and
//! acknowledgements. The packet codec is `rumqttc`'s. An external broker can still take the gateway's place ([`BrokerDoor`]): we are its client then.
//!
//! Robots come over TLS with their own certificate, which is looked at in the handshake, at CONNECT and, for its revocation and
//! expiry, before every packet; on loopback, for development, they may come in the clear with a token instead.
//!
//! MQTT 3.1.1 and 5, the latter translated. QoS 2, wills and stored sessions are not served: a robot that reconnects says hello and resumes from the
//! position it is told.

mod acl;
mod app;
mod broker;
#[cfg(any(test, fuzzing))]
pub mod feed;
mod gateway;
mod handshake;
mod limits;
mod metrics;
mod packets;
mod port;
mod session;
#[cfg(test)]
mod tests;
mod v5;

pub use broker::{BrokerDoor, BrokerError, BrokerOptions};
pub use gateway::{Gateway, GatewayError};
pub use limits::Limits;
pub use metrics::{GatewayMetrics, Outcome};
pub use port::{Proof, RobotPort};
