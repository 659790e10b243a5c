//! What this program goes by, and where each value comes from: a flag, the environment, `config.json`, what `edgeflow login` stored, or the
//! default, in this order.

use serde::{Deserialize, Serialize};
use std::{
    env, fmt, fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{error::CliError, login::Login, output::Format};

/// Where the control plane is looked for when nobody says.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:5000";

/// What the command line said.
static FLAGS: OnceLock<(Option<String>, Option<Format>)> = OnceLock::new();

/// Says which control plane and which format the command line named.
pub(crate) fn choose(url: Option<String>, output: Option<Format>) {
    let _ = FLAGS.set((url, output));
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    File(PathBuf),
    Login(PathBuf),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Login(path) => write!(f, "login {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// `config.json`: no secrets, which `login.json` has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Format>,
}

/// This program's folder; `None` of a user without a home.
pub(crate) fn folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(base.join("edgeflow"))
}

impl ConfigFile {
    /// Where it is kept.
    pub(crate) fn place() -> Option<PathBuf> {
        Some(folder()?.join("config.json"))
    }

    /// What is set; nothing where there is no file.
    pub(crate) fn load() -> Result<Self, CliError> {
        let Some(path) = Self::place() else { return Ok(Self::default()) };
        let shown = path.display().to_string();
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| CliError::Input {
                path: shown,
                reason: format!("it does not read ({error}): mend it, or remove it and use edgeflow config set"),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            // A home that is no folder has no file in it.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Self::default()),
            Err(source) => Err(CliError::Read { path: shown, source }),
        }
    }

    /// Keeps it.
    pub(crate) fn store(&self) -> Result<PathBuf, CliError> {
        let path = Self::place()
            .ok_or_else(|| CliError::Input { path: "HOME".into(), reason: "it is not set, so there is no place for settings".into() })?;
        let failed = |source| CliError::Write { path: path.display().to_string(), source };
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))? + "\n";
        let beside = path.with_extension("new");
        fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path)).map_err(failed)?;
        Ok(path)
    }
}

fn variable(name: &'static str) -> Option<Setting<String>> {
    let value = env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(Setting { value, origin: Origin::Environment(name) })
}

fn of_file(value: Option<String>) -> Option<Setting<String>> {
    Some(Setting { value: value?, origin: Origin::File(ConfigFile::place()?) })
}

/// The control plane that is meant, where that is not left to the login.
fn named_url(file: &ConfigFile) -> Option<Setting<String>> {
    let flag = FLAGS.get().and_then(|flags| flags.0.clone()).map(|value| Setting { value, origin: Origin::Flag("--url") });
    let named = flag.or_else(|| variable("EDGEFLOW_URL")).or_else(|| of_file(file.url.clone()));
    named.map(|Setting { value, origin }| Setting { value: value.trim_end_matches('/').to_owned(), origin })
}

/// The control plane, and the right to speak to it.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) url: Setting<String>,
    /// Never shown.
    pub(crate) token: Option<Setting<String>>,
    pub(crate) ca: Option<Setting<String>>,
}

impl Connection {
    /// What is set now.
    pub(crate) fn now() -> Result<Self, CliError> {
        let file = ConfigFile::load()?;
        let (given, token) = (named_url(&file), variable("EDGEFLOW_TOKEN"));
        let ca = variable("EDGEFLOW_CA").or_else(|| of_file(file.ca));
        // What was stored is for the address it was stored with, and is not even read when nothing of it is needed.
        let stored = if given.is_some() && token.is_some() { None } else { Login::load()? };
        let of_login = |value: String| Setting { value, origin: Login::place().map_or(Origin::Default, Origin::Login) };
        let url = given.or_else(|| stored.as_ref().map(|login| of_login(login.url.clone())));
        let url = url.unwrap_or_else(|| Setting { value: DEFAULT_URL.to_owned(), origin: Origin::Default });
        let stored = stored.filter(|login| login.url == url.value);
        let token = token.or_else(|| stored.as_ref().map(|login| of_login(login.token.clone())));
        let ca = ca.or_else(|| stored.and_then(|login| login.ca).map(of_login));
        Ok(Self { url, token, ca })
    }
}

/// How lists and documents are printed.
pub(crate) fn format() -> Result<Setting<Format>, CliError> {
    if let Some(value) = FLAGS.get().and_then(|flags| flags.1) {
        return Ok(Setting { value, origin: Origin::Flag("--output") });
    }
    if let Some(Setting { value, origin }) = variable("EDGEFLOW_OUTPUT") {
        let value = value.parse().map_err(|reason| CliError::Input { path: "EDGEFLOW_OUTPUT".to_owned(), reason })?;
        return Ok(Setting { value, origin });
    }
    let file = ConfigFile::load()?;
    Ok(match (file.output, ConfigFile::place()) {
        (Some(value), Some(path)) => Setting { value, origin: Origin::File(path) },
        _ => Setting { value: Format::default(), origin: Origin::Default },
    })
}
