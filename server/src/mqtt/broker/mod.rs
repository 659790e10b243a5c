//! The MQTT door through somebody else's broker: we are a client of it, like the robots.
//!
//! A broker sees to it that a robot publishes on its own topics only (an access list by the common name of its certificate), so the topic
//! says who speaks. It is not believed beyond that: what it acknowledged is not stored yet, what it retains is what we told it
//! last, and a revoked robot that it still lets in is ignored, and thrown out by taking its place. What we tell robots is told again
//! at each connection: desired state is retained there, commands come until the robot has said what came of them.
//!
//! Documents are read off the connection at once and wait per robot, in bounded numbers; a robot that sends more than is ingested loses
//! what does not fit, which it sends again since it is not acknowledged. So one robot delays no other, whatever it does.

mod address;
mod client;
mod fleet;
mod link;
mod place;
mod work;

pub use address::{BrokerError, BrokerOptions};
pub use client::BrokerDoor;
