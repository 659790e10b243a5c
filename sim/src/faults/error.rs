//! Why a run under faults could not be made. That something did not hold is no error: it is the verdict.

use std::path::PathBuf;

/// Errors of a run.
#[derive(Debug, thiserror::Error)]
pub enum FaultsError {
    /// A program is not built.
    #[error("there is no program {}: build it (cargo xtask soak does) or pass --bin-dir", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file or folder could not be read or written.
    #[error("could not {action}: {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("could not start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A program did not come up.
    #[error("{name} did not come up: {reason}; its log is {}", log.display())]
    NotUp {
        /// The process.
        name: String,
        /// What was seen.
        reason: String,
        /// Its log.
        log: PathBuf,
    },
    /// The ROS router could not be started.
    #[error("could not start the ROS router")]
    Router(#[source] edgeflow_ros::Error),
    /// A proxy could not be started.
    #[error("could not start a robot's network")]
    Proxy(#[source] crate::SimError),
    /// The control plane does not answer as it should.
    #[error("the control plane does not answer")]
    ControlPlane(#[source] crate::demo::DemoError),
    /// No client could be made.
    #[error("could not make a client of {}", path.display())]
    Client {
        /// Of which socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// What was waited for did not come.
    #[error("robots did not {what} within {limit_s} s: {seen}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long, seconds.
        limit_s: u64,
        /// Who is missing.
        seen: String,
    },
    /// The user stopped it.
    #[error("stopped before the run was over")]
    Interrupted,
}
