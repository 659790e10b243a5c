//! The door: connected, served, and connected again, for as long as the control plane runs.

use edgeflow_core::RobotId;
use futures::future::join_all;
use rumqttc::mqttbytes::{QoS, v4::SubscribeFilter};
use std::{
    collections::BTreeSet,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    process::Command,
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{info, warn};

use super::{
    address::{BrokerError, BrokerOptions},
    fleet::Fleet,
    link::{self, Link},
    place::Places,
};
use crate::{
    app::{App, AppError, CONTROL_PLANE},
    mqtt::{
        limits::Limits,
        metrics::{GatewayMetrics, Outcome},
        packets::End,
    },
};

/// First and longest wait before connecting again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How long a connection has to stand for the next wait to be the first again.
const STEADY: Duration = Duration::from_secs(30);
/// A revoked robot is thrown out after so long, whether the broker has read the new list by then or not.
const RELOAD_HEAD_START: Duration = Duration::from_millis(500);
/// How long the program that reloads the broker may take.
const RELOAD_PATIENCE: Duration = Duration::from_secs(60);

/// The robots' door through an external broker.
pub struct BrokerDoor {
    app: Arc<App>,
    options: BrokerOptions,
    limits: Limits,
    metrics: GatewayMetrics,
    places: Arc<Places>,
    /// Of the connection there is.
    fleet: Mutex<Option<Arc<Fleet>>>,
}

impl BrokerDoor {
    /// Checks the options; connecting begins with [`BrokerDoor::serve`].
    ///
    /// # Errors
    /// An address or files that cannot be used.
    pub fn open(app: Arc<App>, options: BrokerOptions, limits: Limits) -> Result<Self, BrokerError> {
        options.check(&app)?;
        let places = Arc::new(Places::new(options.clone()));
        Ok(Self { app, options, limits, metrics: GatewayMetrics::default(), places, fleet: Mutex::default() })
    }

    /// What is counted.
    pub fn metrics(&self) -> GatewayMetrics {
        self.metrics.clone()
    }

    /// Serves until `shutdown`: connects, and connects again for as long as the broker is not there.
    pub async fn serve(self, shutdown: CancellationToken) {
        let revocations = self.app.revocations();
        let connections = self.connections(&shutdown);
        tokio::select! {
            () = connections => {}
            () = self.follow_revocations(revocations) => {}
        }
    }

    async fn connections(&self, shutdown: &CancellationToken) {
        let mut wait = RETRY.0;
        while !shutdown.is_cancelled() {
            let begun = Instant::now();
            if let Err(end) = self.connection(shutdown).await {
                self.metrics.count_end(end.outcome);
                warn!(broker = self.options.url, outcome = ?end.outcome, reason = end.reason, "not connected to the broker");
            }
            if begun.elapsed() > STEADY {
                wait = RETRY.0;
            }
            let _ = shutdown.run_until_cancelled(sleep(wait)).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// One connection, until it breaks or the server stops.
    async fn connection(&self, shutdown: &CancellationToken) -> Result<(), End> {
        // Heard from before the fleet is read, so that no change falls between the two.
        let news = (self.app.desired_changes(), self.app.enrolments());
        let broken = |error: BrokerError| End::new(Outcome::BadCredentials, error.to_string());
        let (address, tls) = (self.options.address().map_err(broken)?, self.options.tls(&self.app, None).map_err(broken)?);
        let connecting = link::connect(&address, tls, CONTROL_PLANE, &self.limits);
        let Some(connected) = shutdown.run_until_cancelled(connecting).await else { return Ok(()) };
        let (mut link, writer) = connected?;
        let fleet = Fleet::new(self.app.clone(), link.outbox.clone(), self.metrics.clone(), self.places.clone(), self.limits.clone());
        *self.current() = Some(fleet.clone());
        self.metrics.accepted.inc();
        let mut writer = AbortOnDropHandle::new(tokio::spawn(writer.run()));
        let end = tokio::select! {
            end = self.read(&mut link, &fleet) => end,
            end = &mut writer => end.unwrap_or_else(|error| End::new(Outcome::ServerError, error.to_string())),
            () = self.follow(&fleet, news) => End::new(Outcome::Shutdown, "the control plane closes"),
            () = shutdown.cancelled() => End::new(Outcome::Shutdown, "the server stops"),
        };
        *self.current() = None;
        // Nothing more can be said, so nobody waits to say it.
        drop((link, writer));
        fleet.end().await;
        self.metrics.open.set(0);
        if end.outcome == Outcome::Shutdown { Ok(()) } else { Err(end) }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<Arc<Fleet>>> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, link: &mut Link, fleet: &Arc<Fleet>) -> End {
        // QoS 1 proves nothing, but a broker keeps it when it drops what another robot floods it with.
        let filter = |leaf: &str| SubscribeFilter::new(format!("edgeflow/targets/+/{leaf}"), QoS::AtLeastOnce);
        let filters = vec![filter("telemetry"), filter("alive")];
        let read = async {
            link.subscribe(filters, |publish| fleet.heard(&publish)).await?;
            // From here on it is heard what robots say.
            self.metrics.open.set(1);
            info!(broker = self.options.url, "connected to the broker");
            self.tell_all(fleet);
            loop {
                fleet.heard(&link.message().await?);
            }
        };
        let never: Result<std::convert::Infallible, End> = read.await;
        match never {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    /// Has every robot's desired state told again, and what a revoked one left taken away.
    fn tell_all(&self, fleet: &Arc<Fleet>) {
        let (app, fleet) = (self.app.clone(), fleet.clone());
        tokio::spawn(async move {
            match all_names(&app).await {
                Ok((robots, revoked)) => {
                    robots.iter().for_each(|name| fleet.look(name));
                    revoked.iter().for_each(|name| fleet.revoked(name));
                }
                Err(error) => warn!(%error, "could not read which robots there are; they hear of changes when they come"),
            }
        });
    }

    async fn follow(&self, fleet: &Arc<Fleet>, (mut changes, mut enrolments): (Receiver<RobotId>, Receiver<RobotId>)) {
        loop {
            let changed = tokio::select! {
                changed = changes.recv() => changed,
                enrolled = enrolments.recv() => enrolled,
            };
            match changed {
                Ok(robot) => fleet.look(robot.as_str()),
                // Which ones were missed is unknown: all are told.
                Err(RecvError::Lagged(_)) => self.tell_all(fleet),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Revoked robots count for nothing at once, and are thrown out, connected to the broker or not.
    async fn follow_revocations(&self, mut revocations: Receiver<RobotId>) {
        self.reload().await;
        loop {
            let mut names = BTreeSet::new();
            match revocations.recv().await {
                Ok(robot) => drop(names.insert(robot.to_string())),
                Err(RecvError::Lagged(_)) => {
                    if let Some(fleet) = &*self.current() {
                        fleet.all().iter().for_each(|name| fleet.revoked(name));
                    }
                    names.extend(all_names(&self.app).await.map(|(_, revoked)| revoked).unwrap_or_default());
                }
                Err(RecvError::Closed) => return std::future::pending().await,
            }
            while let Ok(robot) = revocations.try_recv() {
                names.insert(robot.to_string());
            }
            if let Some(fleet) = &*self.current() {
                names.iter().for_each(|name| fleet.revoked(name));
            }
            let (app, options, places) = (self.app.clone(), self.options.clone(), self.places.clone());
            tokio::spawn(async move {
                let throw_out = || async { drop(join_all(names.iter().map(|name| places.take(&app, name))).await) };
                // Best after the broker has read the list, so that they do not come back.
                let mut reload = std::pin::pin!(reload(&app, &options));
                if timeout(RELOAD_HEAD_START, &mut reload).await.is_err() {
                    throw_out().await;
                    reload.await;
                }
                throw_out().await;
            });
        }
    }

    async fn reload(&self) {
        reload(&self.app, &self.options).await;
    }
}

/// Names of robots that may come, and of those that no longer may.
async fn all_names(app: &App) -> Result<(Vec<String>, Vec<String>), AppError> {
    let robots = app.robots_by_common_name().await?;
    let revoked = app.revoked_names().await?;
    let revoked = revoked.difference(&robots).map(ToString::to_string).collect();
    Ok((robots.iter().map(ToString::to_string).collect(), revoked))
}

/// Has the broker read the list of revoked certificates again, where we were told how.
async fn reload(app: &App, options: &BrokerOptions) {
    let Some(program) = &options.reload else { return };
    let mut command = Command::new(program);
    command.env("EDGEFLOW_REVOKED", app.authority().revoked_file()).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    match timeout(RELOAD_PATIENCE, command.status()).await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => warn!(program = %program.display(), %status, "the broker was not told of revoked certificates"),
        Ok(Err(error)) => warn!(program = %program.display(), %error, "mqtt_broker_reload does not start"),
        Err(_) => warn!(program = %program.display(), "mqtt_broker_reload took longer than {RELOAD_PATIENCE:?} and was ended"),
    }
}
