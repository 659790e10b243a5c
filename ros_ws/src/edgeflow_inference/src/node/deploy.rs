//! `~/deploy_model`: a load that tells how far it is and can be called off until the swap.

use std::sync::Arc;

use edgeflow_ros::constants::edgeflow_msgs::action::DeployModel::Feedback as step;
use edgeflow_ros::edgeflow_msgs::action::DeployModel::{Action, Feedback, Goal, Result as Outcome};
use edgeflow_ros::{ActionServer, ServerGoal};
use futures::StreamExt;

use super::services::{Services, parse};
use crate::Error;
use crate::engine::Stage;

/// Serves goals until the action is gone. Each runs on a task of its own, and loads one after the other.
pub(super) async fn serve(mut goals: ActionServer<Action>, services: Arc<Services>) {
    while let Some(goal) = goals.next().await {
        match goal.accept() {
            Ok(goal) => drop(tokio::spawn(deploy(goal, Arc::clone(&services)))),
            Err(error) => tracing::warn!(%error, "a goal was not accepted"),
        }
    }
}

async fn deploy(goal: ServerGoal<Action>, services: Arc<Services>) {
    let goal = Arc::new(goal);
    tell(&goal, step::DOWNLOADING, 0.0);
    let Goal { slot, bundle_path, model_name, model_version, digest } = goal.goal().clone();
    let loaded = match parse(bundle_path, model_name, model_version, &digest) {
        Ok(request) => {
            let goal = Arc::clone(&goal);
            let progress = move |stage| {
                // Before the swap is the last moment at which a cancel can be honoured.
                if goal.is_canceling() || (stage == Stage::Swapping && !goal.refuse_cancel()) {
                    return Err(Error::Canceled);
                }
                match stage {
                    Stage::Verifying => tell(&goal, step::VERIFYING, 0.1),
                    Stage::Warming(_) => tell(&goal, step::WARMING, 0.4),
                    Stage::Swapping => {}
                }
                Ok(())
            };
            services.load(&slot, request, progress).await
        }
        Err(error) => Err(error),
    };
    // The load has ended, so nobody else holds the goal.
    let Some(goal) = Arc::into_inner(goal) else { return };
    let ended = match loaded {
        Ok(loaded) => {
            tell(&goal, step::ACTIVE, 1.0);
            let (digest, swap_gap_us) = (loaded.model.digest.to_string(), loaded.swapped.gap_us());
            goal.succeed(Outcome { success: true, message: String::new(), digest, swap_gap_us })
        }
        Err(error) => {
            let outcome = Outcome { success: false, message: error.to_string(), digest: services.running_digest(&slot), swap_gap_us: 0 };
            // A bundle that turned out broken while it was called off was called off all the same.
            if goal.is_canceling() { goal.canceled(outcome) } else { goal.abort(outcome) }
        }
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "the end of a goal was not told");
    }
}

fn tell(goal: &ServerGoal<Action>, status: u8, progress: f32) {
    if let Err(error) = goal.feedback(Feedback { status, progress }) {
        tracing::debug!(%error, "feedback was not published");
    }
}
