//! What a store can answer instead of a result.

use edgeflow_core::CoreError;

/// Why a store did not do what it was asked. Nothing of it happened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("{operation} failed: {source}")]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is stored does not read back as what was written.
    #[error("a stored {what} does not read back: {reason}")]
    Corrupt {
        /// Kind of thing.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The name is taken.
    #[error("{what} {name:?} is there already")]
    Taken {
        /// Kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// There is no such thing.
    #[error("there is no {what} {name:?}")]
    Missing {
        /// Kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A rollout holds robots in a slot.
    #[error("{}", held(.robot, *.others, .slot, *.rollout))]
    Held {
        /// One of the robots.
        robot: String,
        /// How many more it holds of those that were asked for.
        others: usize,
        /// The slot; empty: their policy.
        slot: String,
        /// The rollout.
        rollout: i64,
    },
    /// A rule refuses it.
    #[error(transparent)]
    Refused(#[from] CoreError),
}

fn held(robot: &str, others: usize, slot: &str, rollout: i64) -> String {
    let what = if slot.is_empty() { "the policy".to_owned() } else { format!("slot {slot:?}") };
    let who = match others {
        0 => robot.to_owned(),
        1 => format!("{robot} and one more robot"),
        _ => format!("{robot} and {others} more robots"),
    };
    format!(
        "rollout {rollout} holds {what} of {who}: wait until it has ended, or end it with `edgeflow rollout abort {rollout}` (robots stay as \
         they are) or `edgeflow rollout rollback {rollout}`; a rollout may wait for it, with `when_taken: queue`"
    )
}
