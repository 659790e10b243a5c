//! The router: opened, served, and opened anew when other robots may come.

use edgeflow_core::{RobotId, TargetName};
use std::{
    collections::BTreeSet,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use zenoh::Session;

use super::{rules, session::Serving};
use crate::app::{App, AppError, Door, DoorMetrics};

/// Robots that are enrolled one after the other are let in together, as many as come in this time.
const GATHER: Duration = Duration::from_millis(1_000);
/// Where opening the router takes longer than that, since the rules of a large fleet do and all robots wait for them, as many as
/// come in so many times what it takes.
const GATHER_FACTOR: u32 = 10;
/// A revoked robot is out soon after; others that are revoked with it are out at once with it.
const GATHER_REVOCATIONS: Duration = Duration::from_millis(50);
/// How often the rules are looked at though nothing was heard: certificates expire, and ours is made anew.
const RECHECK: Duration = Duration::from_secs(60);
/// Between two attempts to open the router again.
const RETRY: Duration = Duration::from_millis(200);

/// Why the router does not start.
#[derive(Debug, thiserror::Error)]
pub enum ZenohError {
    /// The operating system refuses the address.
    #[error("zenoh cannot listen on {address}: stop what uses the port, or choose another with --zenoh-listen (port 0 takes a free one)")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// zenoh refuses its configuration or material.
    #[error("the zenoh router does not start on {address}: {reason}")]
    Open {
        /// What was asked for.
        address: SocketAddr,
        /// What zenoh said.
        reason: String,
    },
    /// Who may come could not be read.
    #[error("could not read which robots may come over zenoh")]
    Robots(#[source] AppError),
    /// Our certificate cannot be read.
    #[error("could not read the certificate for zenoh")]
    Certificate(#[source] io::Error),
}

/// What the router was opened with. When it is no longer this, it is opened anew.
#[derive(PartialEq)]
struct Basis {
    robots: BTreeSet<TargetName>,
    /// Of live sessions.
    places: BTreeSet<String>,
    certificate: Vec<u8>,
}

/// The robots' door by zenoh, listening and not serving yet.
pub struct ZenohDoor {
    app: Arc<App>,
    address: SocketAddr,
    basis: Basis,
    session: Session,
    /// How long opening took.
    took: Duration,
    metrics: DoorMetrics,
    enrolments: broadcast::Receiver<RobotId>,
    revocations: broadcast::Receiver<RobotId>,
}

impl ZenohDoor {
    /// Listens. Port 0 takes a free one.
    ///
    /// # Errors
    /// An address that cannot be used, or material that zenoh does not take.
    pub async fn open(app: Arc<App>, listen: SocketAddr) -> Result<Self, ZenohError> {
        // Heard from before the robots are read, so that none falls between the two.
        let (enrolments, revocations) = (app.enrolments(), app.revocations());
        let basis = basis(&app).await?;
        let begin = Instant::now();
        let mut attempts = if listen.port() == 0 { 16 } else { 1 };
        let (address, session) = loop {
            attempts -= 1;
            // Asked here rather than of zenoh, which takes no port 0 and whose error does not say that the port is taken.
            let free = TcpListener::bind(listen).and_then(|listener| listener.local_addr());
            let address = free.map_err(|source| ZenohError::Bind { address: listen, source })?;
            match router(&app, address, &basis).await {
                Ok(session) => break (address, session),
                Err(_) if attempts > 0 => {}
                Err(error) => return Err(error),
            }
        };
        let metrics = DoorMetrics::default();
        app.metrics().register(|registry| metrics.register(Door::Zenoh, registry));
        Ok(Self { app, address, basis, session, took: begin.elapsed(), metrics, enrolments, revocations })
    }

    /// The address robots connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves robots until `shutdown`, then ends every connection and waits for documents that are being ingested.
    pub async fn serve(mut self, shutdown: CancellationToken) {
        loop {
            let gather = if self.took > GATHER { self.took * GATHER_FACTOR } else { GATHER };
            let news = (self.app.desired_changes(), self.app.revocations());
            match Serving::start(self.app.clone(), self.session.clone(), self.metrics.clone()).await {
                Ok(serving) => {
                    let next = tokio::select! {
                        () = serving.follow(news.0, news.1) => None,
                        next = next_basis(&self.app, &self.basis, gather, &mut self.enrolments, &mut self.revocations) => Some(next),
                        () = shutdown.cancelled() => None,
                    };
                    // Cut first: what is being ingested may take its time.
                    close(&self.session).await;
                    serving.stop().await;
                    match next {
                        Some(next) => self.basis = next,
                        None => return,
                    }
                }
                Err(error) => {
                    warn!(%error, "the zenoh router does not serve");
                    close(&self.session).await;
                }
            }
            info!(robots = self.basis.robots.len(), "the zenoh router opens anew");
            let begin = Instant::now();
            let Some(session) = shutdown.run_until_cancelled(self.reopen()).await else { return };
            (self.session, self.took) = (session, begin.elapsed());
        }
    }

    async fn reopen(&self) -> Session {
        loop {
            match router(&self.app, self.address, &self.basis).await {
                Ok(session) => return session,
                Err(error) => warn!(%error, "could not open the zenoh router again"),
            }
            sleep(RETRY).await;
        }
    }
}

async fn basis(app: &App) -> Result<Basis, ZenohError> {
    let robots = app.robots_by_common_name().await.map_err(ZenohError::Robots)?;
    let certificate = tokio::fs::read(&app.authority().files().server_certificate).await.map_err(ZenohError::Certificate)?;
    Ok(Basis { robots, places: app.live_places(), certificate })
}

async fn router(app: &App, address: SocketAddr, basis: &Basis) -> Result<Session, ZenohError> {
    let open = |reason| ZenohError::Open { address, reason };
    let config = rules::config(address, &app.authority().files(), &basis.robots, &basis.places).map_err(open)?;
    // Behind " at " are lines of its sources.
    zenoh::open(config).await.map_err(|error| open(error.to_string().split(" at /").next().unwrap_or_default().trim().to_owned()))
}

async fn close(session: &Session) {
    if let Err(error) = session.close().await {
        warn!(%error, "the zenoh router did not close cleanly");
    }
}

/// Waits until the router has to be opened anew, gathering changes that come together.
async fn next_basis(
    app: &App,
    now: &Basis,
    gather: Duration,
    enrolments: &mut broadcast::Receiver<RobotId>,
    revocations: &mut broadcast::Receiver<RobotId>,
) -> Basis {
    let mut until = Instant::now() + RECHECK;
    loop {
        tokio::select! {
            // One that lags has missed some; all are read again anyway.
            _ = revocations.recv() => until = until.min(Instant::now() + GATHER_REVOCATIONS),
            _ = enrolments.recv() => until = until.min(Instant::now() + gather),
            () = app.live_cut() => until = until.min(Instant::now() + GATHER_REVOCATIONS),
            () = sleep_until(until) => {
                until = Instant::now() + RECHECK;
                match basis(app).await {
                    Ok(next) if next != *now => return next,
                    Ok(_) => {}
                    Err(error) => {
                        warn!(%error, "could not see who may come over zenoh");
                        until = Instant::now() + GATHER;
                    }
                }
            }
        }
    }
}
