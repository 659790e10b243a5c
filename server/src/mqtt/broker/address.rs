//! Where the broker is, what makes it the right one, and what we show of ourselves.

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::app::{App, AppError, ClientIdentity};

/// Port of MQTT over TLS.
const DEFAULT_PORT: u16 = 8883;

/// Why a broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Not an address of a broker.
    #[error("mqtt_broker {given:?} is no broker: give mqtts://host:port; without TLS nothing would say which robot speaks")]
    Url {
        /// What was given.
        given: String,
    },
    /// One of the two files alone.
    #[error("mqtt_broker_certificate and mqtt_broker_key go together: give both, or none to come with a certificate of our own CA")]
    HalfIdentity,
    /// A file that is none.
    #[error("{key} {}: {reason}", path.display())]
    File {
        /// Which key.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("TLS to the broker cannot be set up")]
    Tls(#[source] rustls::Error),
    /// No certificate could be made.
    #[error("no certificate could be made for the broker")]
    Identity(#[source] AppError),
}

/// An external broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerOptions {
    /// `mqtts://host:port`; the port is 8883 when it is not given.
    pub url: String,
    /// Whose certificates the broker's is among, PEM; our own CA when it is not given.
    pub ca: Option<PathBuf>,
    /// What we show of ourselves, PEM; a certificate of our own CA when it is not given.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// A program that has the broker read the list of revoked certificates again.
    pub reload: Option<PathBuf>,
}

/// The broker, its address taken apart.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) name: ServerName<'static>,
}

impl BrokerOptions {
    pub(super) fn address(&self) -> Result<Address, BrokerError> {
        let bad = || BrokerError::Url { given: self.url.clone() };
        let authority = self.url.strip_prefix("mqtts://").ok_or_else(bad)?.trim_end_matches('/');
        let (host, port) = match authority.rsplit_once(':') {
            // The colon of an IPv6 address is inside of its brackets.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, DEFAULT_PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| bad())?;
        Ok(Address { host, port, name })
    }

    /// Whether it can be used at all. Files are read again at each connection.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn check(&self, app: &App) -> Result<(), BrokerError> {
        self.address()?;
        self.tls(app, None).map(drop)
    }

    /// TLS to the broker: in our own name, or in that of a robot.
    pub(super) fn tls(&self, app: &App, robot: Option<&str>) -> Result<Arc<ClientConfig>, BrokerError> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for ca in certificates("mqtt_broker_ca", path)? {
                    roots.add(ca).map_err(BrokerError::Tls)?;
                }
            }
            None => roots.add(app.authority().ca().clone()).map_err(BrokerError::Tls)?,
        }
        let identity = match (&self.certificate, &self.key, robot) {
            (Some(certificate), Some(path), None) => {
                let bad = |error: rustls::pki_types::pem::Error| file("mqtt_broker_key", path, &error);
                ClientIdentity {
                    chain: certificates("mqtt_broker_certificate", certificate)?,
                    key: PrivateKeyDer::from_pem_file(path).map_err(bad)?,
                }
            }
            (Some(_), None, _) | (None, Some(_), _) => return Err(BrokerError::HalfIdentity),
            (_, _, robot) => app.identity_towards_broker(robot).map_err(BrokerError::Identity)?,
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(BrokerError::Tls)?
            .with_root_certificates(roots)
            .with_client_auth_cert(identity.chain, identity.key)
            .map_err(BrokerError::Tls)?;
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, BrokerError> {
    let read = CertificateDer::pem_file_iter(path).and_then(|found| found.collect::<Result<Vec<_>, _>>());
    match read {
        Ok(found) if found.is_empty() => Err(file(key, path, &"it holds no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(file(key, path, &error)),
    }
}

fn file(key: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> BrokerError {
    BrokerError::File { key, path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_a_host_and_a_port_behind_tls() {
        let address = |url: &str| {
            let options = BrokerOptions { url: url.to_owned(), ..BrokerOptions::default() };
            options.address().map(|address| (address.host, address.port))
        };
        for (url, host, port) in [
            ("mqtts://broker.example:8884", "broker.example", 8884),
            ("mqtts://10.0.0.1", "10.0.0.1", 8883),
            ("mqtts://[::1]:1", "::1", 1),
            ("mqtts://[::1]/", "::1", 8883),
        ] {
            assert_eq!(address(url).unwrap(), (host.to_owned(), port), "{url}");
        }
        for url in ["", "broker:8883", "mqtt://127.0.0.1:1883", "mqtts://", "mqtts://a b", "mqtts://broker:port", "mqtts://user@broker"] {
            assert!(address(url).unwrap_err().to_string().contains("mqtts://host:port"), "{url}");
        }
    }
}
