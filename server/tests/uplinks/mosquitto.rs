//! Debian's mosquitto with the configuration that docs/ ships: only ports and paths are other ones.

use edgeflow_core::Principal;
use edgeflow_server::{app::App, mqtt::BrokerOptions};
use std::{
    fs::{self, Permissions},
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const CONFIGURATION: &str = include_str!("../../../docs/mosquitto/mosquitto.conf");
const ACL: &str = include_str!("../../../docs/mosquitto/acl");
/// Where the shipped configuration has its files, and where it listens.
const SHIPPED: (&str, &str) = ("/etc/mosquitto/edgeflow/", "listener 8883");

/// A running broker, ended with this.
pub(crate) struct Mosquitto {
    pub(crate) address: SocketAddr,
    process: Child,
    folder: tempfile::TempDir,
}

impl Mosquitto {
    /// Starts one on a free port, with a certificate of this control plane's CA.
    pub(crate) async fn start(app: &App) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = app.certify_broker(&Principal::administrator(), &names, &request).await.unwrap();
        for (name, content) in
            [("ca.pem", &made.ca), ("broker.pem", &made.certificate), ("broker.key", &key.serialize_pem()), ("revoked.pem", &made.revoked)]
        {
            fs::write(folder.path().join(name), content).unwrap();
        }
        Self::start_in(folder).await
    }

    /// Starts one on a free port, with what is in a folder already but for the rules of who reads and writes what.
    pub(crate) async fn start_in(folder: tempfile::TempDir) -> Self {
        // Started as root it becomes another user, who has to read these again on SIGHUP.
        for path in [folder.path(), &folder.path().join("broker.key")] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(folder.path().join("acl"), ACL).unwrap();
        let (process, address) = start(folder.path(), 0).await;
        Self { address, process, folder }
    }

    /// How the control plane reaches it; whether it has it read its list again.
    pub(crate) fn options(&self, reload: bool) -> BrokerOptions {
        let reload = reload.then(|| self.reload_program());
        BrokerOptions { url: format!("mqtts://{}", self.address), reload, ..BrokerOptions::default() }
    }

    /// What docs/mqtt-broker.md has on a machine with systemd, in words for one without.
    pub(crate) fn reload_program(&self) -> PathBuf {
        let (at, pid) = (self.folder.path().display(), self.folder.path().join("pid"));
        let script = format!(
            "#!/bin/sh\nset -e\ncp \"$EDGEFLOW_REVOKED\" {at}/revoked.new\nmv {at}/revoked.new {at}/revoked.pem\nkill -HUP $(cat {})\n",
            pid.display()
        );
        let program = self.folder.path().join("reload");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        program
    }

    /// Ends it without a goodbye.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again after [`Mosquitto::kill`], where it was. It has forgotten everything.
    pub(crate) async fn start_again(&mut self) {
        self.process = start(self.folder.path(), self.address.port()).await.0;
    }

    /// Resident memory, kB.
    pub(crate) fn resident_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let _ = writeln!(std::io::stderr(), "mosquitto:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// Starts it on a port; 0 takes a free one, another one should that be taken meanwhile.
async fn start(folder: &Path, port: u16) -> (Child, SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let port = if port == 0 { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() } else { port };
        assert!(CONFIGURATION.contains(SHIPPED.0) && CONFIGURATION.contains(SHIPPED.1));
        let configuration =
            CONFIGURATION.replace(SHIPPED.0, &format!("{}/", folder.display())).replace(SHIPPED.1, &format!("listener {port} 127.0.0.1"));
        let path = folder.join("mosquitto.conf");
        fs::write(&path, configuration).unwrap();
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        let mut process = Command::new(program())
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("mosquitto does not start ({error}): `cargo xtask test` installs it"));
        fs::write(folder.join("pid"), process.id().to_string()).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        while process.try_wait().unwrap().is_none() {
            if TcpStream::connect(address).is_ok_and(answers) {
                return (process, address);
            }
            assert!(Instant::now() < deadline, "mosquitto never listens");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let log = fs::read_to_string(folder.join("log")).unwrap();
        assert!(Instant::now() < deadline && log.contains("Address already in use"), "mosquitto ended:\n{log}");
    }
}

/// Whether somebody already reads what comes, and ends a connection that is no TLS. It listens before it knows SIGHUP, which ends it then.
fn answers(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"no handshake of any kind\n").is_ok()
        && stream.read_to_end(&mut Vec::new()).map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true)
}

/// Debian keeps it where the PATH of people does not lead.
fn program() -> &'static str {
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" }
}
