//! Where the API listens: a Unix socket, guarded by its file's mode, and a loopback port, guarded against web pages.

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{self, Next},
    response::Response,
};
use std::{
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
    task::JoinHandle,
};

use super::Refusal;
use crate::Recorder;

/// Owner and group may talk to the bridge.
const SOCKET_MODE: u32 = 0o660;

/// Where to listen.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    /// Path of the Unix socket.
    pub(crate) socket: PathBuf,
    /// Port on 127.0.0.1, where one was asked for.
    pub(crate) port: Option<u16>,
}

/// Serves until told to stop. A door that cannot open is a fault, and the robot goes on without it.
pub(crate) async fn serve(doors: Doors, router: Router, recorder: Recorder, stop: watch::Receiver<bool>) {
    let mut tasks: Vec<JoinHandle<()>> = Vec::new();
    match unix(&doors.socket) {
        Ok(listener) => tasks.push(tokio::spawn(run(axum::serve(listener, router.clone()).with_graceful_shutdown(told(stop.clone()))))),
        Err(error) => recorder.fault("local_api", format!("cannot listen on {}: {error}", doors.socket.display())).await,
    }
    if let Some(port) = doors.port {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => {
                let router = router.layer(middleware::from_fn(no_web_page));
                tasks.push(tokio::spawn(run(axum::serve(listener, router).with_graceful_shutdown(told(stop)))));
            }
            Err(error) => {
                recorder.fault("local_api", format!("cannot listen on 127.0.0.1:{port}: {error}; give another local_http_port")).await
            }
        }
    }
    for task in tasks {
        drop(task.await);
    }
    drop(std::fs::remove_file(&doors.socket));
}

async fn run(serving: impl IntoFuture<Output = io::Result<()>>) {
    if let Err(error) = serving.await {
        tracing::error!(%error, "the local API ended");
    }
}

async fn told(mut stop: watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// The data folder belongs to this bridge (the edge log's lock says so), so a socket that is there was left by an earlier one.
fn unix(path: &Path) -> io::Result<UnixListener> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

/// A page in somebody's browser on this machine can reach a loopback port, also by a name of its own: browsers say so.
async fn no_web_page(request: Request, next: Next) -> Result<Response, Refusal> {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    if headers.contains_key(header::ORIGIN) || !matches!(host, "127.0.0.1" | "localhost") {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "this API is for programs on this robot, at 127.0.0.1, and not for web pages"));
    }
    Ok(next.run(request).await)
}
