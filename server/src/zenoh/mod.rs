//! The zenoh door for robots: a router of our own, over mTLS, that lets each robot use its own keys and nothing else.
//!
//! | key | verb | who | what |
//! | --- | --- | --- | --- |
//! | `edgeflow/targets/{id}/telemetry` | query | robot | a log document; the reply is its acknowledgement |
//! | `edgeflow/targets/{id}/deploy` | query | robot | what is new ([`News`](edgeflow_wire::News)) |
//! | `edgeflow/targets/{id}/deploy` | put | control plane | the desired state, when it changes |
//! | `edgeflow/targets/{id}/command` | put | control plane | commands |
//! | `edgeflow/targets/{id}/alive` | liveliness token | robot | the robot is here |
//! | `edgeflow/targets/{id}/live/{session}/up/*`, `about` | put | robot | a live session ([`LiveKeys`](edgeflow_wire::LiveKeys)) |
//! | `edgeflow/targets/{id}/live/{session}/down/*` | put | the session's operator | the same, to the robot |
//! | `edgeflow/targets/{id}/live/{session}/here` | liveliness token | the session's operator | somebody looks |
//!
//! zenoh's access control names certificates by their common name and reads its rules when the router opens, so the router is
//! opened anew when a robot is enrolled or revoked; robots connect again and go on from their logs. It looks at the name
//! only: a robot whose name has a revoked certificate that could still be used is kept out of zenoh until that one
//! expires, and uses its other uplinks.
//!
//! This router never meets the ROS graph's: it scouts for nobody and speaks nothing but TLS.

mod door;
mod inbox;
mod rules;
mod session;

pub use door::{ZenohDoor, ZenohError};
