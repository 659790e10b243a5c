//! Faults, tested for real: a control plane and robots as the processes they are, behind networks that fail in every way networks do;
//! killed without warning, with disks that fill up and clocks that step. Afterwards every event that a robot was told is durable must be
//! stored at the control plane once and in order, or be named by a loss record.
//!
//! [`schedule`] says from a seed what goes wrong and when, [`check`](check::check) judges; both are pure. The rest moves processes.

mod args;
pub mod check;
mod error;
mod machine;
mod process;
mod replay;
mod robot;
mod run;
pub mod schedule;
pub(crate) mod server;
mod table;

pub use args::Args;
pub use error::FaultsError;
pub use run::run;
