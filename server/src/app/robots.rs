//! What a robot asks of the control plane, whichever uplink carries it.

use bytes::Bytes;
use edgeflow_core::{
    Principal, RobotId, TargetName, event,
    principal::{Action, Denied, Resource, Who},
};
use edgeflow_store::{Ingested, StoreError};
use edgeflow_wire::{AckOutcome, Content, DesiredState, DocumentKind, EntryBody, Envelope, LogAck, News, Upstream, Version, WIRE_VERSION};
use tokio::sync::broadcast;

use crate::app::{App, AppError, Door, auth::hash};

/// A document larger than this is read where it cannot hold up other tasks, bytes.
const INLINE_DECODE_BYTES: usize = 32 * 1024;

impl App {
    /// Who the robot is, if `token` is its token. Compares in constant time; a revoked or unknown robot is nobody.
    pub async fn authenticate_robot(&self, name: &str, token: &str) -> Option<RobotId> {
        match self.robot_of(name, hash(token)).await {
            Ok(robot) => robot,
            Err(error) => {
                tracing::error!(%error, robot.name = name, "could not look a robot up");
                None
            }
        }
    }

    /// The robot that asks about itself. Nobody else may do what robots do, whatever else they may.
    pub(crate) async fn robot_itself(&self, principal: &Principal, name: &TargetName) -> Result<RobotId, AppError> {
        let resource = Resource::Target(name.clone());
        self.permit(principal, Action::WriteLog, resource.clone()).await?;
        if principal.who != Who::Robot(name.clone()) {
            return Err(Denied { who: principal.who.clone(), action: Action::WriteLog, resource }.into());
        }
        // It was there when its token, or its certificate, was looked at for this very request.
        Ok(App::robot_id(&principal.organisation, name))
    }

    /// Whether the robot is still enrolled: whoever asks after it began to listen for revocations misses none.
    pub(crate) async fn still_enrolled(&self, robot: &RobotId) -> Result<(), AppError> {
        let target = self.stores.targets.target(&robot.organisation, &robot.name).await?;
        target.map(drop).ok_or(AppError::Unauthenticated)
    }

    /// The robot of that name, if it is enrolled.
    pub(crate) async fn robot_named(&self, name: &str) -> Result<Option<RobotId>, AppError> {
        let Ok(name) = TargetName::new(name) else { return Ok(None) };
        Ok(self.stores.targets.target_anywhere(&name).await?.map(|target| target.id))
    }

    /// The robot has come by a door.
    pub async fn robot_connected(&self, robot: &RobotId, door: Door) {
        tracing::info!(robot.name = robot.as_str(), door = door.as_str(), "robot connected");
        self.seen(robot, door, true).await;
    }

    /// The robot has left by a door.
    pub async fn robot_disconnected(&self, robot: &RobotId, door: Door) {
        tracing::info!(robot.name = robot.as_str(), door = door.as_str(), "robot disconnected");
        self.seen(robot, door, false).await;
    }

    async fn seen(&self, robot: &RobotId, door: Door, here: bool) {
        let robots = self.presence.set(robot, door, here);
        self.metrics.robots.set(i64::try_from(robots).unwrap_or(i64::MAX));
        if let Err(error) = self.stores.entries.touch(robot, self.now_us()).await {
            tracing::warn!(%error, robot.name = robot.as_str(), "could not note when a robot was last seen");
        }
        self.presence.touch(robot);
    }

    /// Takes a hello or a batch of log entries. What the answer acknowledges is durable.
    pub async fn ingest(&self, robot: &RobotId, upstream: Upstream) -> Result<LogAck, AppError> {
        let received_us = self.now_us();
        let (epoch, result) = match &upstream {
            Upstream::Hello(hello) => (hello.epoch.clone(), self.stores.entries.ingest_hello(robot, hello, received_us).await),
            Upstream::Batch(batch) => (batch.epoch.clone(), self.stores.entries.ingest_batch(robot, batch, received_us).await),
        };
        let ingested = match result {
            Ok(ingested) => ingested,
            Err(StoreError::Refused(refusal)) => {
                self.metrics.refused();
                self.stores.entries.count_refused(robot).await?;
                tracing::warn!(robot.name = robot.as_str(), %refusal, "refused a log document");
                return Err(refusal.into());
            }
            Err(error) => return Err(error.into()),
        };
        self.note_commands(robot, &ingested.stored).await;
        self.count(robot, &upstream, &ingested);
        self.announce(robot, &ingested);
        let Ingested { outcome, next, .. } = ingested;
        Ok(LogAck { v: WIRE_VERSION, epoch, outcome, next, server_time_us: received_us })
    }

    fn count(&self, robot: &RobotId, upstream: &Upstream, ingested: &Ingested) {
        if let AckOutcome::EpochRefused { reason } = &ingested.outcome {
            self.metrics.refused();
            tracing::warn!(robot.name = robot.as_str(), reason, "refused an epoch");
            return;
        }
        match upstream {
            Upstream::Hello(hello) => {
                for claimed in &hello.classes {
                    let held = ingested.next.iter().find(|ack| ack.class == claimed.class).map_or(1, |ack| ack.next_seq);
                    self.metrics.claimed(robot, claimed, held);
                }
            }
            Upstream::Batch(batch) => {
                let stored = ingested.stored.len() as u64;
                self.metrics.ingested(batch.class, stored, ingested.lost);
                self.metrics.caught_up(robot, batch.class, stored + ingested.lost);
            }
        }
    }

    /// Tells watchers what came in. Views are computed later, once for many changes.
    fn announce(&self, robot: &RobotId, ingested: &Ingested) {
        if ingested.stored.is_empty() {
            return;
        }
        if self.hub.watched() {
            for line in ingested.stored.iter().filter_map(event::of) {
                self.hub.send(&robot.organisation, "event", &line);
            }
        }
        let any = |wanted: fn(&EntryBody) -> bool| {
            ingested.stored.iter().any(|entry| matches!(&entry.content, Content::Known(body) if wanted(body)))
        };
        let deployment = any(|body| matches!(body, EntryBody::DeploymentStatus(_)));
        let drift = any(|body| matches!(body, EntryBody::DriftReport(_)));
        if any(|body| matches!(body, EntryBody::State(_) | EntryBody::DeploymentStatus(_) | EntryBody::PolicyStatus(_))) {
            self.presence.heard(robot);
        }
        self.presence.note(|changes| {
            changes.targets.insert(robot.clone());
            if deployment {
                changes.deployments.insert(robot.clone());
            }
            if drift {
                changes.drift.insert(robot.clone());
            }
        });
    }

    /// What the robot shall be; `None` as long as nothing was declared.
    pub async fn desired_envelope(&self, robot: &RobotId) -> Result<Option<Envelope>, AppError> {
        let target = self.stores.targets.target(&robot.organisation, &robot.name).await?;
        target.map_or(Ok(None), |target| self.enveloped(&target.desired))
    }

    fn enveloped(&self, desired: &DesiredState) -> Result<Option<Envelope>, AppError> {
        if desired.version.generation == 0 {
            return Ok(None);
        }
        let payload = serde_json::to_string(desired).map_err(AppError::artifact("writing a desired state"))?;
        Ok(Some(self.authority.envelope(DocumentKind::DesiredState, payload)))
    }

    /// What is new for a robot that knows this of its desired state and has heard of commands up to this number (none at all
    /// when it takes no commands); `None` when nothing is.
    pub async fn news(&self, robot: &RobotId, known: Option<Version>, commands_after: Option<i64>) -> Result<Option<News>, AppError> {
        let Some(target) = self.stores.targets.target(&robot.organisation, &robot.name).await? else { return Ok(None) };
        // Not only what is higher: one who knows something that never was has to hear what is.
        let is_known = known.is_some_and(|known| known == target.desired.version);
        let desired = if is_known { None } else { self.enveloped(&target.desired)? };
        let commands = match commands_after {
            Some(after) => self.command_envelopes(robot, after).await?,
            None => Vec::new(),
        };
        if desired.is_none() && commands.is_empty() {
            return Ok(None);
        }
        let commands_upto = commands.last().map_or(commands_after.unwrap_or_default(), |(number, _)| *number);
        Ok(Some(News { v: WIRE_VERSION, desired, commands: commands.into_iter().map(|(_, envelope)| envelope).collect(), commands_upto }))
    }

    /// Robots whose desired state changed. A receiver that lags re-reads every robot it serves.
    pub fn desired_changes(&self) -> broadcast::Receiver<RobotId> {
        self.desired.subscribe()
    }

    /// Robots whose identity was revoked. A receiver that lags re-checks every robot it serves.
    pub fn revocations(&self) -> broadcast::Receiver<RobotId> {
        self.revoked.subscribe()
    }
}

/// Reads what a robot sent. The error says what is wrong with it.
pub(crate) async fn decode_upstream(payload: Bytes) -> Result<Upstream, String> {
    let decoded = if payload.len() <= INLINE_DECODE_BYTES {
        edgeflow_wire::decode(&payload)
    } else {
        match tokio::task::spawn_blocking(move || edgeflow_wire::decode(&payload)).await {
            Ok(decoded) => decoded,
            Err(error) => return Err(error.to_string()),
        }
    };
    decoded.map_err(|error| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    })
}
