//! The programs that the demo starts, each with its own log, and the promise that none outlives it.
//!
//! Each runs in a process group of its own, so that Ctrl-C on the terminal reaches only the demo, which then stops them
//! in order. If the demo dies without a chance to do so (SIGKILL, a crash), the kernel does it: they are started through
//! util-linux's `setpriv --pdeathsig TERM` where it is there (Debian and Ubuntu always have it), which costs no unsafe
//! code here and no convention in the programs. The signal comes when the *thread* that started them ends, so
//! [`Processes::start`] must be called from the main thread, never from a spawned task.

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::DemoError;

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(8);

/// How long a program may take to print its first line.
const FIRST_LINE: Duration = Duration::from_secs(30);

/// Lines of a log that an error quotes.
const LINES_QUOTED: usize = 6;

/// A program to start.
#[derive(Debug, Clone)]
pub struct Program {
    /// Name for people and for the log: `robot-1.bridge_node`.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Environment variables beside the demo's own.
    pub env: Vec<(&'static str, OsString)>,
}

/// Everything that was started and still runs.
#[derive(Debug)]
pub struct Processes {
    logs: PathBuf,
    setpriv: Option<PathBuf>,
    running: Vec<Running>,
    ended: mpsc::UnboundedReceiver<DemoError>,
    report_end: mpsc::UnboundedSender<DemoError>,
}

#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    watching: JoinHandle<()>,
}

impl Processes {
    /// Nothing started yet; logs go to the folder `logs`, which is made.
    pub fn new(logs: PathBuf) -> Result<Self, DemoError> {
        std::fs::create_dir_all(&logs).map_err(|source| DemoError::File {
            action: "make the folder for logs",
            path: logs.clone(),
            source,
        })?;
        let (report_end, ended) = mpsc::unbounded_channel();
        Ok(Self { logs, setpriv: find_on_path("setpriv"), running: Vec::new(), ended, report_end })
    }

    /// Starts a program; its output goes to its log. Call from the main thread (see the module).
    pub fn start(&mut self, program: Program) -> Result<(), DemoError> {
        self.spawn(program, false).map(|_| ())
    }

    /// Runs a program that ends by itself, to a good end.
    pub async fn run(&self, program: Program) -> Result<(), DemoError> {
        let log = self.log_of(&program.name);
        let failed = |source| DemoError::Start { program: program.path.display().to_string(), source };
        let mut command = Command::new(&program.path);
        command.args(&program.args).envs(program.env).env("NO_COLOR", "1").stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(FIRST_LINE, command.output()).await;
        let output = output.map_err(|_| DemoError::Deadline {
            what: format!("{} to end", program.name),
            limit_s: FIRST_LINE.as_secs(),
            seen: "it still runs".to_owned(),
        })?;
        let output = output.map_err(failed)?;
        let said = [output.stdout, output.stderr].concat();
        std::fs::write(&log, &said).map_err(|source| DemoError::File { action: "write a log", path: log.clone(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let last_lines = last_lines(&log).unwrap_or_default();
        Err(DemoError::Ended { name: program.name, status: output.status.to_string(), log, last_lines })
    }

    /// Starts a program and waits for its first line on stdout. Call from the main thread.
    pub async fn start_and_read_first_line(&mut self, program: Program, expected: &'static str) -> Result<String, DemoError> {
        let (name, log) = (program.name.clone(), self.log_of(&program.name));
        let first_line = self.spawn(program, true)?;
        let line = tokio::select! {
            line = tokio::time::timeout(FIRST_LINE, first_line) => line,
            ended = self.first_to_end() => return Err(ended),
        };
        match line {
            Ok(Ok(line)) if line.starts_with(expected) => Ok(line),
            Ok(Ok(line)) => Err(DemoError::FirstLine { name, line, expected, log }),
            // The pipe closed without a line: how the program ended says more.
            Ok(Err(_)) => Err(tokio::time::timeout(GRACE, self.first_to_end()).await.unwrap_or_else(|_| DemoError::FirstLine {
                name,
                line: String::new(),
                expected,
                log,
            })),
            Err(_) => Err(DemoError::Deadline {
                what: format!("{name} to say that it is up"),
                limit_s: FIRST_LINE.as_secs(),
                seen: format!("it printed nothing; its log is {}", log.display()),
            }),
        }
    }

    /// Resolves with the reason when a program ends that should run. Pending as long as all run.
    pub async fn first_to_end(&mut self) -> DemoError {
        match self.ended.recv().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Stops everything: SIGTERM to all but the first, then to the first (the control plane), and SIGKILL for who stays.
    pub async fn stop_all(&mut self) {
        let mut rest = self.running.split_off(self.running.len().min(1));
        for group in [&mut rest, &mut self.running] {
            for running in group.iter().rev() {
                running.stop.cancel();
            }
            for running in group.drain(..) {
                if let Err(error) = running.watching.await {
                    tracing::error!(%error, "a process could not be stopped");
                }
            }
        }
    }

    /// Folder of the logs.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    fn log_of(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn spawn(&mut self, program: Program, wants_first_line: bool) -> Result<oneshot::Receiver<String>, DemoError> {
        let log_path = self.log_of(&program.name);
        let failed = |source| DemoError::File { action: "write a log", path: log_path.clone(), source };
        let log = File::create(&log_path).map_err(failed)?;
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "TERM", "--"]).arg(&program.path);
                command
            }
            None => Command::new(&program.path),
        };
        command
            .args(&program.args)
            .envs(program.env)
            .env("NO_COLOR", "1")
            .env("ROS_LOG_DIR", self.logs.join("ros"))
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        command.stderr(log.try_clone().map_err(failed)?);
        if wants_first_line {
            command.stdout(Stdio::piped());
        } else {
            command.stdout(log.try_clone().map_err(failed)?);
        }
        let mut child = command.spawn().map_err(|source| DemoError::Start { program: program.path.display().to_string(), source })?;
        let (first_line, receiver) = oneshot::channel();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(copy_lines(stdout, tokio::fs::File::from_std(log), first_line));
        }
        let stop = CancellationToken::new();
        let watching = tokio::spawn(watch(child, program.name, log_path, stop.clone(), self.report_end.clone()));
        self.running.push(Running { stop, watching });
        Ok(receiver)
    }
}

/// Owns the child until it has ended: a process id is only ever signalled while it is still ours.
async fn watch(mut child: Child, name: String, log: PathBuf, stop: CancellationToken, ended: mpsc::UnboundedSender<DemoError>) {
    let status = tokio::select! {
        status = child.wait() => status,
        () = stop.cancelled() => return terminate(child, &name).await,
    };
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let last_lines = last_lines(&log).unwrap_or_default();
    if ended.send(DemoError::Ended { name, status, log, last_lines }).is_err() {
        tracing::debug!("a process ended after the demo had stopped to look");
    }
}

async fn terminate(mut child: Child, name: &str) {
    let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw) else {
        return;
    };
    if let Err(error) = kill(group, Signal::SIGTERM) {
        tracing::warn!(name, %error, "could not ask a process to stop");
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        tracing::warn!(name, "did not stop {} s after SIGTERM, so it is killed", GRACE.as_secs());
        if let Err(error) = killpg(group, Signal::SIGKILL) {
            tracing::warn!(name, %error, "could not kill a process");
        }
        if let Err(error) = child.wait().await {
            tracing::warn!(name, %error, "could not wait for a killed process");
        }
    }
}

async fn copy_lines(stdout: ChildStdout, mut log: tokio::fs::File, first_line: oneshot::Sender<String>) {
    let mut lines = BufReader::new(stdout).lines();
    let mut first_line = Some(first_line);
    while let Ok(Some(line)) = lines.next_line().await {
        let written = log.write_all(format!("{line}\n").as_bytes()).await;
        if let Some(sender) = first_line.take()
            && sender.send(line).is_err()
        {
            tracing::debug!("nobody waits for a first line any more");
        }
        // Without a place to log to, keep reading: a full pipe would stop the program.
        if let Err(error) = written.and(log.flush().await) {
            tracing::warn!(%error, "could not write a log");
        }
    }
}

fn last_lines(log: &Path) -> std::io::Result<String> {
    let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LINES_QUOTED)..].join("\n"))
}

fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn shell(name: &str, script: &str) -> Program {
        Program {
            name: name.into(),
            path: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![("GREETING", "hello".into())],
        }
    }

    /// Whether a process of this id exists that is not a zombie.
    fn lives(id: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn the_first_line_is_returned_and_all_output_is_logged() {
        let folder = tempfile::tempdir().unwrap();
        let mut processes = Processes::new(folder.path().join("logs")).unwrap();
        let script = "echo wrong >&2; echo $GREETING $$; exec sleep 600";
        let line = processes.start_and_read_first_line(shell("a", script), "hello ").await.unwrap();
        let id = line.trim_start_matches("hello ").to_owned();
        assert!(lives(&id));
        processes.stop_all().await;
        assert!(!lives(&id));
        let log = std::fs::read_to_string(folder.path().join("logs/a.log")).unwrap();
        assert!(log.contains("hello") && log.contains("wrong"), "{log}");
    }

    #[tokio::test]
    async fn a_program_that_ends_is_reported_with_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut processes = Processes::new(folder.path().to_owned()).unwrap();
        processes.start(shell("b", "echo no port left >&2; exit 3")).unwrap();
        let error = processes.first_to_end().await.to_string();
        for expected in ["b ended", "exit status: 3", "b.log", "no port left"] {
            assert!(error.contains(expected), "{expected} is not in: {error}");
        }
    }

    #[tokio::test]
    async fn a_program_that_ends_before_its_first_line_is_reported_as_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut processes = Processes::new(folder.path().to_owned()).unwrap();
        let error = processes.start_and_read_first_line(shell("c", "echo taken >&2; exit 1"), "up ").await.unwrap_err();
        assert!(matches!(error, DemoError::Ended { .. }), "{error}");
    }

    #[tokio::test]
    async fn another_first_line_than_agreed_on_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut processes = Processes::new(folder.path().to_owned()).unwrap();
        let error = processes.start_and_read_first_line(shell("d", "echo what; exec sleep 600"), "up ").await.unwrap_err();
        assert!(matches!(error, DemoError::FirstLine { .. }), "{error}");
        processes.stop_all().await;
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut processes = Processes::new(folder.path().to_owned()).unwrap();
        processes.setpriv = None;
        let program = Program { name: "e".into(), path: "/no/such/program".into(), args: vec![], env: vec![] };
        assert!(processes.start(program).unwrap_err().to_string().contains("/no/such/program"));
    }
}
