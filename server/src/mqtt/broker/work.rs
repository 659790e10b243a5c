//! What is done for one robot, one thing after the other: documents in order, answers, desired state, commands.

use edgeflow_core::RobotId;
use edgeflow_wire::{Envelope, Topics};
use rumqttc::mqttbytes::QoS;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{
    fleet::{Fleet, Known, News, Task},
    link::Gone,
};
use crate::{
    app::{AppError, Door, decode_upstream},
    mqtt::metrics::Outcome,
};

/// Why something was not done.
enum Failure {
    /// The connection is no more; it all begins anew with the next one.
    Gone,
    /// The control plane could not do its part.
    App(AppError),
}

impl From<Gone> for Failure {
    fn from(_: Gone) -> Self {
        Failure::Gone
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Self {
        Failure::App(error)
    }
}

impl Fleet {
    /// Does what there is to do for a robot.
    pub(super) async fn work(self: Arc<Self>, name: String) {
        let Ok(topics) = Topics::new(&name) else { return };
        let mut known = None;
        while let Some((task, mut now)) = self.next(&name, known.take()) {
            let Ok(turn) = self.turns.acquire().await else { return };
            let done = self.step(&name, &topics, task, &mut now).await;
            drop(turn);
            match done {
                Ok(()) => {}
                // Who it is has to be known to the end: it may be here.
                Err(Failure::Gone) => {}
                Err(Failure::App(error)) => {
                    self.metrics.count_end(Outcome::ServerError);
                    tracing::warn!(robot.name = name, %error, "could not serve a robot; it sends again what is not acknowledged");
                }
            }
            known = Some(now);
        }
    }

    async fn step(&self, name: &str, topics: &Topics, task: Task, known: &mut Known) -> Result<(), Failure> {
        if let Task::Revoked = task {
            // Thrown out by whoever revoked it. Should the name stand all the same, it is looked up again.
            let before = std::mem::take(known);
            if let (Some(robot), true) = (before.robot, before.here) {
                self.left(&robot).await;
            }
        }
        if known.robot.is_none() {
            known.robot = self.app.robot_by_common_name(name).await?;
        }
        let Some(robot) = known.robot.clone() else {
            return match task {
                Task::Look | Task::News(News::Here(false)) => Ok(()),
                Task::Revoked => self.clear(topics).await,
                Task::News(_) => {
                    // Nothing of it counts, and it is thrown out.
                    self.metrics.count_end(Outcome::Revoked);
                    self.places.take(&self.app, name).await;
                    self.drop_news(name);
                    self.clear(topics).await
                }
            };
        };
        match task {
            Task::News(News::Here(true)) => {
                if !std::mem::replace(&mut known.here, true) {
                    self.metrics.robots.inc();
                    self.app.robot_connected(&robot, Door::Mqtt).await;
                }
                known.commands_sent = 0;
                self.send_desired(&robot, topics, known).await?;
                self.send_commands(&robot, topics, known).await
            }
            Task::News(News::Here(false)) => {
                if std::mem::take(&mut known.here) {
                    self.left(&robot).await;
                }
                Ok(())
            }
            Task::News(News::Document(document)) => match decode_upstream(document).await {
                Ok(upstream) => {
                    let ack = self.app.ingest(&robot, upstream).await?;
                    let payload = edgeflow_wire::encode(&ack).map_err(AppError::artifact("writing an acknowledgement"))?;
                    // Lost, it is missed: the robot sends again and is answered again.
                    self.send(topics.telemetry_ack(), payload, QoS::AtMostOnce, false).await
                }
                Err(reason) => {
                    self.metrics.count_end(Outcome::BadDocument);
                    tracing::warn!(robot.name = name, reason, "a robot's document does not read; its connection is ended");
                    self.places.take(&self.app, name).await;
                    Ok(())
                }
            },
            Task::Look | Task::Revoked => {
                self.send_desired(&robot, topics, known).await?;
                if known.here { self.send_commands(&robot, topics, known).await } else { Ok(()) }
            }
        }
    }

    /// Takes away what is retained of a robot.
    async fn clear(&self, topics: &Topics) -> Result<(), Failure> {
        for topic in [topics.deploy(), topics.alive()] {
            self.send(topic, Vec::new(), QoS::AtLeastOnce, true).await?;
        }
        Ok(())
    }

    pub(super) async fn left(&self, robot: &RobotId) {
        self.metrics.robots.dec();
        self.app.robot_disconnected(robot, Door::Mqtt).await;
    }

    async fn send_desired(&self, robot: &RobotId, topics: &Topics, known: &mut Known) -> Result<(), Failure> {
        let Some(envelope) = self.app.desired_envelope(robot).await? else { return Ok(()) };
        let content = content(&envelope);
        if known.desired_sent == Some(content) {
            return Ok(());
        }
        let payload = edgeflow_wire::encode(&envelope).map_err(AppError::artifact("writing a desired state"))?;
        self.send(topics.deploy(), payload, QoS::AtLeastOnce, true).await?;
        known.desired_sent = Some(content);
        Ok(())
    }

    async fn send_commands(&self, robot: &RobotId, topics: &Topics, known: &mut Known) -> Result<(), Failure> {
        for (number, envelope) in self.app.command_envelopes(robot, known.commands_sent).await? {
            let payload = edgeflow_wire::encode(&envelope).map_err(AppError::artifact("writing a command"))?;
            self.send(topics.command(), payload, QoS::AtLeastOnce, false).await?;
            known.commands_sent = number;
        }
        Ok(())
    }

    async fn send(&self, topic: String, payload: Vec<u8>, qos: QoS, retain: bool) -> Result<(), Failure> {
        self.outbox.publish(topic, payload, qos, retain).await?;
        self.metrics.sent.inc();
        Ok(())
    }
}

/// What tells one desired state from the next.
fn content(envelope: &Envelope) -> u64 {
    let mut hasher = DefaultHasher::new();
    envelope.payload.hash(&mut hasher);
    hasher.finish()
}
