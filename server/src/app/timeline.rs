//! Everything that touched a robot, out of all stores, in one order.

use edgeflow_core::{
    Page, Principal, RobotId, TargetName,
    principal::{Action, Resource},
    timeline::{self, TimelineItem, Touch, Window},
};

use crate::app::{App, AppError};

impl App {
    /// Everything that touched a robot in a window, newest first. Also of one that was revoked.
    pub async fn timeline(&self, principal: &Principal, name: &TargetName, window: &Window) -> Result<Page<TimelineItem>, AppError> {
        if window.from_us >= window.to_us {
            return Err(AppError::Invalid(format!("from_us {} is not before to_us {}", window.from_us, window.to_us)));
        }
        let robot = self.remembered(principal, name).await?;
        let (touches, next) = timeline::merge(self.touches(&robot, window).await?, window.limit);
        let now_us = self.now_us();
        let items = touches.into_iter().map(|touch| timeline::view(&robot, touch, now_us)).collect();
        Ok(Page { items, next: next.map(|next| next.to_string()) })
    }

    /// The robot of that name, which `principal` may read and which there is or was: lineage does not end with a revocation.
    pub(crate) async fn remembered(&self, principal: &Principal, name: &TargetName) -> Result<RobotId, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Target(name.clone())).await?;
        let robot = App::robot_id(&principal.organisation, name);
        if self.stores.targets.target(&robot.organisation, name).await?.is_some()
            || self.touches(&robot, &Window::everything(1)).await?.iter().flatten().any(leaves_a_mark)
        {
            return Ok(robot);
        }
        Err(AppError::NotFound { what: "robot", name: name.to_string() })
    }

    async fn touches(&self, robot: &RobotId, window: &Window) -> Result<Vec<Vec<Touch>>, AppError> {
        let mut parts = Vec::new();
        for store in &self.stores.timeline {
            parts.extend(store.touches(robot, window).await?);
        }
        Ok(parts)
    }
}

/// Whether a fact proves that there was such a robot: a refusal names robots nobody ever heard of, too.
fn leaves_a_mark(touch: &Touch) -> bool {
    !matches!(&touch.fact, timeline::Fact::Act(act) if act.outcome != "done")
}
