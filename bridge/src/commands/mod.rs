//! Momentary acts that the control plane asks for: each at most once, none after its expiry, only what this robot's
//! parameters allow, and what came of it told through the log.

mod act;
mod ledger;

use bytes::Bytes;
use edgeflow_ros::Node;
use edgeflow_wire::{
    Action, Class, Command, CommandOutcome, CommandStatusBody, DocumentKind, EntryBody, WIRE_VERSION, decode, name_matches,
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{Recorder, Result, Trust, capture, escalate::Request, live, policy::Valve};
pub(crate) use act::status;
use ledger::{Known, Ledger, Left};

/// Commands that run at the same time.
const MAX_RUNNING: usize = 8;
const MAX_ID_BYTES: usize = 64;
/// How long the control plane's time is waited for.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// What commands may reach: names absolute or relative to the robot's namespace, `*` within a part, `**` over parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Services that may be called.
    pub services: Vec<String>,
    /// Topics that may be published on.
    pub topics: Vec<String>,
}

/// How far the control plane's clock is ahead of this robot's, microseconds, as its newest acknowledgement told.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerClock(Arc<watch::Sender<Option<i64>>>);

impl ServerClock {
    pub(crate) fn heard(&self, server_us: i64, here_us: i64) {
        self.0.send_replace(Some(server_us.saturating_sub(here_us)));
    }

    /// The control plane's time at this moment of ours. Without a word of it our own clock has to do.
    fn at(&self, here_us: i64) -> i64 {
        here_us.saturating_add(self.0.borrow().unwrap_or_default())
    }

    /// Waits for the first word of the control plane: it follows soon on the connection that brought a command.
    async fn first_word(&self) {
        drop(tokio::time::timeout(FIRST_WORD, self.0.subscribe().wait_for(Option::is_some)).await);
    }
}

/// What a commander needs of others.
pub(crate) struct Means {
    pub(crate) recorder: Recorder,
    pub(crate) allowed: Allowed,
    /// Whose commands count.
    pub(crate) trust: Trust,
    pub(crate) clock: ServerClock,
    pub(crate) valve: watch::Sender<Valve>,
    pub(crate) escalations: mpsc::Sender<Request>,
    pub(crate) captures: mpsc::Sender<capture::Request>,
    pub(crate) live: mpsc::Sender<live::Request>,
}

/// Runs commands.
pub(crate) struct Commander {
    robot: String,
    node: Node,
    recorder: Recorder,
    allowed: Allowed,
    trust: Trust,
    clock: ServerClock,
    ledger: Ledger,
    left: Left,
    valve: watch::Sender<Valve>,
    escalations: mpsc::Sender<Request>,
    captures: mpsc::Sender<capture::Request>,
    live: mpsc::Sender<live::Request>,
    running: JoinSet<CommandStatusBody>,
    paused_until: Option<Instant>,
    told: String,
}

impl Commander {
    /// With the commands that `data_dir` remembers.
    ///
    /// # Errors
    /// A record of commands that cannot be read or written.
    pub(crate) fn open(node: &Node, robot: &str, data_dir: &Path, means: Means) -> Result<Self> {
        let Means { recorder, allowed, trust, clock, valve, escalations, captures, live } = means;
        let (ledger, left) = Ledger::open(data_dir, recorder.clock().now().t_us)?;
        let (robot, node) = (robot.to_owned(), node.clone());
        let running = JoinSet::new();
        Ok(Self {
            robot,
            node,
            recorder,
            allowed,
            trust,
            clock,
            ledger,
            left,
            valve,
            escalations,
            captures,
            live,
            running,
            paused_until: None,
            told: String::new(),
        })
    }

    /// Runs for ever.
    pub(crate) async fn run(mut self, mut incoming: mpsc::Receiver<Bytes>) {
        let Left { interrupted, damage } = std::mem::take(&mut self.left);
        for status in interrupted {
            self.tell(status).await;
        }
        if let Some(damage) = damage {
            self.recorder.fault("command", damage).await;
        }
        loop {
            let far = Instant::now() + Duration::from_secs(86_400);
            tokio::select! {
                bytes = incoming.recv() => match bytes {
                    Some(bytes) => self.take(&bytes).await,
                    None => return,
                },
                Some(ended) = self.running.join_next() => match ended {
                    Ok(status) => self.end(status).await,
                    Err(error) => tracing::error!(%error, "a command ended badly"),
                },
                () = sleep_until(self.paused_until.unwrap_or(far)) => self.pause(None),
            }
        }
    }

    async fn take(&mut self, bytes: &[u8]) {
        let payload = match self.trust.open(DocumentKind::Command, bytes) {
            Ok(payload) => payload,
            Err(reason) => return self.fault(format!("a command is not believed: {reason}")).await,
        };
        let command: Command = match decode(payload.as_bytes()) {
            Ok(command) => command,
            Err(error) => return self.fault(format!("a command cannot be read: {error}")).await,
        };
        if command.target != self.robot {
            return self
                .fault(format!("a command for {:?} came to {:?}: check the names and tokens of both", command.target, self.robot))
                .await;
        }
        if command.v != WIRE_VERSION || command.id.is_empty() || command.id.len() > MAX_ID_BYTES {
            return self
                .fault(format!("a command of wire version {} came, this robot speaks {WIRE_VERSION}: update the bridge", command.v))
                .await;
        }
        match self.ledger.known(&command) {
            Known::Running => {}
            // The control plane has not heard how it ended.
            Known::Ended(status) => self.tell(status).await,
            Known::TooOld => {
                let message = "it is older than what this robot remembers, so it may have run: give a new one";
                self.tell(status(&command.id, CommandOutcome::Refused, message)).await;
            }
            Known::New => self.begin(command).await,
        }
    }

    /// Remembers a command and, if nothing speaks against it, runs it.
    async fn begin(&mut self, command: Command) {
        if let Err(error) = tokio::task::block_in_place(|| self.ledger.begin(&command)) {
            // Not remembered, so not run. It comes again with the next connection.
            return self.fault(format!("a command was not run because it could not be remembered: {error}")).await;
        }
        let id = command.id.clone();
        self.clock.first_word().await;
        let now_us = self.clock.at(self.recorder.clock().now().t_us);
        if now_us > command.expires_us {
            let late_s = (now_us - command.expires_us) / 1_000_000;
            return self.end(status(&id, CommandOutcome::Expired, format!("it came {late_s} s after its expiry"))).await;
        }
        let action = match Action::parse(&command.action) {
            Ok(action) => action,
            Err(error) => return self.end(status(&id, CommandOutcome::Refused, error.to_string())).await,
        };
        if let Err(reason) = self.permits(&action) {
            return self.end(status(&id, CommandOutcome::Refused, reason)).await;
        }
        if self.running.len() >= MAX_RUNNING {
            return self.end(status(&id, CommandOutcome::Refused, format!("{MAX_RUNNING} commands run already"))).await;
        }
        tracing::info!(id, kind = action.kind(), "command");
        let node = self.node.clone();
        match action {
            Action::Pause { for_s } => {
                self.pause(Some(Duration::from_secs_f64(for_s)));
                self.end(status(&id, CommandOutcome::Done, "")).await;
            }
            Action::Resume {} => {
                self.pause(None);
                self.end(status(&id, CommandOutcome::Done, "")).await;
            }
            Action::Escalate { for_s, routes } => {
                let request = Request { name: id.clone(), reason: "by command".to_owned(), for_s, routes };
                let status = match self.escalations.send(request).await {
                    Ok(()) => status(&id, CommandOutcome::Done, ""),
                    Err(_) => status(&id, CommandOutcome::Failed, "the bridge stops"),
                };
                self.end(status).await;
            }
            Action::Capture { reason, after_s } => {
                let reason = if reason.is_empty() { format!("command {id}") } else { format!("command {id}: {reason}") };
                let (captures, robot) = (self.captures.clone(), self.robot.clone());
                self.running.spawn(async move { act::capture(captures, &robot, &id, reason, after_s).await });
            }
            Action::Live(request) => self.ask_live(id, live::Ask::Open(request)),
            Action::EndLive { session } => self.ask_live(id, live::Ask::End(session)),
            Action::CallService { service, type_name, request, timeout_s } => {
                let patience = Duration::from_secs_f64(timeout_s);
                self.running.spawn(async move { act::call_service(&node, &id, &service, &type_name, &request, patience).await });
            }
            Action::Publish { topic, type_name, message } => {
                self.running.spawn(async move { act::publish(&node, &id, &topic, &type_name, &message).await });
            }
        }
    }

    fn ask_live(&mut self, id: String, ask: live::Ask) {
        let live = self.live.clone();
        self.running.spawn(async move {
            let (answer, answered) = oneshot::channel();
            let asked = live.send(live::Request { id: id.clone(), ask, answer }).await;
            let answer = if asked.is_ok() { answered.await.ok() } else { None };
            answer.unwrap_or_else(|| status(&id, CommandOutcome::Failed, "the bridge stops"))
        });
    }

    /// Whether this robot's parameters allow it.
    fn permits(&self, action: &Action) -> std::result::Result<(), String> {
        let (kind, name, resolved, allowed, parameter) = match action {
            Action::CallService { service, .. } => {
                ("service", service, self.node.resolve_service(service), &self.allowed.services, "command_services")
            }
            Action::Publish { topic, .. } => ("topic", topic, self.node.resolve_topic(topic), &self.allowed.topics, "command_topics"),
            // What may be captured is in capture_topics, whoever asks.
            Action::Pause { .. } | Action::Resume {} | Action::Escalate { .. } | Action::Capture { .. } => return Ok(()),
            // Who forwards looks at its own parameters.
            Action::Live(_) | Action::EndLive { .. } => return Ok(()),
        };
        let absolute = resolved.map_err(|error| error.to_string())?;
        if allowed.iter().any(|pattern| name_matches(pattern, self.node.namespace(), &absolute)) {
            Ok(())
        } else {
            Err(format!("the {kind} {name} is not in this robot's parameter {parameter}"))
        }
    }

    fn pause(&mut self, lasts: Option<Duration>) {
        self.paused_until = lasts.map(|lasts| Instant::now() + lasts);
        let paused = lasts.is_some();
        self.valve.send_if_modified(|valve| std::mem::replace(&mut valve.paused, paused) != paused);
    }

    async fn end(&mut self, status: CommandStatusBody) {
        if let Err(error) = tokio::task::block_in_place(|| self.ledger.end(&status)) {
            tracing::warn!(%error, id = status.id, "could not note how a command ended: after a restart it counts as interrupted");
        }
        self.tell(status).await;
    }

    async fn tell(&self, status: CommandStatusBody) {
        tracing::info!(id = status.id, outcome = ?status.outcome, message = status.message, "command ended");
        self.recorder.record_now(Class::Critical, EntryBody::CommandStatus(status)).await;
    }

    /// Once for each reason in a row.
    async fn fault(&mut self, reason: String) {
        if self.told != reason {
            self.recorder.fault("command", reason.clone()).await;
            self.told = reason;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_planes_time_is_estimated_from_its_newest_word() {
        let clock = ServerClock::default();
        assert_eq!(clock.at(100), 100);
        clock.heard(5_000, 1_000);
        assert_eq!(clock.at(1_500), 5_500);
        clock.heard(900, 1_000);
        assert_eq!(clock.at(1_000), 900, "a robot whose clock is ahead");
    }
}
