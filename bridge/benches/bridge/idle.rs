//! What a connected robot that says nothing costs: our gateway over mTLS, and Mosquitto over mTLS with the same clients.

use bytes::BytesMut;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rumqttc::mqttbytes::{
    QoS,
    v4::{Connect, ConnectReturnCode, Packet, Subscribe},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject},
};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::control_plane::{ControlPlane, resident_mib};

pub(crate) const ROBOTS: usize = 5_000;
/// Handshakes at a time.
const AT_ONCE: usize = 32;
/// For what a process still does after the last connection.
const SETTLE: Duration = Duration::from_secs(3);

/// KiB per robot of the control plane and of Mosquitto.
pub(crate) async fn per_robot_kib() -> (f64, f64) {
    let names: Vec<String> = (0..ROBOTS).map(|n| format!("robot-{n}")).collect();
    (ours(&names).await, mosquitto(&names).await)
}

async fn ours(names: &[String]) -> f64 {
    let plane = ControlPlane::start().await;
    for name in names {
        plane.enrol(name).await;
    }
    let plane = plane.restart_with_tls();
    let folder = plane.folder().join("authority");
    let authority =
        Authority::open(&fs::read_to_string(folder.join("ca.pem")).unwrap(), &fs::read_to_string(folder.join("ca.key")).unwrap());
    let before = plane.resident_mib();
    let connections = connect_all(plane.mqtt.parse().unwrap(), &authority, names).await;
    tokio::time::sleep(SETTLE).await;
    let taken = plane.resident_mib() - before;
    drop(connections);
    taken * 1024.0 / names.len() as f64
}

async fn mosquitto(names: &[String]) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost", &["127.0.0.1"]);
    let files = [("ca.pem", &authority.pem), ("server.pem", &certificate), ("server.key", &key)];
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mosquitto = Mosquitto::start(dir.path(), address).await;
    let before = resident_mib(mosquitto.0.id());
    let connections = connect_all(address, &authority, names).await;
    tokio::time::sleep(SETTLE).await;
    let taken = resident_mib(mosquitto.0.id()) - before;
    drop(connections);
    taken * 1024.0 / names.len() as f64
}

struct Mosquitto(Child);

impl Mosquitto {
    async fn start(dir: &Path, address: SocketAddr) -> Self {
        let at = |name: &str| dir.join(name).display().to_string();
        let (port, ca, certificate, key) = (address.port(), at("ca.pem"), at("server.pem"), at("server.key"));
        let config = format!(
            "listener {port} 127.0.0.1\ncafile {ca}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true\n\
             use_identity_as_username true\nallow_anonymous false\nmax_connections -1\nuser root\n"
        );
        fs::write(dir.join("mosquitto.conf"), config).unwrap();
        let program = ["/usr/sbin/mosquitto", "mosquitto"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("mosquitto");
        let child = Command::new(program).arg("-c").arg(dir.join("mosquitto.conf")).stderr(Stdio::null()).spawn();
        let child = child.expect("no mosquitto: `cargo xtask bench bridge` installs it");
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self(child)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Connected and subscribed, as a robot is.
async fn connect_all(address: SocketAddr, authority: &Authority, names: &[String]) -> Vec<TlsStream<TcpStream>> {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut connecting = Vec::with_capacity(names.len());
    for name in names {
        let turn = turns.clone().acquire_owned().await.unwrap();
        let config = authority.client(name);
        let name = name.clone();
        connecting.push(tokio::spawn(async move {
            let connection = connect(address, config, &name).await;
            drop(turn);
            connection
        }));
    }
    let mut connections = Vec::with_capacity(names.len());
    for connection in connecting {
        connections.push(connection.await.unwrap());
    }
    connections
}

async fn connect(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let mut out = BytesMut::new();
    let mut hello = Connect::new(name);
    hello.keep_alive = 600;
    hello.write(&mut out).unwrap();
    stream.write_all(&out).await.unwrap();
    let answer = packet(&mut stream).await;
    assert!(matches!(&answer, Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success), "{name}: {answer:?}");
    let topics = ["deploy", "telemetry/ack", "command"].map(|leaf| format!("edgeflow/targets/{name}/{leaf}"));
    let mut subscribe = Subscribe::new_many(topics.map(|path| rumqttc::mqttbytes::v4::SubscribeFilter { path, qos: QoS::AtLeastOnce }));
    subscribe.pkid = 1;
    out.clear();
    subscribe.write(&mut out).unwrap();
    stream.write_all(&out).await.unwrap();
    let answer = packet(&mut stream).await;
    assert!(matches!(answer, Packet::SubAck(_)), "{name}: {answer:?}");
    stream
}

async fn packet(stream: &mut TlsStream<TcpStream>) -> Packet {
    let mut buffer = BytesMut::new();
    loop {
        if let Ok(packet) = Packet::read(&mut buffer, 64 * 1024) {
            return packet;
        }
        assert!(stream.read_buf(&mut buffer).await.unwrap() > 0, "the broker closed the connection");
    }
}

/// Makes certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn open(pem: &str, key: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Edgeflow control plane");
        Self { pem: pem.to_owned(), issuer: Issuer::new(params, KeyPair::from_pem(key).unwrap()) }
    }

    /// Certificate and key, PEM.
    fn issue(&self, name: &str, others: &[&str]) -> (String, String) {
        let names: Vec<String> = [name].iter().chain(others).map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn client(&self, name: &str) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let (certificate, key) = self.issue(name, &[]);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap());
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().unwrap();
        Arc::new(config.with_root_certificates(roots).with_client_auth_cert(vec![certificate], key).unwrap())
    }
}
