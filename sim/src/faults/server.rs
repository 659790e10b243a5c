//! The control plane, which can die at any moment and comes back elsewhere with the same data.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FaultsError;
use super::process::{Process, bound_to_us};
use super::robot::Ways;
use crate::demo::control_plane::ControlPlane;
use crate::demo::launch::{Doors, Launch, parse_server};
use crate::demo::processes::Program;

/// `edgeflow-server`, broker included.
pub(crate) struct Server {
    program: Program,
    logs: PathBuf,
    admin_token: String,
    process: Option<Process>,
    doors: Doors,
}

impl Server {
    /// Starts it on free ports, for robots with certificates or with tokens.
    pub(crate) async fn start(
        launch: &Launch<'_>,
        data_dir: &Path,
        logs: &Path,
        admin_token: &str,
        tls: bool,
    ) -> Result<Self, FaultsError> {
        let program = if tls { launch.secure_server(data_dir, 0, admin_token) } else { launch.server(data_dir, 0, admin_token) };
        Self::of(program, logs, admin_token).await
    }

    /// Starts it as this command line says.
    pub(crate) async fn of(program: Program, logs: &Path, admin_token: &str) -> Result<Self, FaultsError> {
        let (logs, admin_token) = (logs.to_owned(), admin_token.to_owned());
        let doors = Doors { local: String::new(), http: String::new(), mqtt: String::new(), zenoh: String::new() };
        let mut server = Self { program, logs, admin_token, process: None, doors };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it again, on other ports.
    pub(crate) async fn restart(&mut self) -> Result<(), FaultsError> {
        let (process, line) = Process::start_and_read_first_line(&self.program, bound_to_us(), &self.logs).await?;
        let plain = |(http, mqtt): (String, String)| Doors { local: http.clone(), http, mqtt, zenoh: String::new() };
        let Some(doors) = Doors::parse(&line).or_else(|| parse_server(&line).map(plain)) else {
            return Err(process.not_up(format!("it began with {line:?}")));
        };
        (self.process, self.doors) = (Some(process), doors);
        Ok(())
    }

    /// Ends it without warning.
    pub(crate) async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Asks it to end.
    pub(crate) async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop().await;
        }
    }

    /// An error when it ended although nobody killed it.
    pub(crate) fn still_runs(&mut self) -> Result<(), FaultsError> {
        match self.process.as_mut().and_then(|process| process.ended().map(|status| process.not_up(format!("it ended with {status}")))) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Tells the robots' networks where it is.
    pub(super) fn announce(&self, ways: &[Arc<Ways>]) {
        for ways in ways {
            ways.lead_to(&self.doors);
        }
    }

    /// Where it is.
    pub(crate) fn doors(&self) -> &Doors {
        &self.doors
    }

    /// Its process id, as long as it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::id)
    }

    /// A client with the administrator's token.
    pub(crate) fn client(&self) -> Result<ControlPlane, FaultsError> {
        ControlPlane::new(&format!("http://{}", self.doors.local), &self.admin_token).map_err(FaultsError::ControlPlane)
    }
}
