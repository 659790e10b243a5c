//! The gateway against real `rumqttc` clients and against sockets that misbehave.

mod abuse;
mod access;
mod bytes;
mod support;
mod traffic;
mod v5;
