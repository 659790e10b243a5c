//! What a robot declares about its slots beside the inference node's: which there are, and what brings a bundle about: a command
//! or a ROS service.

use edgeflow_ros::{Client, Node, edgeflow_msgs::srv::LoadModel};
use edgeflow_wire::{SlotKind, SlotSpec};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::{io::AsyncReadExt, process::Command, sync::Mutex};

use crate::{BridgeError, Result, converge::SLOT, watched::Watched};

/// What is read of a command's words.
const MOST_WORDS: u64 = 4_096;
/// How long a command may take to say what is installed.
const SAY: Duration = Duration::from_secs(10);
/// How long what applies a slot is waited for before it counts as absent.
const FIND: Duration = Duration::from_secs(2);
/// How long one wait for it lasts.
const WAIT: Duration = Duration::from_secs(3_600);

/// The file `slots_file` names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    slots: BTreeMap<String, Setup>,
}

/// One slot, as declared.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    pub(crate) kind: SlotKind,
    #[serde(default)]
    apply: Vec<String>,
    service: Option<String>,
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    software: Vec<String>,
    pub(crate) watch: Option<PathBuf>,
    pub(crate) node: Option<String>,
    #[serde(default = "default_timeout_s")]
    timeout_s: f64,
}

fn default_timeout_s() -> f64 {
    120.0
}

/// Slots as `slots_file` declares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Setups(pub(crate) BTreeMap<String, Setup>);

impl Setups {
    /// Reads the file; none when there is no path.
    ///
    /// # Errors
    /// A file that cannot be read, or what is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if path.as_os_str().is_empty() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(path).map_err(BridgeError::file("read the slots", path))?;
        let wrong = |reason: String| BridgeError::Parameter { name: "slots_file", reason: format!("{}: {reason}", path.display()) };
        let File { slots } = serde_norway::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        for (name, setup) in &slots {
            setup.check(name).map_err(|reason| wrong(format!("slot {name}: {reason}")))?;
        }
        Ok(Self(slots))
    }
}

impl Setup {
    fn check(&self, name: &str) -> std::result::Result<(), String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
        if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
            return Err("a name has 1 to 63 lower-case letters, digits, '_' and '-'".to_owned());
        }
        if name == SLOT || self.kind.is_model() {
            return Err(format!("models are in slot {SLOT:?}, which needs no words here: give another name, and map, package or config"));
        }
        if self.apply.is_empty() == self.service.is_none() {
            return Err("give either \"apply\", a command with its arguments, or \"service\"".to_owned());
        }
        for command in [&self.apply, &self.remove, &self.software] {
            if command.first().is_some_and(|program| !Path::new(program).is_absolute()) {
                return Err("a command begins with the absolute path of its program".to_owned());
            }
        }
        if !(0.1..=86_400.0).contains(&self.timeout_s) {
            return Err(format!("timeout_s: {} is not in 0.1 to 86400", self.timeout_s));
        }
        Ok(())
    }
}

/// One slot with what brings bundles about.
pub(crate) struct Applier {
    pub(crate) setup: Setup,
    service: Option<Client<LoadModel::Service>>,
    watched: Option<Arc<Mutex<Watched>>>,
}

impl Applier {
    pub(crate) fn new(node: &Node, setup: &Setup) -> Result<Self> {
        let client = |name: &String| node.create_client(name).map_err(BridgeError::ros("call what applies a slot"));
        let watched = setup.watch.clone().map(|path| Arc::new(Mutex::new(Watched::new(path))));
        Ok(Self { setup: setup.clone(), service: setup.service.as_ref().map(client).transpose()?, watched })
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.setup.timeout_s)
    }

    /// Whether somebody is there to be asked.
    ///
    /// # Errors
    /// Who is not.
    pub(crate) async fn there(&self) -> std::result::Result<(), String> {
        let Some(service) = &self.service else { return Ok(()) };
        service.wait_for_service(FIND).await.map_err(|_| format!("nobody serves {}, which applies it", service.name()))
    }

    /// Waits until somebody is there.
    pub(crate) async fn served(&self) {
        let Some(service) = &self.service else { return };
        loop {
            match service.wait_for_service(WAIT).await {
                Ok(()) => return,
                Err(edgeflow_ros::Error::ServiceUnavailable { .. }) => {}
                // The graph is gone, and nobody will come.
                Err(_) => return std::future::pending().await,
            }
        }
    }

    /// Brings a bundle about whose files are in `folder`.
    ///
    /// # Errors
    /// Why it did not, in the words of who was asked.
    pub(crate) async fn apply(&self, slot: &str, spec: &SlotSpec, folder: &Path) -> std::result::Result<(), String> {
        let Some(service) = &self.service else {
            return run(&self.setup.apply, slot, Some((spec, folder)), self.timeout()).await.map(drop);
        };
        let request = LoadModel::Request {
            slot: slot.to_owned(),
            bundle_path: folder.to_string_lossy().into_owned(),
            model_name: spec.model.clone(),
            model_version: spec.version.clone(),
            digest: spec.digest.clone(),
        };
        let answer = service.call(&request, self.timeout()).await.map_err(|error| error.to_string())?;
        match answer {
            LoadModel::Response { success: true, digest, .. } if digest.is_empty() || digest == spec.digest => Ok(()),
            LoadModel::Response { success: true, digest, .. } => Err(format!("{} says that it applied {digest} instead", service.name())),
            LoadModel::Response { message, .. } if message.is_empty() => Err(format!("{} refused it without a reason", service.name())),
            LoadModel::Response { message, .. } => Err(message),
        }
    }

    /// Takes away what is there.
    pub(crate) async fn remove(&self, slot: &str) -> std::result::Result<(), String> {
        if self.setup.remove.is_empty() {
            return Err("its \"remove\" is not declared in slots_file, so what is there stays".to_owned());
        }
        run(&self.setup.remove, slot, None, self.timeout()).await.map(drop)
    }

    /// What is installed, as its own program says; empty where it says nothing.
    pub(crate) async fn software(&self, slot: &str) -> String {
        if self.setup.software.is_empty() {
            return String::new();
        }
        match run(&self.setup.software, slot, None, SAY).await {
            Ok(said) => said.lines().next().unwrap_or_default().trim().chars().take(200).collect(),
            Err(reason) => {
                tracing::warn!(slot, reason, "what is installed is not known");
                String::new()
            }
        }
    }

    /// Digest of the watched files as they are now: that of a bundle of just these files. Empty where none are watched or there.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub(crate) async fn files(&self) -> std::result::Result<String, String> {
        let Some(watched) = &self.watched else { return Ok(String::new()) };
        let mut watched = Arc::clone(watched).lock_owned().await;
        let read = tokio::task::spawn_blocking(move || watched.digest()).await;
        read.unwrap_or_else(|error| Err(error.into())).map_err(|error| format!("the files of {} cannot be read: {error}", self.watch()))
    }

    fn watch(&self) -> std::path::Display<'_> {
        self.setup.watch.as_deref().unwrap_or(Path::new("")).display()
    }
}

/// Runs a command to its end, the bundle's folder as its last argument. Answers what it said.
async fn run(argv: &[String], slot: &str, bundle: Option<(&SlotSpec, &Path)>, timeout: Duration) -> std::result::Result<String, String> {
    let Some((program, arguments)) = argv.split_first() else { return Err("no command is declared".to_owned()) };
    let mut command = Command::new(program);
    command.args(arguments).env("EDGEFLOW_SLOT", slot);
    if let Some((spec, folder)) = bundle {
        command.arg(folder).env("EDGEFLOW_NAME", &spec.model).env("EDGEFLOW_VERSION", &spec.version).env("EDGEFLOW_DIGEST", &spec.digest);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("{program} does not start: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(timeout, async { tokio::join!(head(stdout), head(stderr), child.wait()) });
    let Ok((said, complained, status)) = ended.await else {
        return match child.kill().await {
            Ok(()) => Err(format!("{program} did not end within {} s and was ended", timeout.as_secs_f64())),
            Err(error) => Err(format!("{program} did not end within {} s, and could not be ended: {error}", timeout.as_secs_f64())),
        };
    };
    let status = status.map_err(|error| format!("{program}: {error}"))?;
    if status.success() {
        return Ok(said);
    }
    let words = if complained.trim().is_empty() { said } else { complained };
    Err(format!("{program} ended with {status}: {}", words.trim()))
}

/// The beginning of what a program says; the rest is read and forgotten, so that it never waits for us.
async fn head(from: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let Some(from) = from else { return String::new() };
    let (mut bytes, mut head) = (Vec::new(), from.take(MOST_WORDS));
    if head.read_to_end(&mut bytes).await.is_ok() {
        drop(tokio::io::copy(head.get_mut(), &mut tokio::io::sink()).await);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setups(text: &str) -> std::result::Result<Setups, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slots.yaml");
        std::fs::write(&path, text).unwrap();
        Setups::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn slots_are_read_and_what_is_wrong_is_named() {
        let good =
            setups("slots: { map: { kind: map, apply: [/bin/true, -v], watch: /etc/map }, nav: { kind: package, service: nav/apply } }");
        assert_eq!(good.unwrap().0.keys().collect::<Vec<_>>(), ["map", "nav"]);
        assert!(Setups::read(Path::new("")).unwrap().0.is_empty());
        for (text, says) in [
            ("slots: { default: { kind: map, apply: [/bin/true] } }", "models are in slot"),
            ("slots: { m: { kind: model, apply: [/bin/true] } }", "models are in slot"),
            ("slots: { M: { kind: map, apply: [/bin/true] } }", "lower-case"),
            ("slots: { m: { kind: map } }", "either"),
            ("slots: { m: { kind: map, apply: [/bin/true], service: s } }", "either"),
            ("slots: { m: { kind: map, apply: [true-ish] } }", "absolute"),
            ("slots: { m: { kind: map, apply: [/bin/true], timeout_s: 0 } }", "timeout_s"),
            ("slots: { m: { kind: mop, apply: [/bin/true] } }", "mop"),
            ("slots: { m: { kind: map, apply: [/bin/true], wach: /x } }", "wach"),
        ] {
            let reason = setups(text).unwrap_err();
            assert!(reason.starts_with("parameter slots_file:") && reason.contains(says), "{text}: {reason}");
        }
    }

    #[tokio::test]
    async fn a_command_gets_the_folder_and_fails_with_its_own_words_or_by_the_clock() {
        let shell = |script: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned(), "apply".to_owned()];
        let spec = SlotSpec { kind: SlotKind::Map, model: "hall".into(), version: "3".into(), digest: "d".into(), files: vec![] };
        let bundle = Some((&spec, Path::new("/the/folder")));
        let long = Duration::from_secs(30);
        let said = run(&shell("echo $1 $EDGEFLOW_SLOT $EDGEFLOW_NAME $EDGEFLOW_VERSION"), "map", bundle, long).await;
        assert_eq!(said.unwrap(), "/the/folder map hall 3\n");
        let refused = run(&shell("echo no such hall >&2; exit 3"), "map", bundle, long).await.unwrap_err();
        assert!(refused.contains("exit status: 3") && refused.contains("no such hall"), "{refused}");
        let late = run(&["/bin/sleep".to_owned(), "600".to_owned()], "map", None, Duration::from_millis(50)).await.unwrap_err();
        assert!(late.contains("did not end within 0.05 s"), "{late}");
        assert!(run(&["/no/such/program".to_owned()], "map", None, long).await.unwrap_err().contains("does not start"));
    }
}
