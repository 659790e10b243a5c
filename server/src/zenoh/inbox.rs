//! One robot's questions, in the order in which they came. Nothing of one robot can overtake itself or hold up another.

use bytes::Bytes;
use edgeflow_core::RobotId;
use edgeflow_wire::{News, Topics, Version, WIRE_VERSION, encode};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use zenoh::{Session, Wait, qos::CongestionControl, query::Query};

use crate::app::{App, AppError, Door, DoorMetrics, Outcome, decode_upstream};

/// What a robot asks, or what happens to it.
pub(super) enum Asked {
    /// Take this document.
    Document(Query),
    /// What is new?
    News(Query),
    /// It is here.
    Here,
    /// It has left.
    Gone,
    /// Its desired state has changed.
    Changed,
}

/// One robot's inbox.
pub(super) struct Inbox {
    app: Arc<App>,
    session: Session,
    metrics: DoorMetrics,
    name: String,
    asked: mpsc::Receiver<Asked>,
}

impl Inbox {
    /// An inbox and the end to put things into.
    pub(super) fn new(app: Arc<App>, session: Session, metrics: DoorMetrics, name: &str, capacity: usize) -> (Self, mpsc::Sender<Asked>) {
        let (sender, asked) = mpsc::channel(capacity);
        (Self { app, session, metrics, name: name.to_owned(), asked }, sender)
    }

    /// Answers until it is stopped.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let robot = match self.app.robot_named(&self.name).await {
            Ok(Some(robot)) => robot,
            Ok(None) => return,
            Err(error) => return warn!(%error, robot.name = self.name, "could not look a robot up"),
        };
        let mut here = false;
        let mut commands_sent = 0;
        // What is being ingested when it stops is ingested to its end: that is a task of its own.
        stop.run_until_cancelled(async {
            while let Some(asked) = self.asked.recv().await {
                self.handle(&robot, asked, &mut here, &mut commands_sent).await;
            }
        })
        .await;
        if here {
            self.present(&robot, false).await;
        }
    }

    async fn handle(&self, robot: &RobotId, asked: Asked, here: &mut bool, commands_sent: &mut i64) {
        match asked {
            Asked::Document(query) => self.ingest(robot, query).await,
            Asked::News(query) => match self.app.news(robot, known(&query), commands_after(&query)).await {
                // An answer proves that we are here and that the robot may ask, also when there is nothing new.
                Ok(news) => {
                    self.metrics.sent.inc();
                    // A connection begins with this question, so what was pushed on an earlier one is in the answer.
                    *commands_sent = news.as_ref().map_or(0, |news| news.commands_upto).max(*commands_sent);
                    reply(query, &news.unwrap_or(News { v: WIRE_VERSION, ..News::default() })).await;
                }
                Err(error) => self.refuse(query, Outcome::ServerError, &error).await,
            },
            Asked::Here | Asked::Gone => {
                let now = matches!(asked, Asked::Here);
                if std::mem::replace(here, now) != now {
                    self.present(robot, now).await;
                }
                if now {
                    // It may have been away for a moment that it did not notice.
                    self.push(robot).await;
                    self.push_commands(robot, commands_sent).await;
                }
            }
            Asked::Changed => {
                self.push(robot).await;
                self.push_commands(robot, commands_sent).await;
            }
        }
    }

    async fn present(&self, robot: &RobotId, here: bool) {
        if here {
            self.metrics.robots.inc();
            self.app.robot_connected(robot, Door::Zenoh).await;
        } else {
            self.metrics.robots.dec();
            self.app.robot_disconnected(robot, Door::Zenoh).await;
        }
    }

    async fn ingest(&self, robot: &RobotId, query: Query) {
        let payload = query.payload().map(|payload| Bytes::from(payload.to_bytes().into_owned())).unwrap_or_default();
        self.metrics.telemetry.inc();
        self.metrics.telemetry_bytes.inc_by(payload.len() as u64);
        let (app, robot) = (self.app.clone(), robot.clone());
        let ingesting = tokio::spawn(async move {
            let upstream = decode_upstream(payload).await.map_err(AppError::Invalid)?;
            app.ingest(&robot, upstream).await
        });
        match ingesting.await.map_err(AppError::artifact("ingesting a document")).and_then(|ingested| ingested) {
            Ok(acknowledgement) => reply(query, &acknowledgement).await,
            Err(error) => {
                let bad = matches!(error, AppError::Invalid(_));
                self.refuse(query, if bad { Outcome::BadDocument } else { Outcome::ServerError }, &error).await;
            }
        }
    }

    /// Tells the robot its desired state. Dropped when its link cannot take it: it asks from time to time.
    async fn push(&self, robot: &RobotId) {
        let envelope = match self.app.desired_envelope(robot).await {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return,
            Err(error) => return warn!(%error, robot.name = self.name, "could not read a desired state"),
        };
        let (Ok(topics), Ok(payload)) = (Topics::new(&self.name), encode(&envelope)) else { return };
        self.metrics.sent.inc();
        if let Err(error) = self.session.put(topics.deploy(), payload).congestion_control(CongestionControl::Drop).await {
            debug!(%error, robot.name = self.name, "a desired state was not put");
        }
    }

    /// Tells the robot the commands that came since. One that is dropped comes with the robot's next question.
    async fn push_commands(&self, robot: &RobotId, sent: &mut i64) {
        let commands = match self.app.command_envelopes(robot, *sent).await {
            Ok(commands) => commands,
            Err(error) => return warn!(%error, robot.name = self.name, "could not read commands"),
        };
        for (number, envelope) in commands {
            let (Ok(topics), Ok(payload)) = (Topics::new(&self.name), encode(&envelope)) else { return };
            self.metrics.sent.inc();
            if let Err(error) = self.session.put(topics.command(), payload).congestion_control(CongestionControl::Drop).await {
                debug!(%error, robot.name = self.name, "a command was not put");
            }
            *sent = number;
        }
    }

    async fn refuse(&self, query: Query, outcome: Outcome, error: &AppError) {
        self.metrics.count_end(outcome);
        // What went wrong inside is for the log, not for whoever asked.
        let reason = if outcome == Outcome::BadDocument {
            error.to_string()
        } else {
            warn!(%error, robot.name = self.name, "a document was not taken");
            "the control plane failed; its log says why".to_owned()
        };
        send(move || query.reply_err(reason).wait()).await;
    }
}

/// What the robot says it knows of its desired state.
fn known(query: &Query) -> Option<Version> {
    let number = |name| query.parameters().get(name)?.parse().ok();
    Some(Version { server_epoch: number("server_epoch")?, generation: number("generation")? })
}

/// Number of the newest command it has heard of.
fn commands_after(query: &Query) -> Option<i64> {
    query.parameters().get("commands_after")?.parse().ok()
}

async fn reply<T: Serialize>(query: Query, document: &T) {
    match encode(document) {
        Ok(bytes) => send(move || query.reply(query.key_expr(), bytes).wait()).await,
        Err(error) => warn!(%error, "could not write an answer"),
    }
}

/// Sending waits for a robot that does not read until it is cut; meanwhile nothing else may wait.
async fn send(send: impl FnOnce() -> zenoh::Result<()> + Send + 'static) {
    match tokio::task::spawn_blocking(send).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "an answer was not sent"),
        Err(error) => warn!(%error, "an answer was not sent"),
    }
}
