//! An OpenLineage endpoint, such as Marquez, that is told what happens to lineage: `POST {url}/api/v1/lineage`, an event each.

use axum::http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use edgeflow_core::openlineage::NAMESPACE;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use std::{io, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// For a connection, and for each answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most bytes of an answer that are read; nothing in it matters but the status.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Which endpoint, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointOptions {
    /// Its address, such as `https://marquez.example:5000`; without TLS on this machine only.
    pub url: String,
    /// Certificates among which its CA's is, PEM. `https` needs it.
    pub ca: Option<PathBuf>,
    /// Namespace of jobs, models and robots.
    pub namespace: String,
    /// How often is looked for news.
    pub every: Duration,
}

impl EndpointOptions {
    /// An address, and defaults for the rest.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ca: None, namespace: NAMESPACE.to_owned(), every: Duration::from_secs(10) }
    }
}

/// Why an endpoint cannot be used, or was not told.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Its address is none.
    #[error("openlineage.url {given:?} is no address: give http://127.0.0.1:5000 or https://host:port")]
    Address {
        /// What was given.
        given: String,
    },
    /// It would be told in the clear, over a network.
    #[error("openlineage.url {given} is not on this machine: without TLS events go to 127.0.0.1, [::1] or localhost only; use https://")]
    NotLoopback {
        /// What was given.
        given: String,
    },
    /// `https` without a CA, or a CA that is none.
    #[error("openlineage.ca {path:?} holds no certificate, which https:// needs: {reason}")]
    Ca {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The key cannot stand in a header.
    #[error("EDGEFLOW_OPENLINEAGE_API_KEY cannot stand in a header")]
    Key,
    /// No connection, or it broke.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// Which.
        url: String,
        /// Why.
        reason: String,
    },
    /// It does not take events at the moment.
    #[error("{url} answered {status}")]
    Busy {
        /// Which.
        url: String,
        /// What.
        status: StatusCode,
    },
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// An endpoint that can be told.
pub struct Endpoint {
    options: EndpointOptions,
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    path: String,
    authorization: Option<HeaderValue>,
    told: Counter,
    refused: Counter,
    failed: Counter,
}

impl Endpoint {
    /// Checks the options. `key` is sent as a bearer token.
    ///
    /// # Errors
    /// Names what cannot be used.
    pub fn open(options: EndpointOptions, key: Option<&str>) -> Result<Self, EndpointError> {
        let bad = || EndpointError::Address { given: options.url.clone() };
        let uri: Uri = options.url.parse().map_err(|_| bad())?;
        let host = uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        // What stands in a URL is logged and shown.
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) || uri.query().is_some() {
            return Err(bad());
        }
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !encrypted && !loopback {
            return Err(EndpointError::NotLoopback { given: options.url.clone() });
        }
        let tls = if encrypted { Some(connector(&options)?) } else { None };
        let authorization = key.map(|key| HeaderValue::try_from(format!("Bearer {key}"))).transpose().map_err(|_| EndpointError::Key)?;
        Ok(Self {
            port: uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 }),
            path: format!("{}/api/v1/lineage", uri.path().trim_end_matches('/')),
            host,
            tls,
            authorization,
            options,
            told: Counter::default(),
            refused: Counter::default(),
            failed: Counter::default(),
        })
    }

    /// How it is told.
    pub fn options(&self) -> &EndpointOptions {
        &self.options
    }

    /// Under what it is remembered how far it was told. In another namespace everything is news.
    pub fn name(&self) -> String {
        format!("{} {}", self.options.url, self.options.namespace)
    }

    /// Adds what is counted of it.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("edgeflow_openlineage_events", "OpenLineage events that the endpoint took", self.told.clone());
        registry.register("edgeflow_openlineage_refused", "OpenLineage events that the endpoint refused for good", self.refused.clone());
        registry.register("edgeflow_openlineage_failures", "Rounds in which the endpoint could not be told", self.failed.clone());
    }

    /// Tells it these events, in order. One that it refuses for good is counted and left; when it cannot be reached, or says that it
    /// cannot take them now, the rest waits for another time, and those that it took may come again.
    ///
    /// # Errors
    /// Why not.
    pub async fn tell(&self, events: &[Value]) -> Result<(), EndpointError> {
        self.try_tell(events).await.inspect_err(|_| {
            self.failed.inc();
        })
    }

    async fn try_tell(&self, events: &[Value]) -> Result<(), EndpointError> {
        let mut connection = self.connect().await?;
        for event in events {
            let status = match self.post(&mut connection, event).await {
                // It may have grown tired of the connection between two events.
                Err(EndpointError::Unreachable { .. }) => {
                    connection = self.connect().await?;
                    self.post(&mut connection, event).await?
                }
                answer => answer?,
            };
            match status {
                status if status.is_success() => {
                    self.told.inc();
                }
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(EndpointError::Busy { url: self.options.url.clone(), status });
                }
                status if status.is_client_error() => {
                    self.refused.inc();
                    tracing::warn!(openlineage.url = self.options.url, status = status.as_u16(), %event, "an event of lineage was refused");
                }
                status => return Err(EndpointError::Busy { url: self.options.url.clone(), status }),
            }
        }
        Ok(())
    }

    fn unreachable(&self, reason: impl ToString) -> EndpointError {
        EndpointError::Unreachable { url: self.options.url.clone(), reason: reason.to_string() }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, EndpointError> {
        let open = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            let stream: Box<dyn Stream> = match &self.tls {
                Some(tls) => {
                    let name =
                        ServerName::try_from(self.host.clone()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                    Box::new(tls.connect(name, stream).await?)
                }
                None => Box::new(stream),
            };
            Ok::<_, io::Error>(stream)
        };
        let stream = timeout(PATIENCE, open).await.map_err(|error| self.unreachable(error))?.map_err(|error| self.unreachable(error))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| self.unreachable(error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to an OpenLineage endpoint ended");
            }
        });
        Ok(sender)
    }

    async fn post(&self, connection: &mut SendRequest<Full<Bytes>>, event: &Value) -> Result<StatusCode, EndpointError> {
        let host = if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(Bytes::from(event.to_string()))).map_err(|error| self.unreachable(error))?;
        let exchange = async {
            connection.ready().await.map_err(|error| error.to_string())?;
            let response = connection.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(|error| error.to_string())?;
            Ok::<_, String>(status)
        };
        timeout(PATIENCE, exchange).await.map_err(|error| self.unreachable(error))?.map_err(|reason| self.unreachable(reason))
    }
}

fn connector(options: &EndpointOptions) -> Result<TlsConnector, EndpointError> {
    let path = options.ca.clone().unwrap_or_default();
    let bad = |reason: String| EndpointError::Ca { path: path.clone(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| bad(error.to_string()))? {
        roots.add(certificate.map_err(|error| bad(error.to_string()))?).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("it is empty".to_owned()));
    }
    Ok(TlsConnector::from(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_would_tell_secrets_or_go_nowhere_are_refused_with_the_remedy() {
        let open = |url: &str| Endpoint::open(EndpointOptions::new(url), None).map(|endpoint| (endpoint.port, endpoint.path));
        assert_eq!(open("http://127.0.0.1:5000").unwrap(), (5000, "/api/v1/lineage".to_owned()));
        assert_eq!(open("http://[::1]/marquez/").unwrap(), (80, "/marquez/api/v1/lineage".to_owned()));
        for (url, says) in [
            ("marquez", "is no address"),
            ("ftp://127.0.0.1", "is no address"),
            ("http://user:secret@127.0.0.1", "is no address"),
            ("http://127.0.0.1/?key=secret", "is no address"),
            ("http://marquez.example:5000", "use https://"),
            ("https://marquez.example", "openlineage.ca \"\" holds no certificate"),
        ] {
            let error = open(url).unwrap_err().to_string();
            assert!(error.contains(says), "{url}: {error}");
        }
        let error = Endpoint::open(EndpointOptions::new("http://localhost"), Some("a\nb")).map(drop).unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}
