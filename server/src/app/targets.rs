//! Robots: enrolled, shown, revoked.

use edgeflow_core::{
    Page, Principal, RobotId, TargetName, desired,
    entry::{EntryFilter, EntryView, LogView},
    principal::{Action, Resource},
    target::{self, Target, TargetView},
};
use std::collections::BTreeMap;

use crate::app::{
    App, AppError,
    auth::{hash, random_hex},
};

/// A robot to be enrolled.
#[derive(Debug, Clone)]
pub struct TargetRequest {
    /// Its name.
    pub name: TargetName,
    /// Labels for selecting.
    pub labels: BTreeMap<String, String>,
}

/// A robot that was enrolled.
#[derive(Debug, Clone)]
pub struct EnrolledTarget {
    /// Its name.
    pub name: TargetName,
    /// Its token, shown this once.
    pub token: String,
}

impl App {
    /// Enrols a robot and makes its token.
    pub async fn enrol_target(&self, principal: &Principal, request: TargetRequest) -> Result<EnrolledTarget, AppError> {
        self.permit(principal, Action::EnrolTarget, Resource::Organisation).await?;
        target::check_labels(&request.labels)?;
        if request.name.as_str() == "summary" {
            return Err(AppError::Invalid("no robot is called \"summary\": /targets/summary counts them".to_owned()));
        }
        let token = format!("{}.{}", request.name, random_hex()?);
        let new = Target {
            id: App::robot_id(&principal.organisation, &request.name),
            labels: request.labels,
            token_hash: hash(&token),
            created_at_us: self.now_us(),
            desired: desired::empty(&request.name),
        };
        self.stores.targets.create_target(&new).await?;
        self.record(principal, Action::EnrolTarget, &format!("target/{}", request.name), serde_json::json!({ "labels": new.labels })).await;
        self.presence.touch(&new.id);
        self.converge_soon(&new.id).await;
        Ok(EnrolledTarget { name: request.name, token })
    }

    /// Puts labels in the place of a robot's.
    pub async fn set_labels(
        &self,
        principal: &Principal,
        name: &TargetName,
        labels: BTreeMap<String, String>,
    ) -> Result<TargetView, AppError> {
        self.permit(principal, Action::SetLabels, Resource::Target(name.clone())).await?;
        target::check_labels(&labels)?;
        self.refuse_other_labels(&principal.organisation, name, &labels).await?;
        let labelled = self.stores.targets.set_labels(&principal.organisation, name, &labels).await?;
        self.presence.touch(&labelled.id);
        self.record(principal, Action::SetLabels, &format!("target/{name}"), serde_json::json!({ "labels": labels })).await;
        self.converge_soon(&labelled.id).await;
        self.target_view(&labelled.id).await?.ok_or_else(|| not_found(name))
    }

    /// Takes a robot's identity away: its sessions end and its token is worth nothing.
    pub async fn revoke_target(&self, principal: &Principal, name: &TargetName) -> Result<(), AppError> {
        self.permit(principal, Action::RevokeTarget, Resource::Target(name.clone())).await?;
        if !self.stores.targets.revoke_target(&principal.organisation, name, self.now_us()).await? {
            return Err(not_found(name));
        }
        let certificates = self.stores.identities.certificates(&principal.organisation, name).await?;
        self.authority.revoke(certificates.iter().map(|certificate| certificate.fingerprint));
        self.list_revoked().await;
        // An error means that no door is open for robots.
        drop(self.revoked.send(App::robot_id(&principal.organisation, name)));
        self.presence.touch(&App::robot_id(&principal.organisation, name));
        self.record(principal, Action::RevokeTarget, &format!("target/{name}"), serde_json::Value::Null).await;
        Ok(())
    }

    /// One robot, as shown.
    pub async fn target(&self, principal: &Principal, name: &TargetName) -> Result<TargetView, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Target(name.clone())).await?;
        self.target_view(&App::robot_id(&principal.organisation, name)).await?.ok_or_else(|| not_found(name))
    }

    /// Robots by name, as shown.
    pub async fn targets(&self, principal: &Principal, after: Option<&str>, limit: u32) -> Result<Page<TargetView>, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        let targets = self.stores.targets.targets(&principal.organisation, after, limit + 1).await?;
        let page = Page::cut(targets, limit, |target| target.id.name.to_string());
        let names: Vec<TargetName> = page.items.iter().map(|target| target.id.name.clone()).collect();
        let attested = self.stores.entries.attested(&principal.organisation, &names).await?;
        let nothing = target::Attested::default();
        Ok(page.map(|target| {
            let online = self.presence.is_online(&target.id);
            target::view(&target, attested.get(&target.id.name).unwrap_or(&nothing), online)
        }))
    }

    /// The account of a robot's log.
    pub async fn target_log(&self, principal: &Principal, name: &TargetName) -> Result<LogView, AppError> {
        let robot = self.readable(principal, name).await?;
        let (classes, refused) = self.stores.entries.account(&robot).await?;
        Ok(LogView::new(name, classes, refused))
    }

    /// A robot's entries.
    pub async fn target_entries(&self, principal: &Principal, name: &TargetName, filter: EntryFilter) -> Result<Page<EntryView>, AppError> {
        self.readable(principal, name).await?;
        let limit = filter.limit;
        let filter = EntryFilter { target: Some(name.clone()), limit: limit + 1, ..filter };
        let entries = self.stores.entries.entries(&principal.organisation, &filter).await?;
        Ok(Page::cut(entries, limit, |entry| entry.id.to_string()).map(|entry| entry.view()))
    }

    /// The robot of that name, which there is and which `principal` may read.
    pub(crate) async fn readable(&self, principal: &Principal, name: &TargetName) -> Result<RobotId, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Target(name.clone())).await?;
        let target = self.stores.targets.target(&principal.organisation, name).await?;
        target.map(|target| target.id).ok_or_else(|| not_found(name))
    }

    pub(crate) async fn target_view(&self, robot: &RobotId) -> Result<Option<TargetView>, AppError> {
        let Some(found) = self.stores.targets.target(&robot.organisation, &robot.name).await? else { return Ok(None) };
        let mut attested = self.stores.entries.attested(&robot.organisation, std::slice::from_ref(&robot.name)).await?;
        let attested = attested.remove(&robot.name).unwrap_or_default();
        Ok(Some(target::view(&found, &attested, self.presence.is_online(robot))))
    }
}

fn not_found(name: &TargetName) -> AppError {
    AppError::NotFound { what: "robot", name: name.to_string() }
}
