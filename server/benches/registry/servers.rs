//! The two servers: our program, and MLflow's own with SQLite and four workers, each on a free port with a folder of its own.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

pub(crate) const TOKEN: &str = "administrators-token";
/// Longest that a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(180);

/// A server, running or not.
struct Server {
    command: Command,
    address: String,
    child: Option<Child>,
    folder: TempDir,
}

impl Server {
    /// Starts it and waits for its first answer: how long that took.
    async fn start(&mut self) -> Duration {
        let began = Instant::now();
        self.child = Some(self.command.spawn().unwrap());
        while !answers(&self.address).await {
            assert!(self.child.as_mut().unwrap().try_wait().unwrap().is_none(), "the server ended");
            assert!(began.elapsed() < PATIENCE, "the server does not answer");
            sleep(Duration::from_millis(1)).await;
        }
        began.elapsed()
    }

    /// The process with its children, and theirs.
    fn processes(&self) -> Vec<u32> {
        let mut family: Vec<u32> = self.child.iter().map(Child::id).collect();
        let mut known = 0;
        let all: Vec<(u32, u32)> = fs::read_dir("/proc").unwrap().filter_map(|entry| parent(&entry.unwrap().path())).collect();
        while known < family.len() {
            let of = family[known];
            family.extend(all.iter().filter(|(_, parent)| *parent == of).map(|(process, _)| *process));
            known += 1;
        }
        family
    }

    /// Memory all of them hold, MiB; pages that several share are counted once.
    fn memory_mib(&self) -> f64 {
        self.processes().into_iter().filter_map(|process| smaps(process, "Pss:")).sum()
    }

    fn stop(&mut self) {
        let processes = self.processes();
        let Some(mut child) = self.child.take() else { return };
        // SIGTERM: it closes its database.
        for process in &processes {
            drop(Command::new("kill").arg(process.to_string()).stderr(Stdio::null()).status());
        }
        child.wait().unwrap();
        let began = Instant::now();
        while processes.iter().any(|process| runs(*process)) {
            assert!(began.elapsed() < PATIENCE, "the server does not end");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a process has not ended; one that nobody waited for has.
fn runs(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// A process and its parent.
fn parent(of: &Path) -> Option<(u32, u32)> {
    let process = of.file_name()?.to_str()?.parse().ok()?;
    let stat = fs::read_to_string(of.join("stat")).ok()?;
    // Past its name, which may have blanks in it: state, parent.
    let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
    Some((process, parent))
}

/// A line of what a process holds of memory, MiB; `None` when it ended.
fn smaps(process: u32, line: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let kib: f64 = text.lines().find_map(|text| text.strip_prefix(line))?.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1024.0)
}

/// Whether somebody says at `/health` that all is well.
async fn answers(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = [0; 12];
    stream.write_all(request.as_bytes()).await.is_ok() && stream.read_exact(&mut answer).await.is_ok() && answer == *b"HTTP/1.1 200"
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Our own program.
pub(crate) struct Ours(Server);

impl Ours {
    pub(crate) async fn start() -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let mut command = Command::new(beside("edgeflow-server"));
        command.args(["--listen", &address, "--mqtt-listen", "127.0.0.1:0", "--log", "warn", "--data-dir"]).arg(folder.path());
        command.env("EDGEFLOW_ADMIN_TOKEN", TOKEN).stdout(Stdio::null());
        let mut server = Server { command, address, child: None, folder };
        server.start().await;
        Self(server)
    }

    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    /// Memory it holds now, MiB.
    pub(crate) fn memory_mib(&self) -> f64 {
        self.0.memory_mib()
    }

    /// Resident memory it holds now, MiB: what `Pss:` is, but cheap to ask.
    pub(crate) fn resident_mib(&self) -> f64 {
        let process = self.0.child.as_ref().unwrap().id();
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    /// Stops it, starts it again: how long until it answered.
    pub(crate) async fn restart(&mut self) -> Duration {
        self.0.stop();
        self.0.start().await
    }

    pub(crate) fn stop(&mut self) {
        self.0.stop();
    }
}

/// MLflow's own.
pub(crate) struct Mlflow(Server);

impl Mlflow {
    pub(crate) async fn start() -> Self {
        let python = std::env::var_os("EDGEFLOW_PYTHON").expect("EDGEFLOW_PYTHON: run `cargo xtask bench registry`, which brings MLflow");
        let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
        let (host, port) = address.rsplit_once(':').unwrap();
        let mut command = Command::new(python);
        command.args(["-m", "mlflow", "server", "--workers", "4", "--host", host, "--port", port]);
        command.arg("--backend-store-uri").arg(format!("sqlite:///{}/mlflow.db", folder.path().display()));
        command.arg("--artifacts-destination").arg(folder.path().join("artifacts"));
        command.current_dir(folder.path()).env("MLFLOW_DISABLE_TELEMETRY", "true");
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = Server { command, address, child: None, folder };
        server.start().await;
        Self(server)
    }

    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    /// Memory all its processes hold, MiB.
    pub(crate) fn memory_mib(&self) -> f64 {
        self.0.memory_mib()
    }

    /// Starts it again: how long until it answered.
    pub(crate) async fn restart(&mut self) -> Duration {
        self.0.stop();
        self.0.start().await
    }

    pub(crate) fn stop(&mut self) {
        self.0.stop();
    }
}

/// A program of the same profile: beside the folder of this one.
fn beside(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join(name);
    assert!(program.exists(), "no {}: run `cargo xtask bench registry`, which builds it", program.display());
    program
}
