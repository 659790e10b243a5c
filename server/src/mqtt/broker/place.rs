//! Throwing a robot out of the broker: a client that connects under a name ends the connection that had it.
//!
//! Works with every broker that takes the client id from the certificate (`use_username_as_clientid`, `peer_cert_as_clientid`). Nothing but
//! CONNECT is said, and the certificate for it is made on the spot and lives an hour.

use std::time::Duration;
use tokio::{sync::Semaphore, time::timeout};

use super::{address::BrokerOptions, link};
use crate::{app::App, mqtt::limits::Limits};

/// How long taking a place may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Places that are taken at a time.
const AT_A_TIME: usize = 8;

/// Takes places.
pub(super) struct Places {
    options: BrokerOptions,
    turns: Semaphore,
}

impl Places {
    pub(super) fn new(options: BrokerOptions) -> Self {
        Self { options, turns: Semaphore::new(AT_A_TIME) }
    }

    /// Ends the connection of a robot, if it has one.
    pub(super) async fn take(&self, app: &App, robot: &str) {
        let Ok(_turn) = self.turns.acquire().await else { return };
        let taken = timeout(PATIENCE, self.connect(app, robot)).await.unwrap_or_else(|_| Err("it takes too long".to_owned()));
        match taken {
            Ok(()) => tracing::info!(robot.name = robot, "ended a robot's connection to the broker"),
            Err(reason) => {
                tracing::warn!(robot.name = robot, reason, "could not end a robot's connection to the broker; it is ignored here")
            }
        }
    }

    async fn connect(&self, app: &App, robot: &str) -> Result<(), String> {
        let address = self.options.address().map_err(|error| error.to_string())?;
        let tls = self.options.tls(app, Some(robot)).map_err(|error| error.to_string())?;
        let (link, writer) = link::connect(&address, tls, robot, &Limits::default()).await.map_err(|end| end.reason)?;
        // Nobody has anything to say: it says goodbye.
        drop(link);
        writer.run().await;
        Ok(())
    }
}
