//! The states of a managed node and the ways between them, with the numbers and labels of rcl_lifecycle.

use crate::constants::lifecycle_msgs::msg::{State as state, Transition as transition};
use std::fmt;

/// A state of a managed node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Of no node: rcl_lifecycle lists it among the states.
    Unknown,
    /// Nothing is set up. Where every node begins.
    Unconfigured,
    /// Set up, and not at work.
    Inactive,
    /// At work.
    Active,
    /// The end, to be looked at before the process goes.
    Finalized,
    /// On the way to [`State::Inactive`].
    Configuring,
    /// On the way to [`State::Unconfigured`].
    CleaningUp,
    /// On the way to [`State::Finalized`].
    ShuttingDown,
    /// On the way to [`State::Active`].
    Activating,
    /// On the way back to [`State::Inactive`].
    Deactivating,
    /// A hook ended in an error, and the node cleans up after it.
    ErrorProcessing,
}

impl State {
    /// In rcl_lifecycle's order.
    pub(super) const ALL: [Self; 11] = [
        Self::Unknown,
        Self::Unconfigured,
        Self::Inactive,
        Self::Active,
        Self::Finalized,
        Self::Configuring,
        Self::CleaningUp,
        Self::ShuttingDown,
        Self::Activating,
        Self::Deactivating,
        Self::ErrorProcessing,
    ];

    /// As in `lifecycle_msgs/msg/State`.
    #[must_use]
    pub fn id(self) -> u8 {
        match self {
            Self::Unknown => state::PRIMARY_STATE_UNKNOWN,
            Self::Unconfigured => state::PRIMARY_STATE_UNCONFIGURED,
            Self::Inactive => state::PRIMARY_STATE_INACTIVE,
            Self::Active => state::PRIMARY_STATE_ACTIVE,
            Self::Finalized => state::PRIMARY_STATE_FINALIZED,
            Self::Configuring => state::TRANSITION_STATE_CONFIGURING,
            Self::CleaningUp => state::TRANSITION_STATE_CLEANINGUP,
            Self::ShuttingDown => state::TRANSITION_STATE_SHUTTINGDOWN,
            Self::Activating => state::TRANSITION_STATE_ACTIVATING,
            Self::Deactivating => state::TRANSITION_STATE_DEACTIVATING,
            Self::ErrorProcessing => state::TRANSITION_STATE_ERRORPROCESSING,
        }
    }

    /// As `ros2 lifecycle get` prints it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unconfigured => "unconfigured",
            Self::Inactive => "inactive",
            Self::Active => "active",
            Self::Finalized => "finalized",
            Self::Configuring => "configuring",
            Self::CleaningUp => "cleaningup",
            Self::ShuttingDown => "shuttingdown",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
            Self::ErrorProcessing => "errorprocessing",
        }
    }

    /// Whether a node rests in it until told otherwise.
    #[must_use]
    pub fn is_primary(self) -> bool {
        matches!(self, Self::Unconfigured | Self::Inactive | Self::Active | Self::Finalized)
    }
}

/// Its label.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What a managed node can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// From unconfigured to inactive.
    Configure,
    /// From inactive to unconfigured.
    Cleanup,
    /// From inactive to active.
    Activate,
    /// From active to inactive.
    Deactivate,
    /// From unconfigured, inactive or active to finalized.
    Shutdown,
}

impl Transition {
    /// As `ros2 lifecycle set` takes it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Cleanup => "cleanup",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Its label.
impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// How a hook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Success,
    Failure,
    Error,
}

impl Ending {
    fn label(self) -> &'static str {
        match self {
            Self::Success => "transition_success",
            Self::Failure => "transition_failure",
            Self::Error => "transition_error",
        }
    }
}

/// What leads from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Told(Transition),
    Ended(Ending),
}

/// One way between two states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) id: u8,
    pub(super) cause: Cause,
    pub(super) start: State,
    pub(super) goal: State,
}

impl Step {
    pub(super) fn label(&self) -> &'static str {
        match self.cause {
            Cause::Told(transition) => transition.label(),
            Cause::Ended(ending) => ending.label(),
        }
    }
}

const fn told(transition: Transition, id: u8, start: State, goal: State) -> Step {
    Step { id, cause: Cause::Told(transition), start, goal }
}

const fn ended(ending: Ending, id: u8, start: State, goal: State) -> Step {
    Step { id, cause: Cause::Ended(ending), start, goal }
}

/// Every way, in rcl_lifecycle's order.
pub(super) const STEPS: [Step; 25] = {
    use Ending::{Error, Failure, Success};
    use State::{
        Activating, Active, CleaningUp, Configuring, Deactivating, ErrorProcessing, Finalized, Inactive, ShuttingDown, Unconfigured,
    };
    use Transition::{Activate, Cleanup, Configure, Deactivate, Shutdown};
    [
        told(Configure, transition::TRANSITION_CONFIGURE, Unconfigured, Configuring),
        ended(Success, transition::TRANSITION_ON_CONFIGURE_SUCCESS, Configuring, Inactive),
        ended(Failure, transition::TRANSITION_ON_CONFIGURE_FAILURE, Configuring, Unconfigured),
        ended(Error, transition::TRANSITION_ON_CONFIGURE_ERROR, Configuring, ErrorProcessing),
        told(Cleanup, transition::TRANSITION_CLEANUP, Inactive, CleaningUp),
        ended(Success, transition::TRANSITION_ON_CLEANUP_SUCCESS, CleaningUp, Unconfigured),
        ended(Failure, transition::TRANSITION_ON_CLEANUP_FAILURE, CleaningUp, Inactive),
        ended(Error, transition::TRANSITION_ON_CLEANUP_ERROR, CleaningUp, ErrorProcessing),
        told(Activate, transition::TRANSITION_ACTIVATE, Inactive, Activating),
        ended(Success, transition::TRANSITION_ON_ACTIVATE_SUCCESS, Activating, Active),
        ended(Failure, transition::TRANSITION_ON_ACTIVATE_FAILURE, Activating, Inactive),
        ended(Error, transition::TRANSITION_ON_ACTIVATE_ERROR, Activating, ErrorProcessing),
        told(Deactivate, transition::TRANSITION_DEACTIVATE, Active, Deactivating),
        ended(Success, transition::TRANSITION_ON_DEACTIVATE_SUCCESS, Deactivating, Inactive),
        ended(Failure, transition::TRANSITION_ON_DEACTIVATE_FAILURE, Deactivating, Active),
        ended(Error, transition::TRANSITION_ON_DEACTIVATE_ERROR, Deactivating, ErrorProcessing),
        told(Shutdown, transition::TRANSITION_UNCONFIGURED_SHUTDOWN, Unconfigured, ShuttingDown),
        told(Shutdown, transition::TRANSITION_INACTIVE_SHUTDOWN, Inactive, ShuttingDown),
        told(Shutdown, transition::TRANSITION_ACTIVE_SHUTDOWN, Active, ShuttingDown),
        ended(Success, transition::TRANSITION_ON_SHUTDOWN_SUCCESS, ShuttingDown, Finalized),
        ended(Failure, transition::TRANSITION_ON_SHUTDOWN_FAILURE, ShuttingDown, Finalized),
        ended(Error, transition::TRANSITION_ON_SHUTDOWN_ERROR, ShuttingDown, ErrorProcessing),
        ended(Success, transition::TRANSITION_ON_ERROR_SUCCESS, ErrorProcessing, Unconfigured),
        ended(Failure, transition::TRANSITION_ON_ERROR_FAILURE, ErrorProcessing, Finalized),
        ended(Error, transition::TRANSITION_ON_ERROR_ERROR, ErrorProcessing, Finalized),
    ]
};

/// The ways out of a state.
pub(super) fn from(state: State) -> impl Iterator<Item = Step> {
    STEPS.into_iter().filter(move |step| step.start == state)
}

/// What a node in this state can be told. The endings of hooks are the node's own and cannot be told.
pub(super) fn tellable(state: State) -> impl Iterator<Item = (Transition, Step)> {
    from(state).filter_map(|step| match step.cause {
        Cause::Told(transition) => Some((transition, step)),
        Cause::Ended(_) => None,
    })
}

/// Where a hook's ending leads. Every state that has a hook has all three.
pub(super) fn after(state: State, ending: Ending) -> Option<Step> {
    from(state).find(|step| step.cause == Cause::Ended(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_on_the_way_has_each_ending_once() {
        for state in State::ALL {
            let on_the_way = state.id() >= 10;
            for ending in [Ending::Success, Ending::Failure, Ending::Error] {
                let count = from(state).filter(|step| step.cause == Cause::Ended(ending)).count();
                assert_eq!(count, usize::from(on_the_way), "{state} {ending:?}");
                assert_eq!(after(state, ending).is_some(), on_the_way);
            }
            assert_eq!(tellable(state).count() > 0, matches!(state, State::Unconfigured | State::Inactive | State::Active), "{state}");
        }
        let mut ids: Vec<_> = STEPS.iter().map(|step| step.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), STEPS.len());
    }
}
