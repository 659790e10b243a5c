//! A way through TLS for clients that know none: a Unix socket in a folder only this user can enter, each connection of which is
//! carried to the control plane.
//!
//! The clients of MQTT and HTTP speak in the clear into it. So certificates, trust and time limits are in one place for all of
//! them, a renewed certificate counts from the next connection on without rebuilding anything, and no client library brings TLS
//! features, providers or trusted roots of its own.

use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{IdentityError, Result};

/// Most time to reach the control plane, and as much again for the handshake.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most time to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const BUFFER_BYTES: usize = 16 * 1024;

/// Splits `https://host:port[/]` into `host:port` for a [`Tunnel`] and the `http://host:port` its clients use inside.
///
/// # Errors
/// An address of another form.
pub fn split_https(address: &str) -> Result<(String, String)> {
    let bad = || IdentityError::Address { address: address.to_owned() };
    let authority = address.strip_prefix("https://").ok_or_else(bad)?.trim_end_matches('/');
    host_and_port(authority).map_err(|_| bad())?;
    Ok((authority.to_owned(), format!("http://{authority}")))
}

pub(crate) fn host_and_port(address: &str) -> Result<(String, u16)> {
    let bad = || IdentityError::Address { address: address.to_owned() };
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((host, port.parse().map_err(|_| bad())?))
}

/// A running tunnel; the last clone that is dropped ends it.
#[derive(Clone)]
pub struct Tunnel(Arc<Inner>);

struct Inner {
    folder: TempDir,
    address: String,
    failure: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("address", &self.0.address).field("socket", &self.socket()).finish_non_exhaustive()
    }
}

struct Far {
    host: String,
    port: u16,
    name: ServerName<'static>,
    config: Box<dyn Fn() -> Result<Arc<ClientConfig>> + Send + Sync>,
    failure: Arc<Mutex<Option<String>>>,
}

impl Tunnel {
    /// Opens a tunnel to `host:port`; `config` is asked at each connection. Needs a tokio runtime.
    ///
    /// # Errors
    /// An address of another form, or a socket that cannot be made.
    pub fn open(address: &str, config: impl Fn() -> Result<Arc<ClientConfig>> + Send + Sync + 'static) -> Result<Self> {
        let (host, port) = host_and_port(address)?;
        let name = ServerName::try_from(host.clone()).map_err(|_| IdentityError::Address { address: address.to_owned() })?;
        // Made with mode 0700.
        let made = tempfile::Builder::new().prefix("edgeflow-").tempdir();
        let folder = made.map_err(IdentityError::file("make a folder in", &std::env::temp_dir()))?;
        let socket = folder.path().join("tls");
        let listener = UnixListener::bind(&socket).map_err(IdentityError::file("listen on", &socket))?;
        let failure = Arc::new(Mutex::new(None));
        let far = Arc::new(Far { host, port, name, config: Box::new(config), failure: failure.clone() });
        let task = tokio::spawn(accept(listener, far));
        Ok(Self(Arc::new(Inner { folder, address: address.to_owned(), failure, task })))
    }

    /// Where clients connect.
    pub fn socket(&self) -> PathBuf {
        self.0.folder.path().join("tls")
    }

    /// The folder of the socket.
    pub fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    /// Why the newest connection that failed did; `None` while none did since one succeeded.
    pub fn failure(&self) -> Option<String> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A builder of HTTP clients that go through it. They use the `http://` address of [`split_https`].
    pub fn http(&self) -> reqwest::ClientBuilder {
        reqwest::Client::builder().unix_socket(self.socket()).no_proxy()
    }
}

async fn accept(listener: UnixListener, far: Arc<Far>) {
    // Connections end with the tunnel.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((near, _)) => drop(connections.spawn(carry(near, far.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection to the control plane's tunnel");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(near: UnixStream, far: Arc<Far>) {
    let outcome = match connect(&far).await {
        Ok(stream) => exchange(near, stream, &far).await,
        Err(reason) => Err((near, reason)),
    };
    // Told before the near side hears of it, so that whoever does can ask why.
    if let Err((near, reason)) = outcome {
        tracing::debug!(reason, host = far.host, port = far.port, "a connection to the control plane failed");
        far.tell(Some(reason));
        drop(near);
    }
}

impl Far {
    fn tell(&self, reason: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

type Secured = tokio_rustls::client::TlsStream<TcpStream>;

async fn connect(far: &Far) -> Result<Secured, String> {
    let config = (far.config)().map_err(|error| with_sources(&error))?;
    let late = |what: &str| format!("{what} took longer than {CONNECT_TIMEOUT:?}");
    let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect((far.host.as_str(), far.port)));
    let tcp = tcp.await.map_err(|_| late("connecting"))?.map_err(|error| error.to_string())?;
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    let shaken = timeout(CONNECT_TIMEOUT, TlsConnector::from(config).connect(far.name.clone(), tcp));
    shaken.await.map_err(|_| late("the TLS handshake"))?.map_err(|error| explain(&error))
}

/// Carries both ways until one side ends.
async fn exchange(near: UnixStream, far_stream: Secured, far: &Far) -> Result<(), (UnixStream, String)> {
    let (mut near_in, mut near_out) = near.into_split();
    let (mut far_in, mut far_out) = tokio::io::split(far_stream);
    let outcome = tokio::select! {
        up = copy(&mut near_in, &mut far_out, || {}) => {
            // The near side is gone: what it said last is on its way.
            let _ = timeout(CLOSE_TIMEOUT, far_out.shutdown()).await;
            up
        }
        // In TLS 1.3 a server looks at our certificate after the handshake is done for us: its first byte says that we are in.
        down = copy(&mut far_in, &mut near_out, || far.tell(None)) => down,
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => match near_in.reunite(near_out) {
            Ok(near) => Err((near, explain(&error))),
            Err(_) => Ok(()),
        },
    }
}

async fn copy<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(from: &mut R, to: &mut W, mut first: impl FnMut()) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut begun = false;
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        if !begun {
            begun = true;
            first();
        }
        to.write_all(buffer.get(..read).unwrap_or_default()).await?;
        to.flush().await?;
    }
}

/// What to do about a TLS failure, where that is known.
pub(crate) fn explain(error: &io::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error};
    let said = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let advice = match said {
        Some(Error::AlertReceived(AlertDescription::CertificateRevoked)) => "this robot was revoked: enrol it again",
        Some(Error::AlertReceived(AlertDescription::CertificateExpired)) => "this robot's certificate has expired: enrol it again",
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => "the control plane wants a certificate: enrol the robot",
        Some(Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError)) => {
            "this robot's certificate is of another control plane: enrol it here"
        }
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "what answers is not the control plane this robot enrolled with, or the CA fingerprint is another's"
        }
        Some(Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
            "the control plane's certificate does not name this address: add it to tls_names there"
        }
        Some(Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })) => {
            "is this machine's clock right?"
        }
        _ => return error.to_string(),
    };
    format!("{error}: {advice}")
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_for_the_tunnel_and_its_clients() {
        for (address, authority) in [("https://a:1", "a:1"), ("https://[::1]:5000/", "[::1]:5000")] {
            assert_eq!(split_https(address).unwrap(), (authority.to_owned(), format!("http://{authority}")));
        }
        for address in ["http://a:1", "https://a", "https://a:port", "a:1", ""] {
            assert!(split_https(address).unwrap_err().to_string().contains("https://host:port"), "{address}");
        }
    }
}
