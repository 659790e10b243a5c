//! `edgeflow-server`: the control plane as one program.

#![allow(clippy::print_stdout, reason = "the first lines on stdout are its interface: where it listens, and the token it made")]

use anyhow::{Context, bail};
use clap::Parser;
use edgeflow_server::{
    app::{App, AppOptions, SystemClock, beside_us},
    background,
    config::{Args, Config},
    http,
    mqtt::{BrokerDoor, Gateway, GatewayMetrics, Limits},
    openlineage::Endpoint,
    tls::{self, ClientCertificate},
    zenoh::ZenohDoor,
};
use std::{
    fs::{File, TryLockError},
    io::{ErrorKind, Write},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// How long running requests may take to end.
const GRACE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    tls::install_provider();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("edgeflow-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(args)?;
    let filter = EnvFilter::try_new(&config.log).with_context(|| format!("log {:?} is neither a level nor directives", config.log))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();

    let _lock = lock(&config.data_dir)?;
    let http_listener = TcpListener::bind(config.listen).await.map_err(|error| taken("listen", config.listen, error))?;
    let http_address = http_listener.local_addr().context("cannot read the address listened on")?;
    let local_listener = match config.local_listen {
        Some(listen) => Some(TcpListener::bind(listen).await.map_err(|error| taken("local-listen", listen, error))?),
        None => None,
    };
    let local_address = local_listener.as_ref().map(TcpListener::local_addr).transpose().context("cannot read the address listened on")?;

    let options = AppOptions {
        restored: config.restored,
        revocations: config.revocations,
        rotate_document_key: config.rotate_document_key,
        max_model_bytes: config.max_model_bytes,
        model_check: config.model_check.or_else(beside_us),
        model_memory_bytes: config.model_memory_bytes,
        retention: config.retention,
        captures: config.captures,
        tls_names: config.tls_names,
        ..AppOptions::new(&config.data_dir)
    };
    let app = App::open(options, Arc::new(SystemClock)).await.with_context(|| format!("cannot open {}", config.data_dir.display()))?;
    let acceptor = |client, alpn: &[&[u8]]| config.tls.then(|| tls::acceptor(app.authority(), client, alpn)).transpose();
    let robots = match config.mqtt_broker.clone() {
        Some(broker) => Robots::Broker(BrokerDoor::open(app.clone(), broker, Limits::default())?),
        None => {
            let tls = acceptor(ClientCertificate::Required, &[])?;
            Robots::Gateway(Gateway::bind(config.mqtt_listen, Limits::default(), tls).await?)
        }
    };
    let https = acceptor(ClientCertificate::Optional, &[b"http/1.1"])?;
    if let Robots::Gateway(gateway) = &robots {
        app.set_mqtt_address(gateway.address());
    }
    app.metrics().register(|registry| robots.metrics().register(registry));
    let zenoh = match config.zenoh_listen {
        Some(listen) => Some(ZenohDoor::open(app.clone(), listen).await?),
        None => None,
    };
    let zenoh_address = zenoh.as_ref().map(ZenohDoor::address);
    if let Some(address) = zenoh_address {
        app.set_zenoh_address(address);
    }
    let made = app.ensure_admin_token(std::env::var("EDGEFLOW_ADMIN_TOKEN").ok().as_deref()).await?;

    let shutdown = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mqtt = match (&robots, config.mqtt_broker) {
        (Robots::Broker(_), Some(broker)) => format!("broker {}", broker.url),
        (Robots::Gateway(gateway), _) if config.tls => format!("mqtts://{}", gateway.address()),
        (Robots::Gateway(gateway), _) => format!("mqtt://{}", gateway.address()),
        (Robots::Broker(_), None) => String::new(),
    };
    let doors = Doors { http: http_address, local: local_address, mqtt, zenoh: zenoh_address, tls: config.tls };
    announce(&doors, made.as_deref())?;

    let publisher = tokio::spawn(background::publish(app.clone(), shutdown.clone()));
    let retainer = tokio::spawn(background::retain(app.clone(), shutdown.clone()));
    let stepper = tokio::spawn(background::step_rollouts(app.clone(), shutdown.clone()));
    let teller = match config.openlineage {
        Some(options) => {
            let key = std::env::var("EDGEFLOW_OPENLINEAGE_API_KEY").ok().filter(|key| !key.is_empty());
            let endpoint = Endpoint::open(options, key.as_deref())?;
            app.metrics().register(|registry| endpoint.register(registry));
            Some(tokio::spawn(background::tell_lineage(app.clone(), endpoint, shutdown.clone())))
        }
        None => None,
    };
    let converger = tokio::spawn(background::converge(app.clone(), shutdown.clone()));
    let collector = tokio::spawn(background::collect(app.clone(), shutdown.clone()));
    let robots = match robots {
        Robots::Gateway(gateway) => tokio::spawn(gateway.serve(app.clone(), shutdown.clone())),
        Robots::Broker(door) => tokio::spawn(door.serve(shutdown.clone())),
    };
    let zenoh = zenoh.map(|door| tokio::spawn(door.serve(shutdown.clone())));
    let authority = tokio::spawn(background::refresh_authority(app.clone(), shutdown.clone()));
    let mut people = match https {
        Some(acceptor) => tokio::spawn(http::serve_tls(http_listener, acceptor, local_listener, app.clone(), shutdown.clone())),
        None => tokio::spawn(http::serve(http_listener, app.clone(), shutdown.clone())),
    };
    let mut ended = None;
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("SIGINT: shutting down"),
        _ = terminate.recv() => tracing::info!("SIGTERM: shutting down"),
        result = &mut people => ended = Some(result),
    }
    shutdown.cancel();
    robots.await.context("the MQTT door broke")?;
    if let Some(zenoh) = zenoh {
        zenoh.await.context("the zenoh door broke")?;
    }
    let result = match ended {
        Some(result) => result,
        None => match tokio::time::timeout(GRACE, &mut people).await {
            Ok(result) => result,
            Err(_) => {
                tracing::warn!("some requests did not end in time and are cut off");
                people.abort();
                Ok(Ok(()))
            }
        },
    };
    publisher.await.context("the publisher broke")?;
    retainer.await.context("retention broke")?;
    stepper.await.context("rollouts broke")?;
    converger.await.context("giving robots what is declared broke")?;
    collector.await.context("the collector of artifacts broke")?;
    if let Some(teller) = teller {
        teller.await.context("telling of lineage broke")?;
    }
    authority.await.context("the authority broke")?;
    app.close().await;
    result.context("the HTTP door broke")?.context("cannot serve HTTP")
}

/// By which way robots come over MQTT.
enum Robots {
    Gateway(Gateway),
    Broker(BrokerDoor),
}

impl Robots {
    fn metrics(&self) -> GatewayMetrics {
        match self {
            Robots::Gateway(gateway) => gateway.metrics(),
            Robots::Broker(door) => door.metrics(),
        }
    }
}

/// Where we listen.
struct Doors {
    http: SocketAddr,
    local: Option<SocketAddr>,
    /// As it is told: address, or the broker's.
    mqtt: String,
    zenoh: Option<SocketAddr>,
    tls: bool,
}

fn announce(doors: &Doors, made: Option<&str>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let Doors { http, local, mqtt, zenoh, tls } = doors;
    let s = if *tls { "s" } else { "" };
    let more = |scheme: &str, address: &Option<SocketAddr>| address.map(|address| format!(" {scheme}://{address}")).unwrap_or_default();
    writeln!(out, "edgeflow-server listening on http{s}://{http} {mqtt}{}{}", more("zenoh", zenoh), more("http", local))?;
    if let Some(token) = made {
        writeln!(out, "admin token (shown once): {token}")?;
    }
    Ok(out.flush()?)
}

/// Holds the data folder for this process: two servers on one SQLite folder would undo each other.
fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let shown = data_dir.display();
    std::fs::create_dir_all(data_dir).with_context(|| format!("cannot make the data folder {shown}"))?;
    let file = File::create(data_dir.join("lock")).with_context(|| format!("cannot write to the data folder {shown}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another edgeflow-server is running on {shown}: stop it, or give another --data-dir"),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock the data folder {shown}")),
    }
}

fn taken(key: &str, address: SocketAddr, error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::AddrInUse => {
            anyhow::anyhow!("port {} is taken ({key} {address}): stop what uses it, or give another --{key}", address.port())
        }
        _ => anyhow::Error::new(error).context(format!("cannot listen on {address} ({key})")),
    }
}
