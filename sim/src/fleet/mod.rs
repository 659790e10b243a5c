//! A fleet of simulated robots over the wire, without ROS: thousands of them behind a few hundred keep-alive connections, each with the
//! log, the questions and the answers of a real one, some of them away, broken or silent, from a seed. What a rollout must make of each
//! is known beforehand, so that its end is checked robot by robot.

mod args;
mod behaviour;
pub mod check;
mod door;
mod error;
mod figures;
mod log;
mod robot;
mod run;
mod says;
mod several;
mod watch;

pub use args::{Args, run};
pub use behaviour::{Behaviour, Shares, behaviours};
pub use door::Traffic;
pub use error::FleetError;
pub use figures::Histogram;
pub use robot::Pace;
pub use run::{Outcome, Plan, go};
pub use says::Worth;
pub use several::{Crew, Fleet};
