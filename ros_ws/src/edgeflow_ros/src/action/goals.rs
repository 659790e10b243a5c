//! The goals a server knows: their states, which of them a cancel request means, and how long the ended
//! ones are remembered. The rules are those of `CancelGoal.srv` and of rcl_action's state machine.

use super::{GoalId, GoalStatus};
use crate::{
    constants::action_msgs::srv::CancelGoal::Response as code,
    messages::{
        action_msgs::{
            msg::{GoalInfo, GoalStatus as StatusMsg, GoalStatusArray},
            srv::CancelGoal,
        },
        builtin_interfaces::msg::Time,
    },
};
use std::time::Duration;
use tokio::{sync::watch, time::Instant};

/// One goal. `R` is a result, `W` someone who waits for it.
pub(super) struct Goal<R, W> {
    pub(super) id: GoalId,
    accepted_at: Time,
    pub(super) status: watch::Sender<GoalStatus>,
    refuses_cancel: bool,
    /// Once it has ended.
    pub(super) result: Option<R>,
    pub(super) waiting: Vec<W>,
    forgotten_at: Option<Instant>,
}

impl<R, W> Goal<R, W> {
    pub(super) fn new(id: GoalId, accepted_at: Time) -> Self {
        Self {
            id,
            accepted_at,
            status: watch::Sender::new(GoalStatus::Accepted),
            refuses_cancel: false,
            result: None,
            waiting: Vec::new(),
            forgotten_at: None,
        }
    }

    pub(super) fn status(&self) -> GoalStatus {
        *self.status.borrow()
    }

    fn info(&self) -> GoalInfo {
        GoalInfo { goal_id: self.id.to_msg(), stamp: self.accepted_at.clone() }
    }

    /// One that is being canceled cannot be canceled again.
    fn is_cancelable(&self) -> bool {
        matches!(self.status(), GoalStatus::Accepted | GoalStatus::Executing)
    }
}

/// In the order of their acceptance.
pub(super) struct Goals<R, W>(Vec<Goal<R, W>>);

impl<R, W> Default for Goals<R, W> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R, W> Goals<R, W> {
    pub(super) fn add(&mut self, goal: Goal<R, W>) {
        self.0.push(goal);
    }

    pub(super) fn remove(&mut self, id: GoalId) {
        self.0.retain(|goal| goal.id != id);
    }

    pub(super) fn get(&mut self, id: GoalId) -> Option<&mut Goal<R, W>> {
        self.0.iter_mut().find(|goal| goal.id == id)
    }

    /// Ends a goal, and gives those who wait for its result.
    pub(super) fn finish(&mut self, id: GoalId, status: GoalStatus, result: R, forgotten_at: Instant) -> Vec<W> {
        let Some(goal) = self.get(id) else { return Vec::new() };
        goal.status.send_replace(status);
        goal.result = Some(result);
        goal.forgotten_at = Some(forgotten_at);
        std::mem::take(&mut goal.waiting)
    }

    /// From here on the goal is not to be canceled; false when it is being canceled already.
    pub(super) fn refuse_cancel(&mut self, id: GoalId) -> bool {
        let Some(goal) = self.get(id).filter(|goal| goal.is_cancelable()) else { return false };
        goal.refuses_cancel = true;
        true
    }

    /// Cancels what the request means: one goal, those accepted up to a time, or all.
    pub(super) fn cancel(&mut self, request: &GoalInfo) -> CancelGoal::Response {
        let Some(id) = GoalId::from_msg(&request.goal_id) else { return answer(code::ERROR_UNKNOWN_GOAL_ID, Vec::new()) };
        let until = since_epoch(&request.stamp);
        let meant: Vec<_> = match (id.is_zero(), until.is_zero()) {
            (false, true) => {
                let Some(goal) = self.get(id) else { return answer(code::ERROR_UNKNOWN_GOAL_ID, Vec::new()) };
                if !goal.is_cancelable() {
                    return answer(code::ERROR_GOAL_TERMINATED, Vec::new());
                }
                vec![goal]
            }
            (true, true) => self.0.iter_mut().filter(|goal| goal.is_cancelable()).collect(),
            (_, false) => {
                let meant = |goal: &&mut Goal<R, W>| goal.is_cancelable() && (since_epoch(&goal.accepted_at) <= until || goal.id == id);
                self.0.iter_mut().filter(meant).collect()
            }
        };
        let none_meant = meant.is_empty();
        let canceling: Vec<_> = meant.into_iter().filter(|goal| !goal.refuses_cancel).collect();
        for goal in &canceling {
            goal.status.send_replace(GoalStatus::Canceling);
        }
        let rejected = canceling.is_empty() && !none_meant;
        answer(if rejected { code::ERROR_REJECTED } else { code::ERROR_NONE }, canceling.iter().map(|goal| goal.info()).collect())
    }

    /// For the topic `status`.
    pub(super) fn statuses(&self) -> GoalStatusArray {
        let status = |goal: &Goal<R, W>| StatusMsg { goal_info: goal.info(), status: goal.status().code() };
        GoalStatusArray { status_list: self.0.iter().map(status).collect() }
    }

    /// When the next ended goal is to be forgotten.
    pub(super) fn next_forgotten(&self) -> Option<Instant> {
        self.0.iter().filter_map(|goal| goal.forgotten_at).min()
    }

    pub(super) fn forget(&mut self, now: Instant) {
        self.0.retain(|goal| goal.forgotten_at.is_none_or(|at| at > now));
    }
}

fn answer(return_code: i8, goals_canceling: Vec<GoalInfo>) -> CancelGoal::Response {
    CancelGoal::Response { return_code, goals_canceling }
}

/// Times before 1970 are no goal's and count as zero.
fn since_epoch(time: &Time) -> Duration {
    Duration::new(u64::try_from(time.sec).unwrap_or(0), 0) + Duration::from_nanos(u64::from(time.nanosec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use GoalStatus::{Accepted, Canceled, Canceling, Executing, Succeeded};

    const A: GoalId = GoalId([1; 16]);
    const B: GoalId = GoalId([2; 16]);
    const C: GoalId = GoalId([3; 16]);
    const NOBODY: GoalId = GoalId([0; 16]);

    fn at(sec: i32) -> Time {
        Time { sec, nanosec: 5 }
    }

    /// Accepted at 10, 20 and 30 seconds; the first two in execution.
    fn three() -> Goals<&'static str, u8> {
        let mut goals = Goals::default();
        for (id, sec) in [(A, 10), (B, 20), (C, 30)] {
            goals.add(Goal::new(id, at(sec)));
        }
        for id in [A, B] {
            goals.get(id).unwrap().status.send_replace(Executing);
        }
        goals
    }

    fn cancel(goals: &mut Goals<&'static str, u8>, id: GoalId, stamp: Time) -> (i8, Vec<GoalId>) {
        let response = goals.cancel(&GoalInfo { goal_id: id.to_msg(), stamp });
        (response.return_code, response.goals_canceling.iter().map(|info| GoalId::from_msg(&info.goal_id).unwrap()).collect())
    }

    fn statuses(goals: &Goals<&'static str, u8>) -> Vec<GoalStatus> {
        goals.statuses().status_list.iter().map(|s| GoalStatus::from_code(s.status)).collect()
    }

    #[test]
    fn one_goal_is_canceled_by_its_id() {
        let mut goals = three();
        assert_eq!(cancel(&mut goals, B, Time::default()), (code::ERROR_NONE, vec![B]));
        assert_eq!(statuses(&goals), [Executing, Canceling, Accepted]);
        assert_eq!(cancel(&mut goals, B, Time::default()), (code::ERROR_GOAL_TERMINATED, vec![]));
        assert_eq!(cancel(&mut goals, GoalId([9; 16]), Time::default()), (code::ERROR_UNKNOWN_GOAL_ID, vec![]));
    }

    #[test]
    fn all_goals_are_canceled_by_neither_id_nor_time() {
        let mut goals = three();
        goals.finish(A, Succeeded, "done", Instant::now());
        assert_eq!(cancel(&mut goals, NOBODY, Time::default()), (code::ERROR_NONE, vec![B, C]));
        assert_eq!(statuses(&goals), [Succeeded, Canceling, Canceling]);
        assert_eq!(cancel(&mut goals, NOBODY, Time::default()), (code::ERROR_NONE, vec![]), "nothing to cancel is no error");
    }

    #[test]
    fn goals_up_to_a_time_are_canceled_and_the_one_that_is_named() {
        assert_eq!(cancel(&mut three(), NOBODY, at(20)), (code::ERROR_NONE, vec![A, B]));
        assert_eq!(cancel(&mut three(), NOBODY, Time { sec: 20, nanosec: 4 }), (code::ERROR_NONE, vec![A]));
        assert_eq!(cancel(&mut three(), C, at(10)), (code::ERROR_NONE, vec![A, C]));
        assert_eq!(cancel(&mut three(), NOBODY, at(1)), (code::ERROR_NONE, vec![]));
    }

    #[test]
    fn a_goal_past_its_point_of_no_return_rejects() {
        let mut goals = three();
        assert!(goals.refuse_cancel(A));
        assert_eq!(cancel(&mut goals, A, Time::default()), (code::ERROR_REJECTED, vec![]));
        assert_eq!(cancel(&mut goals, NOBODY, Time::default()), (code::ERROR_NONE, vec![B, C]));
        assert!(!goals.refuse_cancel(B), "it is being canceled");
        assert_eq!(statuses(&goals), [Executing, Canceling, Canceling]);
    }

    #[test]
    fn an_ended_goal_keeps_its_result_for_a_time() {
        let (mut goals, now) = (three(), Instant::now());
        goals.get(A).unwrap().waiting.push(7);
        assert_eq!(goals.next_forgotten(), None);
        assert_eq!(goals.finish(A, Canceled, "stopped", now + Duration::from_secs(10)), [7]);
        assert_eq!(goals.get(A).unwrap().result, Some("stopped"));
        assert_eq!(goals.next_forgotten(), Some(now + Duration::from_secs(10)));
        goals.forget(now + Duration::from_secs(9));
        assert_eq!(statuses(&goals), [Canceled, Executing, Accepted]);
        goals.forget(now + Duration::from_secs(10));
        assert_eq!(statuses(&goals), [Executing, Accepted]);
    }
}
