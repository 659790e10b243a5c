//! Both doors over TLS: who gets in with which certificate, what it reaches, and how fast it is out again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

use edgeflow_bridge::{Clock, DesiredStore, LogHandle, Offer, Recorder, Secure, Trust, keep_certificate};
use edgeflow_identity::{BootstrapToken, Identity, Roots, Tunnel, client_config, enrol, renew, split_https};
use edgeflow_server::{
    app::{App, AppOptions, SystemClock, TargetRequest},
    http,
    mqtt::{Gateway, GatewayMetrics, Limits, Outcome},
    tls::{self, ClientCertificate},
};
use edgeflow_uplink::Backlog;
use edgeflow_wire::{Class, DesiredState, DocumentKind, Envelope, Version};
use reqwest::{Method, StatusCode};
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS, Transport};
use std::{
    future::Future,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "administrators-token";
/// Nothing in these tests takes longer unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    app: Arc<App>,
    https: SocketAddr,
    mqtts: SocketAddr,
    metrics: GatewayMetrics,
    shutdown: CancellationToken,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Server {
    async fn start() -> Self {
        Self::start_at(Arc::new(SystemClock)).await
    }

    async fn start_at(clock: Arc<dyn edgeflow_core::Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let app = App::open(AppOptions::new(folder.path()), clock).await.unwrap();
        app.ensure_admin_token(Some(TOKEN)).await.unwrap();
        let shutdown = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let https = listener.local_addr().unwrap();
        let acceptor = tls::acceptor(app.authority(), ClientCertificate::Optional, &[b"http/1.1"]).unwrap();
        tokio::spawn(http::serve_tls(listener, acceptor, None, app.clone(), shutdown.clone()));
        let acceptor = tls::acceptor(app.authority(), ClientCertificate::Required, &[]).unwrap();
        // Any address, since it is encrypted.
        let gateway = Gateway::bind("0.0.0.0:0".parse().unwrap(), Limits::default(), Some(acceptor)).await.unwrap();
        let (mqtts, metrics) = (SocketAddr::from(([127, 0, 0, 1], gateway.address().port())), gateway.metrics());
        tokio::spawn(gateway.serve(app.clone(), shutdown.clone()));
        Self { app, https, mqtts, metrics, shutdown, folder }
    }

    fn url(&self) -> String {
        format!("https://{}", self.https)
    }

    async fn bootstrap(&self, name: &str) -> String {
        let administrator = edgeflow_core::Principal::administrator();
        let request = TargetRequest { name: name.parse().unwrap(), labels: Default::default() };
        // It may be there already.
        let _ = self.app.enrol_target(&administrator, request).await;
        self.app.bootstrap_target(&administrator, &name.parse().unwrap(), None).await.unwrap().token
    }

    async fn enrol(&self, name: &str) -> Robot {
        let folder = self.folder.path().join("robots").join(name);
        let token = BootstrapToken::parse(&self.bootstrap(name).await, None).unwrap();
        let identity = enrol(&self.url(), &token, &folder, true).await.unwrap();
        let tunnel = |address: SocketAddr| {
            let identity = identity.clone();
            Tunnel::open(&address.to_string(), move || identity.client_config()).unwrap()
        };
        Robot {
            name: name.to_owned(),
            https: tunnel(self.https),
            mqtts: tunnel(self.mqtts),
            base: format!("http://{}", self.https),
            identity,
        }
    }

    async fn revoke(&self, name: &str) {
        self.app.revoke_target(&edgeflow_core::Principal::administrator(), &name.parse().unwrap()).await.unwrap();
    }

    /// Someone with no certificate, who knows the CA.
    fn person(&self) -> (Tunnel, reqwest::Client) {
        let roots = Roots::Ca(self.app.authority().ca_pem().to_owned());
        let tunnel = Tunnel::open(&self.https.to_string(), move || client_config(&roots, None)).unwrap();
        let client = tunnel.http().build().unwrap();
        (tunnel, client)
    }
}

struct Robot {
    name: String,
    identity: Identity,
    https: Tunnel,
    mqtts: Tunnel,
    base: String,
}

impl Robot {
    async fn http(&self, method: Method, path: &str) -> reqwest::Result<StatusCode> {
        let client = self.https.http().build().unwrap();
        let request = client.request(method, format!("{}{path}", self.base)).json(&serde_json::json!({}));
        soon(request.send()).await.map(|response| response.status())
    }

    fn mqtt(&self, client_id: &str) -> (AsyncClient, EventLoop) {
        let mut options = MqttOptions::new(client_id, self.mqtts.socket().display().to_string(), 0);
        options.set_transport(Transport::Unix);
        AsyncClient::new(options, 100)
    }

    async fn connected(&self) -> (AsyncClient, EventLoop) {
        let (client, mut events) = self.mqtt(&self.name);
        assert!(matches!(soon(events.poll()).await.unwrap(), Event::Incoming(Packet::ConnAck(_))));
        (client, events)
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it never came")
}

async fn lost(events: &mut EventLoop) -> ConnectionError {
    soon(async {
        loop {
            if let Err(error) = events.poll().await {
                return error;
            }
        }
    })
    .await
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_enrols_and_comes_in_through_both_doors() {
    let server = Server::start().await;
    let robot = server.enrol("robot-1").await;
    assert_eq!(robot.identity.robot(), "robot-1");
    assert_eq!(robot.http(Method::GET, "/api/v1/targets/robot-1").await.unwrap(), StatusCode::OK);
    let (client, mut events) = robot.connected().await;
    client.subscribe("edgeflow/targets/robot-1/deploy", QoS::AtLeastOnce).await.unwrap();
    soon(async { while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {} }).await;
    assert_eq!(robot.https.failure(), None);
    // The key never left, and is for its owner only.
    let pem = std::fs::read_to_string(robot.identity.pem()).unwrap();
    assert!(pem.contains("PRIVATE KEY") && pem.contains("BEGIN CERTIFICATE"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(robot.identity.pem()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_with_tokens_and_robots_do_not() {
    let server = Server::start().await;
    let administrator = edgeflow_core::Principal::administrator();
    let request = TargetRequest { name: "robot-1".parse().unwrap(), labels: Default::default() };
    let token = server.app.enrol_target(&administrator, request).await.unwrap().token;
    let (_tunnel, client) = server.person();
    let url = format!("http://{}/api/v1/targets/robot-1", server.https);
    let get = |token: &str| client.get(&url).bearer_auth(token).send();
    assert_eq!(soon(get(TOKEN)).await.unwrap().status(), StatusCode::OK);
    let refused = soon(get(&token)).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.text().await.unwrap().contains("certificate"));
    assert_eq!(soon(client.get(&url).send()).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // Nor does a robot become somebody else by a token it was given.
    let robot = server.enrol("robot-2").await;
    let other = robot.https.http().build().unwrap().get(&url).bearer_auth(TOKEN);
    assert_eq!(soon(other.send()).await.unwrap().status(), StatusCode::FORBIDDEN);
    // And MQTT takes nobody without one.
    let roots = Roots::Ca(server.app.authority().ca_pem().to_owned());
    let tunnel = Tunnel::open(&server.mqtts.to_string(), move || client_config(&roots, None)).unwrap();
    let mut options = MqttOptions::new("robot-1", tunnel.socket().display().to_string(), 0);
    options.set_transport(Transport::Unix).set_credentials("robot-1", &token);
    let (_client, mut events) = AsyncClient::new(options, 10);
    lost(&mut events).await;
    eventually(|| server.metrics.ended(Outcome::BadTls) == 1).await;
    assert!(tunnel.failure().unwrap().contains("enrol the robot"), "{:?}", tunnel.failure());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_gets_neither_the_token_nor_a_robot() {
    let (real, fake) = (Server::start().await, Server::start().await);
    let token = BootstrapToken::parse(&real.bootstrap("robot-1").await, None).unwrap();
    let folder = real.folder.path().join("robot");
    let error = enrol(&fake.url(), &token, &folder, false).await.unwrap_err().to_string();
    assert!(error.contains("not the control plane"), "{error}");
    assert!(!folder.exists());
    let robot = enrol(&real.url(), &token, &folder, false).await.unwrap();
    let taken = enrol(&real.url(), &token, &folder, false).await.unwrap_err().to_string();
    assert!(taken.contains("there already"), "{taken}");
    // A robot of one control plane is nobody at another, and does not believe it either.
    let identity = robot.clone();
    let tunnel = Tunnel::open(&fake.https.to_string(), move || identity.client_config()).unwrap();
    let request = tunnel.http().build().unwrap().get(format!("http://{}/healthz", fake.https));
    assert!(soon(request.send()).await.is_err());
    assert!(tunnel.failure().unwrap().contains("enrolled with"), "{:?}", tunnel.failure());
    let (ca, pem) = (fake.app.authority().ca_pem().to_owned(), std::fs::read_to_string(robot.pem()).unwrap());
    let tunnel = Tunnel::open(&fake.mqtts.to_string(), move || client_config(&Roots::Ca(ca.clone()), Some(&pem))).unwrap();
    let mut near = UnixStream::connect(tunnel.socket()).await.unwrap();
    assert_eq!(soon(near.read_to_end(&mut Vec::new())).await.unwrap(), 0);
    eventually(|| fake.metrics.ended(Outcome::BadTls) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_counts_from_the_next_connection_on() {
    let server = Server::start().await;
    let robot = server.enrol("robot-1").await;
    let before = std::fs::read_to_string(robot.identity.pem()).unwrap();
    let renewed = renew(&robot.identity, &robot.https, &server.url()).await.unwrap();
    let after = std::fs::read_to_string(renewed.pem()).unwrap();
    let key = |pem: &str| pem.split("-----END PRIVATE KEY-----").next().unwrap().to_owned();
    assert_ne!(key(&before), key(&after), "with a new key");
    assert!(renewed.not_after_us() >= robot.identity.not_after_us());
    robot.connected().await;
    let certificates = server.app.certificates(&edgeflow_core::Principal::administrator(), &"robot-1".parse().unwrap()).await.unwrap();
    assert_eq!(certificates.len(), 2);
}

/// A control plane whose clock is behind, so that its certificates are old when they come.
struct Behind(Duration);

impl edgeflow_core::Clock for Behind {
    fn now_us(&self) -> i64 {
        edgeflow_core::Clock::now_us(&SystemClock) - i64::try_from(self.0.as_micros()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_renews_a_certificate_that_nears_its_end_and_tells_when_it_cannot() {
    let server = Server::start_at(Arc::new(Behind(Duration::from_secs(25 * 24 * 3600)))).await;
    let robot = server.enrol("robot-1").await;
    let pem = || std::fs::read_to_string(robot.identity.pem()).unwrap();
    let before = pem();
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::new().unwrap());
    let (mut log, _thread) = LogHandle::open(folder.path(), Default::default(), clock).unwrap();
    let keep = || {
        let secure = Secure::open(robot.identity.folder(), &server.mqtts.to_string(), &server.url()).unwrap();
        let keys = tokio::sync::watch::Sender::new(robot.identity.documents().clone());
        tokio::spawn(keep_certificate(secure, keys, Recorder::new(log.clone(), clock)))
    };
    let keeping = keep();
    eventually(|| pem() != before).await;
    keeping.abort();
    robot.connected().await;

    server.revoke("robot-1").await;
    let keeping = keep();
    let mut ends = log.ends();
    soon(ends.wait_for(|ends| ends[Class::Critical as usize] > 1)).await.unwrap();
    keeping.abort();
    let told = log.read(Class::Critical, 1, edgeflow_uplink::Limits::default()).await.unwrap();
    let told = format!("{:?}", told.entries);
    assert!(told.contains("expires in 1") && told.contains("could not be renewed") && told.contains("this robot was revoked"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_goes_upwards_with_the_robots_certificate_and_by_no_others() {
    let server = Server::start().await;
    let (one, two) = (server.enrol("robot-1").await, server.enrol("robot-2").await);
    let content = b"what a camera saw";
    let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(content));
    let offer = serde_json::json!({"id": "a", "reason": "", "policy": "1", "triggered_us": 1, "start_us": 1, "end_us": 1, "messages": 1, "topics": {},
        "size_bytes": content.len(), "sha256": sha256});
    let send = async |robot: &Robot| {
        let (client, captures) = (robot.https.http().build().unwrap(), format!("{}/api/v1/targets/robot-1/captures", robot.base));
        let offered = soon(client.post(&captures).json(&offer).send()).await.unwrap().status();
        let sent = soon(client.put(format!("{captures}/a/parts/0")).body(content.to_vec()).send()).await.unwrap().status();
        let read = soon(client.get(format!("{captures}/a")).send()).await.unwrap().status();
        [offered, sent, read]
    };
    assert_eq!(send(&two).await, [StatusCode::FORBIDDEN; 3]);
    assert_eq!(send(&one).await, [StatusCode::OK; 3]);
    assert_eq!(send(&two).await, [StatusCode::FORBIDDEN; 3]);
    server.revoke("robot-1").await;
    let (client, captures) = (one.https.http().build().unwrap(), format!("{}/api/v1/targets/robot-1/captures", one.base));
    assert!(soon(client.post(&captures).json(&offer).send()).await.is_err());
}

/// Every verb on every route and topic of another robot, with a certificate of one's own.
#[tokio::test(flavor = "multi_thread")]
async fn one_robot_neither_reads_nor_writes_what_is_anothers() {
    let server = Server::start().await;
    let robot = server.enrol("robot-1").await;
    server.enrol("robot-2").await;
    // What belongs to no robot: bytes by their digest, and what says nothing of robots.
    let open =
        ["/healthz", "/metrics", "/api/v1/openapi.json", "/api/v1/fleet/schema.json", "/api/v1/revoked.pem", "/api/v1/artifacts/{sha256}"];
    let document = serde_json::to_value(http::document()).unwrap();
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let at = path
            .replace("{target}", "robot-2")
            .replace("{model}", "m")
            .replace("{version}", "1")
            .replace("{id}", "1")
            .replace("{offset}", "0");
        let at = if at.ends_with("/telemetry") { format!("{at}?channel=x") } else { at };
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let known = operations.get(method.as_str().to_ascii_lowercase()).is_some();
            let status = robot.http(method.clone(), &at.replace("{sha256}", &"0".repeat(64))).await.unwrap();
            if known && open.contains(&path.as_str()) {
                continue;
            }
            assert!(status.is_client_error(), "{method} {at}: {status}");
            let own_body = [StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::UNSUPPORTED_MEDIA_TYPE];
            let refused = [StatusCode::FORBIDDEN, StatusCode::METHOD_NOT_ALLOWED, StatusCode::UNAUTHORIZED].contains(&status);
            assert!(refused || own_body.contains(&status), "{method} {at}: {status}");
            if at.contains("robot-2") && method == Method::GET && known {
                assert_eq!(status, StatusCode::FORBIDDEN, "{at}");
            }
            tried += 1;
        }
    }
    assert!(tried > 80, "{tried}");

    let (_, mut events) = robot.mqtt("robot-2");
    let refused = lost(&mut events).await;
    assert!(matches!(refused, ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized)), "{refused:?}");
    let mut violations = 0;
    for level in ["deploy", "telemetry", "telemetry/ack", "command", "command/ack", "alive", "#", "+"] {
        let topic = format!("edgeflow/targets/robot-2/{level}");
        let (client, mut events) = robot.connected().await;
        client.subscribe(&topic, QoS::AtLeastOnce).await.unwrap();
        lost(&mut events).await;
        violations += 1;
        if !level.contains(['#', '+']) {
            let (client, mut events) = robot.connected().await;
            client.publish(&topic, QoS::AtLeastOnce, false, "x").await.unwrap();
            lost(&mut events).await;
            violations += 1;
            let mut options = MqttOptions::new("robot-1", robot.mqtts.socket().display().to_string(), 0);
            options.set_transport(Transport::Unix).set_last_will(rumqttc::LastWill::new(&topic, "x", QoS::AtLeastOnce, true));
            let (_client, mut events) = AsyncClient::new(options, 10);
            let refused = lost(&mut events).await;
            assert!(matches!(refused, ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized)), "{refused:?}");
            violations += 1;
        }
        eventually(|| server.metrics.ended(Outcome::AclViolation) == violations).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revocation_cuts_both_doors_within_a_second_and_keeps_them_shut() {
    let server = Server::start().await;
    let (robot, other) = (server.enrol("robot-1").await, server.enrol("robot-2").await);
    let (_client, mut events) = robot.connected().await;
    let (other_client, mut other_events) = other.connected().await;
    // An HTTP connection that was used, and waits for news.
    let mut waiting = UnixStream::connect(robot.https.socket()).await.unwrap();
    waiting.write_all(b"GET /api/v1/targets/robot-1 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    soon(waiting.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    waiting
        .write_all(b"GET /api/v1/targets/robot-1/desired?wait_s=60&server_epoch=0&generation=0 HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();

    let before = Instant::now();
    server.revoke("robot-1").await;
    let mut rest = Vec::new();
    // Cut, or closed: either way nothing more comes.
    let (_, _) = soon(async { tokio::join!(lost(&mut events), waiting.read_to_end(&mut rest)) }).await;
    let took = before.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    eventually(|| server.metrics.ended(Outcome::Revoked) == 1).await;

    // And stays out, told why.
    lost(&mut events).await;
    assert!(robot.mqtts.failure().unwrap().contains("this robot was revoked"), "{:?}", robot.mqtts.failure());
    assert!(robot.http(Method::GET, "/api/v1/targets/robot-1").await.is_err());
    assert!(robot.https.failure().unwrap().contains("this robot was revoked"), "{:?}", robot.https.failure());
    // The other one was not touched.
    other_client.subscribe("edgeflow/targets/robot-2/deploy", QoS::AtLeastOnce).await.unwrap();
    soon(async { while !matches!(other_events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {} }).await;
    // Enrolled again, it comes in, and what it was before still does not.
    let old = std::fs::read_to_string(robot.identity.pem()).unwrap();
    server.enrol("robot-1").await.connected().await;
    let ca = server.app.authority().ca_pem().to_owned();
    let tunnel = Tunnel::open(&server.mqtts.to_string(), move || client_config(&Roots::Ca(ca.clone()), Some(&old))).unwrap();
    let mut near = UnixStream::connect(tunnel.socket()).await.unwrap();
    assert_eq!(soon(near.read_to_end(&mut Vec::new())).await.unwrap(), 0);
    assert!(tunnel.failure().unwrap().contains("this robot was revoked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_remembered_over_a_restart() {
    let server = Server::start().await;
    let robot = server.enrol("robot-1").await;
    server.revoke("robot-1").await;
    server.app.close().await;
    let app = App::open(AppOptions::new(server.folder.path()), Arc::new(SystemClock)).await.unwrap();
    let acceptor = tls::acceptor(app.authority(), ClientCertificate::Required, &[]).unwrap();
    let gateway = Gateway::bind("127.0.0.1:0".parse().unwrap(), Limits::default(), Some(acceptor)).await.unwrap();
    let (address, metrics) = (gateway.address(), gateway.metrics());
    tokio::spawn(gateway.serve(app, server.shutdown.clone()));
    let identity = robot.identity.clone();
    let tunnel = Tunnel::open(&address.to_string(), move || identity.client_config()).unwrap();
    let mut near = UnixStream::connect(tunnel.socket()).await.unwrap();
    assert_eq!(soon(near.read_to_end(&mut Vec::new())).await.unwrap(), 0);
    eventually(|| metrics.ended(Outcome::BadTls) == 1).await;
    assert!(tunnel.failure().unwrap().contains("this robot was revoked"), "{:?}", tunnel.failure());
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_slow_handshakes_delay_nobody() {
    let server = Server::start().await;
    let robot = server.enrol("robot-1").await;
    let quick = |robot: &Robot| {
        let began = Instant::now();
        let (https, base) = (robot.https.http().build().unwrap(), robot.base.clone());
        let (_, mut events) = robot.mqtt("robot-1");
        async move {
            assert!(soon(https.get(format!("{base}/healthz")).send()).await.unwrap().status().is_success());
            assert!(matches!(soon(events.poll()).await.unwrap(), Event::Incoming(Packet::ConnAck(_))));
            began.elapsed()
        }
    };
    let alone = quick(&robot).await;
    let mut slow = Vec::new();
    for index in 0..300 {
        for address in [server.https, server.mqtts] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // Some say nothing, some begin a ClientHello and stop.
            let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
            stream.write_all(&hello[..index % 7]).await.unwrap();
            slow.push(stream);
        }
    }
    eventually(|| server.metrics.open() >= 300).await;
    let crowded = quick(&robot).await;
    assert!(crowded < alone * 5 + Duration::from_secs(1), "{alone:?} alone, {crowded:?} beside {} slow ones", slow.len());
}

/// What the control plane signs is taken up, and nothing that anybody else wrote, or that comes from before.
#[tokio::test(flavor = "multi_thread")]
async fn a_robot_takes_up_what_the_key_it_pinned_has_signed() {
    let (server, impostor) = (Server::start().await, Server::start().await);
    let robot = server.enrol("robot-1").await;
    let (_keys, pinned) = tokio::sync::watch::channel(robot.identity.documents().clone());
    let folder = tempfile::tempdir().unwrap();
    let mut store = DesiredStore::open(folder.path(), "robot-1", Trust::Pinned(pinned)).unwrap();
    let state = |generation| DesiredState {
        version: Version { server_epoch: 1, generation },
        ..edgeflow_core::desired::empty(&"robot-1".parse().unwrap())
    };
    let signed = |server: &Server, kind, generation| {
        let payload = serde_json::to_string(&state(generation)).unwrap();
        server.app.authority().envelope(kind, payload)
    };
    let mut offer = |envelope: &Envelope| match store.offer(&edgeflow_wire::encode(envelope).unwrap()).unwrap() {
        Offer::Refused { reason } => reason,
        offer => format!("{offer:?}").chars().take(8).collect(),
    };
    let good = signed(&server, DocumentKind::DesiredState, 2);
    assert_eq!(offer(&good), "Accepted");
    assert_eq!(offer(&good), "Known");
    let unsigned = Envelope { signatures: Vec::new(), ..signed(&server, DocumentKind::DesiredState, 3) };
    assert!(offer(&unsigned).contains("not signed"));
    let changed = Envelope { payload: unsigned.payload.clone(), ..good.clone() };
    assert!(offer(&changed).contains("no such signature of a pinned key"));
    assert!(offer(&signed(&impostor, DocumentKind::DesiredState, 3)).contains("no such signature of a pinned key"));
    assert!(offer(&signed(&server, DocumentKind::Command, 3)).contains("no such signature of a pinned key"));
    assert!(offer(&signed(&server, DocumentKind::DesiredState, 1)).contains("1/1 came after 1/2"));
    assert_eq!(offer(&signed(&server, DocumentKind::DesiredState, 3)), "Accepted");
    // The keys outlive a restart of the control plane.
    server.app.close().await;
    let app = App::open(AppOptions::new(server.folder.path()), Arc::new(SystemClock)).await.unwrap();
    let payload = serde_json::to_string(&state(4)).unwrap();
    assert_eq!(offer(&app.authority().envelope(DocumentKind::DesiredState, payload)), "Accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_others_can_read_is_not_used() {
    let server = Server::start().await;
    let robot = server.enrol("robot-1").await;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(robot.identity.pem(), permissions).unwrap();
    let error = Identity::open(robot.identity.folder()).unwrap_err().to_string();
    assert!(error.contains("640") && error.contains("chmod 600"), "{error}");
    assert!(Identity::open(Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere/robot.pem"));
    assert!(split_https(&server.url()).is_ok());
}
