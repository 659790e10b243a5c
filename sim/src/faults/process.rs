//! A program that is meant to be killed: started, killed without warning, started again, always into the same log.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::FaultsError;
use crate::demo::processes::Program;

/// How long a program may take to print its first line, on a machine that is busy.
const FIRST_LINE: Duration = Duration::from_secs(60);
/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(15);

/// What stands before a program on its command line; each becomes the next by exec, so the process id stays.
pub(super) type Prefix = Vec<OsString>;

/// The end of the run is the end of the program, however the run ends.
pub(super) fn bound_to_us() -> Prefix {
    ["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from).to_vec()
}

/// A running program.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts it. Must be called from a thread that lives as long as the run: the kernel takes its end for ours.
    pub(super) fn start(program: &Program, prefix: Prefix, logs: &Path) -> Result<Self, FaultsError> {
        Self::spawn(program, prefix, logs, false)
    }

    /// Starts it and waits for its first line on stdout.
    pub(super) async fn start_and_read_first_line(program: &Program, prefix: Prefix, logs: &Path) -> Result<(Self, String), FaultsError> {
        let mut process = Self::spawn(program, prefix, logs, true)?;
        let Some(stdout) = process.child.stdout.take() else { return Err(process.not_up("it has no stdout".to_owned())) };
        let mut lines = BufReader::new(stdout).lines();
        let Ok(Ok(Some(line))) = tokio::time::timeout(FIRST_LINE, lines.next_line()).await else {
            let reason = process.ended().map_or_else(|| "it printed no first line".to_owned(), |status| format!("it ended with {status}"));
            return Err(process.not_up(reason));
        };
        // A full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok((process, line))
    }

    fn spawn(program: &Program, mut prefix: Prefix, logs: &Path, wants_stdout: bool) -> Result<Self, FaultsError> {
        let log = logs.join(format!("{}.log", program.name));
        let failed = |source| FaultsError::File { action: "write a log", path: log.clone(), source };
        let file = File::options().append(true).create(true).open(&log).map_err(failed)?;
        prefix.push(program.path.clone().into());
        let mut words = prefix.into_iter().chain(program.args.iter().cloned());
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).envs(program.env.iter().cloned()).env("NO_COLOR", "1").env("ROS_LOG_DIR", logs.join("ros"));
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        command.stderr(file.try_clone().map_err(failed)?);
        command.stdout(if wants_stdout { Stdio::piped() } else { Stdio::from(file) });
        let child = command.spawn().map_err(|source| FaultsError::Start { program: program.name.clone(), source })?;
        Ok(Self { child, name: program.name.clone(), log })
    }

    /// Its process id, as long as it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Why it ended, if it did without being killed by us.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Ends it without warning; returns when it is gone.
    pub(super) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(name = self.name, %error, "could not kill a process");
        }
    }

    /// Asks it to end, and insists after a while.
    pub(super) async fn stop(mut self) {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok())
            && kill(Pid::from_raw(id), Signal::SIGTERM).is_ok()
            && tokio::time::timeout(GRACE, self.child.wait()).await.is_ok()
        {
            return;
        }
        self.kill().await;
    }

    /// An error about it.
    pub(super) fn not_up(&self, reason: String) -> FaultsError {
        FaultsError::NotUp { name: self.name.clone(), reason, log: self.log.clone() }
    }
}

/// Runs a program that ends by itself, to a good end.
pub(super) async fn run_to_end(program: &Program, logs: &Path) -> Result<(), FaultsError> {
    let mut process = Process::start(program, bound_to_us(), logs)?;
    match tokio::time::timeout(FIRST_LINE, process.child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(process.not_up(format!("it ended with {status}"))),
        Ok(Err(error)) => Err(process.not_up(error.to_string())),
        Err(_) => Err(process.not_up("it does not end".to_owned())),
    }
}
