//! Telemetry policies: they change desired state; robots take them up at their own pace and say so.

use edgeflow_core::{
    Principal, TargetName,
    policy::{self, PolicyView},
    principal::{Action, Resource},
    target::{Attested, Target},
};

use crate::app::{App, AppError};

impl App {
    /// Declares what a robot shall report of its topics. A document that is no policy changes nothing.
    pub async fn set_policy(&self, principal: &Principal, name: &TargetName, document: serde_json::Value) -> Result<PolicyView, AppError> {
        self.permit(principal, Action::SetPolicy, Resource::Target(name.clone())).await?;
        let (target, changed) = self.stores.targets.set_policy(&principal.organisation, name, &document).await?;
        if changed {
            // An error means that no door is open for robots; they will read it when one is.
            drop(self.desired.send(target.id.clone()));
            self.presence.touch(&target.id);
            let version = target.desired.policy.as_ref().map(|policy| policy.version);
            self.record(principal, Action::SetPolicy, &format!("target/{name}"), serde_json::json!({ "version": version })).await;
        }
        self.policy_view(&target).await
    }

    /// What a robot shall report of its topics, and what it says of that.
    pub async fn policy(&self, principal: &Principal, name: &TargetName) -> Result<PolicyView, AppError> {
        let robot = self.readable(principal, name).await?;
        let found = self.stores.targets.target(&robot.organisation, &robot.name).await?;
        self.policy_view(&found.ok_or_else(|| AppError::NotFound { what: "robot", name: name.to_string() })?).await
    }

    async fn policy_view(&self, target: &Target) -> Result<PolicyView, AppError> {
        let mut attested: std::collections::BTreeMap<TargetName, Attested> =
            self.stores.entries.attested(&target.id.organisation, std::slice::from_ref(&target.id.name)).await?;
        let attested = attested.remove(&target.id.name).unwrap_or_default();
        Ok(policy::view(target.id.as_str(), target.desired.policy.as_ref(), &attested))
    }
}
