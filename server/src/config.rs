//! Configuration: flag, then environment, then file, then default.

use crate::{app::well_formed_name, mqtt::BrokerOptions, openlineage::EndpointOptions};
use clap::Parser;
use edgeflow_core::{CoreError, capture::Keeping, retention::Policy};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file does not parse: bad TOML, an unknown key, a value of the wrong kind.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// An address that does not parse or resolve.
    #[error("{key} {given:?} is no address: give host:port, such as 127.0.0.1:5000")]
    Address {
        /// Which key.
        key: &'static str,
        /// What was given.
        given: String,
    },
    /// A retention policy that makes no sense.
    #[error("{source}")]
    Retention {
        /// What is wrong with it.
        #[source]
        source: CoreError,
    },
    /// An address other machines could reach.
    #[error(
        "{key} {given} is not a loopback address: without TLS the server listens on 127.0.0.1 or [::1] only; set tls = true (--tls) and \
         tls_names, or tunnel to it (ssh -L)"
    )]
    NotLoopback {
        /// Which key.
        key: &'static str,
        /// What was given.
        given: String,
    },
    /// A door without TLS beside one without TLS.
    #[error("local_listen is set without tls: listen serves this machine without TLS already")]
    LocalWithoutTls,
    /// Two doors for the same robots.
    #[error("mqtt_listen and mqtt_broker are both set: robots come through the one or the other; drop mqtt_listen to use the broker")]
    TwoBrokers,
    /// What belongs to a broker without one.
    #[error("{key} is set without mqtt_broker, to which it belongs")]
    NoBroker {
        /// Which key.
        key: &'static str,
    },
    /// A name that cannot stand in a certificate.
    #[error("tls_names {given:?} is neither a host name nor an address: give what robots write in front of the port")]
    TlsName {
        /// What was given.
        given: String,
    },
}

/// The control plane of a fleet: registry, deployments, robots' logs, dashboard.
#[derive(Debug, Default, Parser)]
#[command(name = "edgeflow-server", version)]
pub struct Args {
    /// Configuration file; server/edgeflow-server.toml in the sources lists every key.
    #[arg(long, env = "EDGEFLOW_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder that holds all the server remembers; made when missing [default: edgeflow-data].
    #[arg(long, env = "EDGEFLOW_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where people and programs connect; without --tls loopback only, port 0 takes a free one [default: 127.0.0.1:5000].
    #[arg(long, env = "EDGEFLOW_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// With --tls, where people of this machine connect without it; loopback only, port 0 takes a free one [default: empty, nowhere].
    #[arg(long, env = "EDGEFLOW_LOCAL_LISTEN", value_name = "HOST:PORT")]
    pub local_listen: Option<String>,
    /// Where robots connect by MQTT; without --tls loopback only, port 0 takes a free one [default: 127.0.0.1:1883].
    #[arg(long, env = "EDGEFLOW_MQTT_LISTEN", value_name = "HOST:PORT")]
    pub mqtt_listen: Option<String>,
    /// An MQTT broker of yours in the place of the one inside of the server, mqtts://host:port [default: empty, the one inside].
    #[arg(long, env = "EDGEFLOW_MQTT_BROKER", value_name = "URL")]
    pub mqtt_broker: Option<String>,
    /// Certificates among which the broker's is, PEM [default: the control plane's own CA].
    #[arg(long, env = "EDGEFLOW_MQTT_BROKER_CA", value_name = "FILE")]
    pub mqtt_broker_ca: Option<PathBuf>,
    /// What the server shows the broker of itself, PEM [default: a certificate of its own CA for edgeflow.control-plane].
    #[arg(long, env = "EDGEFLOW_MQTT_BROKER_CERTIFICATE", value_name = "FILE")]
    pub mqtt_broker_certificate: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long, env = "EDGEFLOW_MQTT_BROKER_KEY", value_name = "FILE")]
    pub mqtt_broker_key: Option<PathBuf>,
    /// A program that has the broker read the list of revoked certificates again; EDGEFLOW_REVOKED names the file to it.
    #[arg(long, env = "EDGEFLOW_MQTT_BROKER_RELOAD", value_name = "PROGRAM")]
    pub mqtt_broker_reload: Option<PathBuf>,
    /// Where robots connect by zenoh, always with certificates; port 0 takes a free one [default: empty, no zenoh].
    #[arg(long, env = "EDGEFLOW_ZENOH_LISTEN", value_name = "HOST:PORT")]
    pub zenoh_listen: Option<String>,
    /// Serve over TLS, with the control plane's own CA: robots come with certificates, people with tokens over HTTPS.
    #[arg(long, env = "EDGEFLOW_TLS")]
    pub tls: bool,
    /// Names and addresses under which robots reach this machine, comma-separated; the loopback ones are always there.
    #[arg(long, env = "EDGEFLOW_TLS_NAMES", value_name = "NAME", value_delimiter = ',')]
    pub tls_names: Vec<String>,
    /// What is logged to stderr: a level, or directives such as "info,edgeflow_server::mqtt=debug" [default: info].
    #[arg(long, env = "EDGEFLOW_LOG", value_name = "LEVEL")]
    pub log: Option<String>,
    /// The data folder was put back from a backup: raise the server epoch, so that robots follow it again.
    #[arg(long)]
    pub restored: bool,
    /// The newest list of revoked certificates there is (revoked.pem): what it names is revoked here, too. For use with --restored.
    #[arg(long, value_name = "FILE")]
    pub revocations: Option<PathBuf>,
    /// Sign documents with the next key from now on. Robots that enrolled or renewed since the last time know it already.
    #[arg(long)]
    pub rotate_document_key: bool,
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data_dir: Option<PathBuf>,
    listen: Option<String>,
    mqtt_listen: Option<String>,
    mqtt_broker: Option<String>,
    mqtt_broker_ca: Option<PathBuf>,
    mqtt_broker_certificate: Option<PathBuf>,
    mqtt_broker_key: Option<PathBuf>,
    mqtt_broker_reload: Option<PathBuf>,
    local_listen: Option<String>,
    zenoh_listen: Option<String>,
    tls: Option<bool>,
    tls_names: Option<Vec<String>>,
    max_model_bytes: Option<u64>,
    model_check: Option<PathBuf>,
    model_memory_bytes: Option<u64>,
    log: Option<String>,
    #[serde(default)]
    retention: Retention,
    #[serde(default)]
    captures: Captures,
    #[serde(default)]
    openlineage: OpenLineage,
}

/// Its section `[openlineage]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenLineage {
    url: Option<String>,
    ca: Option<PathBuf>,
    namespace: Option<String>,
    every_s: Option<u64>,
}

impl OpenLineage {
    fn endpoint(self) -> Option<EndpointOptions> {
        let url = self.url.filter(|url| !url.is_empty())?;
        let default = EndpointOptions::new(url);
        Some(EndpointOptions {
            ca: self.ca.filter(|path| !path.as_os_str().is_empty()),
            namespace: self.namespace.filter(|namespace| !namespace.is_empty()).unwrap_or(default.namespace),
            every: self.every_s.map_or(default.every, |seconds| Duration::from_secs(seconds.max(1))),
            url: default.url,
        })
    }
}

/// Its section `[captures]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Captures {
    keep_days: Option<u32>,
    max_bytes: Option<u64>,
    max_capture_bytes: Option<u64>,
}

impl Captures {
    fn keeping(self) -> Result<Keeping, ConfigError> {
        let default = Keeping::default();
        let keeping = Keeping {
            keep_days: self.keep_days.unwrap_or(default.keep_days),
            max_bytes: self.max_bytes.unwrap_or(default.max_bytes),
            max_capture_bytes: self.max_capture_bytes.unwrap_or(default.max_capture_bytes),
        };
        keeping.validate().map_err(|source| ConfigError::Retention { source })?;
        Ok(keeping)
    }
}

/// Its section `[retention]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retention {
    raw_days: Option<u32>,
    minute_days: Option<u32>,
    hour_days: Option<u32>,
    critical_days: Option<u32>,
    event_days: Option<u32>,
    summary_days: Option<u32>,
    detail_days: Option<u32>,
    kinds: Option<BTreeMap<String, u32>>,
    max_bytes: Option<u64>,
}

impl Retention {
    fn policy(self) -> Result<Policy, ConfigError> {
        let default = Policy::default();
        let policy = Policy {
            raw_days: self.raw_days.unwrap_or(default.raw_days),
            minute_days: self.minute_days.unwrap_or(default.minute_days),
            hour_days: self.hour_days.unwrap_or(default.hour_days),
            critical_days: self.critical_days.unwrap_or(default.critical_days),
            event_days: self.event_days.unwrap_or(default.event_days),
            summary_days: self.summary_days.unwrap_or(default.summary_days),
            detail_days: self.detail_days.unwrap_or(default.detail_days),
            kinds: self.kinds.unwrap_or(default.kinds),
            max_bytes: self.max_bytes.unwrap_or(default.max_bytes),
        };
        policy.validate().map_err(|source| ConfigError::Retention { source })?;
        Ok(policy)
    }
}

/// What the server runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Folder that holds all the server remembers.
    pub data_dir: PathBuf,
    /// Where people and programs connect.
    pub listen: SocketAddr,
    /// Where robots connect.
    pub mqtt_listen: SocketAddr,
    /// The broker through which robots come instead, if there is one.
    pub mqtt_broker: Option<BrokerOptions>,
    /// Where people of this machine connect without TLS, if they may.
    pub local_listen: Option<SocketAddr>,
    /// Where robots connect by zenoh, if they may.
    pub zenoh_listen: Option<SocketAddr>,
    /// Whether both doors are behind TLS.
    pub tls: bool,
    /// Names and addresses under which robots reach this machine.
    pub tls_names: Vec<String>,
    /// Most bytes of one uploaded bundle.
    pub max_model_bytes: u64,
    /// The program that says whether a bundle loads; `None`: `check_model` beside this one, if it is there.
    pub model_check: Option<PathBuf>,
    /// Most memory of a program that loads models; 0: as much as there is.
    pub model_memory_bytes: u64,
    /// What is logged.
    pub log: String,
    /// The data folder was put back from a backup.
    pub restored: bool,
    /// A list of revoked certificates that may know more than the data folder.
    pub revocations: Option<PathBuf>,
    /// Sign documents with the next key from now on.
    pub rotate_document_key: bool,
    /// What is kept of robots' logs, and how long.
    pub retention: Policy,
    /// What is kept of captures.
    pub captures: Keeping,
    /// Who is told of lineage, if somebody is.
    pub openlineage: Option<EndpointOptions>,
}

impl Config {
    /// Puts flags and environment (both in `args`) over the file over the defaults.
    ///
    /// # Errors
    /// Names the file, key or address that cannot be used.
    pub fn load(args: Args) -> Result<Self, ConfigError> {
        let file = args.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let text = |flag: Option<String>, file: Option<String>, default: &str| flag.or(file).unwrap_or_else(|| default.to_owned());
        let tls = args.tls || file.tls.unwrap_or(false);
        let tls_names = if args.tls_names.is_empty() { file.tls_names.unwrap_or_default() } else { args.tls_names };
        if let Some(given) = tls_names.iter().find(|name| !well_formed_name(name)) {
            return Err(ConfigError::TlsName { given: given.clone() });
        }
        let given = |path: Option<PathBuf>, file: Option<PathBuf>| path.or(file).filter(|path| !path.as_os_str().is_empty());
        let broker = BrokerOptions {
            url: text(args.mqtt_broker, file.mqtt_broker, ""),
            ca: given(args.mqtt_broker_ca, file.mqtt_broker_ca),
            certificate: given(args.mqtt_broker_certificate, file.mqtt_broker_certificate),
            key: given(args.mqtt_broker_key, file.mqtt_broker_key),
            reload: given(args.mqtt_broker_reload, file.mqtt_broker_reload),
        };
        let mqtt_broker = if broker.url.is_empty() {
            let belongs = [
                ("mqtt_broker_ca", &broker.ca),
                ("mqtt_broker_certificate", &broker.certificate),
                ("mqtt_broker_key", &broker.key),
                ("mqtt_broker_reload", &broker.reload),
            ];
            if let Some((key, _)) = belongs.into_iter().find(|(_, value)| value.is_some()) {
                return Err(ConfigError::NoBroker { key });
            }
            None
        } else if args.mqtt_listen.is_some() || file.mqtt_listen.is_some() {
            return Err(ConfigError::TwoBrokers);
        } else {
            Some(broker)
        };
        Ok(Self {
            mqtt_broker,
            data_dir: args.data_dir.or(file.data_dir).unwrap_or_else(|| "edgeflow-data".into()),
            listen: address("listen", &text(args.listen, file.listen, "127.0.0.1:5000"), tls)?,
            local_listen: match text(args.local_listen, file.local_listen, "").as_str() {
                "" => None,
                _ if !tls => return Err(ConfigError::LocalWithoutTls),
                given => Some(address("local_listen", given, false)?),
            },
            zenoh_listen: match text(args.zenoh_listen, file.zenoh_listen, "").as_str() {
                "" => None,
                given => Some(address("zenoh_listen", given, true)?),
            },
            mqtt_listen: address("mqtt_listen", &text(args.mqtt_listen, file.mqtt_listen, "127.0.0.1:1883"), tls)?,
            tls,
            tls_names,
            max_model_bytes: file.max_model_bytes.unwrap_or(2 << 30),
            model_check: file.model_check.filter(|program| !program.as_os_str().is_empty()),
            model_memory_bytes: file.model_memory_bytes.unwrap_or(4 << 30),
            log: text(args.log, file.log, "info"),
            restored: args.restored,
            revocations: args.revocations,
            rotate_document_key: args.rotate_document_key,
            retention: file.retention.policy()?,
            captures: file.captures.keeping()?,
            openlineage: file.openlineage.endpoint(),
        })
    }
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| ConfigError::Syntax { path: path.to_owned(), message: error.to_string().trim_end().to_owned() })
}

fn address(key: &'static str, given: &str, tls: bool) -> Result<SocketAddr, ConfigError> {
    let bad = || ConfigError::Address { key, given: given.to_owned() };
    let addresses: Vec<SocketAddr> = given.to_socket_addrs().map_err(|_| bad())?.collect();
    if !tls && addresses.iter().any(|address| !address.ip().is_loopback()) {
        return Err(ConfigError::NotLoopback { key, given: given.to_owned() });
    }
    addresses.first().copied().ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn with_file(text: &str, args: Args) -> Result<Config, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Config::load(Args { config: Some(file.path().to_owned()), ..args })
    }

    #[test]
    fn the_annotated_file_lists_every_key_with_its_default() {
        let annotated = with_file(include_str!("../edgeflow-server.toml"), Args::default()).unwrap();
        assert_eq!(annotated, Config::load(Args::default()).unwrap());
        let keys = include_str!("../edgeflow-server.toml").lines().filter(|line| line.contains(" = ") && !line.starts_with('#'));
        assert_eq!(keys.count(), 16 + 9 + 3 + 4, "one line per field of `File`, `Retention`, `Captures` and `OpenLineage`");
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let args = Args { listen: Some("127.0.0.1:1".into()), ..Args::default() };
        let config = with_file("listen = \"127.0.0.1:2\"\nmqtt_listen = \"127.0.0.1:3\"", args).unwrap();
        assert_eq!((config.listen.port(), config.mqtt_listen.port()), (1, 3));
    }

    #[test]
    fn a_broker_of_ones_own_takes_the_place_of_the_one_inside() {
        let broker = |args| Config::load(args).map(|config| config.mqtt_broker);
        assert_eq!(broker(Args::default()).unwrap(), None);
        let url = || Some("mqtts://broker:8883".to_owned());
        let config =
            with_file("mqtt_broker = \"mqtts://other\"\nmqtt_broker_ca = \"ca.pem\"", Args { mqtt_broker: url(), ..Args::default() });
        let expected = BrokerOptions { url: "mqtts://broker:8883".into(), ca: Some("ca.pem".into()), ..BrokerOptions::default() };
        assert_eq!(config.unwrap().mqtt_broker, Some(expected));
        let both = Args { mqtt_broker: url(), mqtt_listen: Some("127.0.0.1:1".into()), ..Args::default() };
        assert!(broker(both).unwrap_err().to_string().contains("drop mqtt_listen"));
        let error = broker(Args { mqtt_broker_reload: Some("reload".into()), ..Args::default() }).unwrap_err().to_string();
        assert!(error.contains("mqtt_broker_reload is set without mqtt_broker"), "{error}");
    }

    #[test]
    fn a_key_that_does_not_exist_is_named_with_those_that_do() {
        let error = with_file("listn = \"127.0.0.1:2\"", Args::default()).unwrap_err().to_string();
        assert!(error.contains("listn") && error.contains("mqtt_listen") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn a_retention_policy_is_read_and_one_that_makes_no_sense_is_named() {
        let config = with_file("[retention]\nraw_days = 3\nkinds = { fault = 3650 }", Args::default()).unwrap();
        assert_eq!((config.retention.raw_days, config.retention.minute_days), (3, Policy::default().minute_days));
        assert_eq!(config.retention.kinds["fault"], 3650);
        let error = with_file("[retention]\nraw_days = 90", Args::default()).unwrap_err().to_string();
        assert!(error.contains("retention.minute_days: 60 is less than raw_days, 90"), "{error}");
        let error = with_file("[retention]\nrow_days = 90", Args::default()).unwrap_err().to_string();
        assert!(error.contains("row_days") && error.contains("minute_days"), "{error}");
        let error = with_file("[captures]\nmax_bytes = 1000", Args::default()).unwrap_err().to_string();
        assert!(error.contains("captures.max_capture_bytes: 536870912 is not in 1 to max_bytes, 1000"), "{error}");
    }

    #[test]
    fn addresses_other_machines_could_reach_are_refused_with_the_remedy() {
        for given in ["0.0.0.0:5000", "192.168.1.2:5000", "[::]:5000"] {
            let error = Config::load(Args { listen: Some(given.into()), ..Args::default() }).unwrap_err().to_string();
            assert!(error.contains(given) && error.contains("loopback") && error.contains("ssh -L"), "{error}");
        }
        let error = Config::load(Args { mqtt_listen: Some("1883".into()), ..Args::default() }).unwrap_err().to_string();
        assert!(error.contains("mqtt_listen \"1883\""), "{error}");
        assert!(Config::load(Args { listen: Some("[::1]:0".into()), ..Args::default() }).is_ok());
        let zenoh = |listen: &str| Config::load(Args { zenoh_listen: Some(listen.into()), ..Args::default() });
        assert_eq!((zenoh("").unwrap().zenoh_listen, zenoh("[::1]:7448").unwrap().zenoh_listen.unwrap().port()), (None, 7448));
        assert!(zenoh("7448").unwrap_err().to_string().contains("zenoh_listen \"7448\""));
        assert!(Config::load(Args { listen: Some("0.0.0.0:5000".into()), tls: true, ..Args::default() }).is_ok());
        let error = with_file("tls_names = [\"https://fleet\"]", Args::default()).unwrap_err().to_string();
        assert!(error.contains("https://fleet"), "{error}");
    }
}
