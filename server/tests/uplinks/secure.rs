//! The same ways over TLS: doors that want certificates, and robots that have them.

use crate::world::{Proof, Way};
use edgeflow_identity::{Roots, Tunnel, client_config};
use edgeflow_server::{
    app::App,
    http,
    mqtt::{Gateway, Limits},
    tls::{self, ClientCertificate},
};
use edgeflow_uplink::{Http, HttpConfig, Mqtt, MqttConfig, Uplink};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Both doors, encrypted, on free ports.
pub(crate) struct Doors {
    pub(crate) mqtts: SocketAddr,
    pub(crate) https: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Doors {
    pub(crate) async fn open(app: &Arc<App>, stop: &CancellationToken) -> Self {
        let acceptor = |client, alpn: &[&[u8]]| tls::acceptor(app.authority(), client, alpn).unwrap();
        let required = acceptor(ClientCertificate::Required, &[]);
        let gateway = Gateway::bind("127.0.0.1:0".parse().unwrap(), Limits::default(), Some(required)).await.unwrap();
        let mqtts = gateway.address();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let https = listener.local_addr().unwrap();
        let optional = acceptor(ClientCertificate::Optional, &[b"http/1.1"]);
        let people = http::serve_tls(listener, optional, None, app.clone(), stop.clone());
        let tasks = vec![tokio::spawn(gateway.serve(app.clone(), stop.clone())), tokio::spawn(async move { people.await.unwrap() })];
        Self { mqtts, https, tasks }
    }

    pub(crate) async fn closed(self) {
        for task in self.tasks {
            task.await.unwrap();
        }
    }

    /// The robot's end of an uplink, with its certificate.
    pub(crate) fn uplink(&self, way: Way, robot: &str, proof: &Proof) -> Box<dyn Uplink> {
        uplink_to(way, if way == Way::Mqtts { self.mqtts } else { self.https }, robot, proof)
    }
}

/// The robot's end of an uplink that leads to this address, with its certificate.
pub(crate) fn uplink_to(way: Way, address: SocketAddr, robot: &str, proof: &Proof) -> Box<dyn Uplink> {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let (roots, pem) = (Roots::Ca(read(&proof.ca)), read(&proof.pem));
    let tunnel = |address: SocketAddr| Tunnel::open(&address.to_string(), move || client_config(&roots, Some(&pem))).unwrap();
    let (retry_first, retry_cap) = (Duration::from_millis(10), Duration::from_millis(50));
    if way != Way::Https {
        let config = MqttConfig::new(address.to_string(), robot, "");
        Box::new(Mqtt::new(MqttConfig { tunnel: Some(tunnel(address)), retry_first, retry_cap, ..config }).unwrap())
    } else {
        let config = HttpConfig::new(format!("https://{}", address), robot, "");
        Box::new(Http::new(HttpConfig { tunnel: Some(tunnel(address)), retry_first, retry_cap, ..config }).unwrap())
    }
}
