//! `cargo xtask test-ros`: the workspace built by colcon against the ROS 2 that is sourced, built again with a message that
//! changed, the conformance suite on the r2r door, and the tests that drive robots as their users do, under every RMW that is installed.

use anyhow::{Context, Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use super::{Counts, Outcome, changed_message, reports, summarise};
use crate::{demo, repo};

/// The RMWs we answer for.
const RMWS: [&str; 3] = ["rmw_cyclonedds_cpp", "rmw_fastrtps_cpp", ZENOH];
const ZENOH: &str = "rmw_zenoh_cpp";
/// Cargo packages of the nodes, as in edgeflow_cargo_nodes.cmake.
const NODES: [&str; 5] = ["edgeflow_bridge", "edgeflow_inference", "edgeflow_markers", "edgeflow_ros", "edgeflow_sim"];
/// One test at a time: each is a graph of its own in this domain.
const DOMAIN: &str = "58";

/// Options of `cargo xtask test-ros`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this RMW
    #[arg(long, value_parser = RMWS)]
    rmw: Option<String>,
    /// Only the tests whose names contain this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Some(prefixes) = env::var_os("AMENT_PREFIX_PATH") else {
        bail!("no ROS 2 is sourced: run `source /opt/ros/jazzy/setup.bash` first; `cargo xtask test` needs none");
    };
    let ros = Ros { folder: repo::target()?.join("ros") };
    let installed =
        |rmw: &&str| env::split_paths(&prefixes).any(|p| p.join("share/ament_index/resource_index/packages").join(rmw).is_file());
    let wanted: Vec<_> = RMWS.into_iter().filter(|rmw| args.rmw.as_deref().is_none_or(|only| only == *rmw)).collect();
    let mut outcomes = Vec::new();
    let mut stage = |name: String, run: &dyn Fn() -> Result<Counts>| {
        println!("\n== {name}");
        let outcome = Outcome::of(name, run);
        let passed = outcome.error.is_none();
        outcomes.push(outcome);
        passed
    };
    if stage("colcon build".into(), &|| ros.build()) {
        if args.rmw.is_none() && args.only.is_none() {
            stage("a changed message".into(), &|| changed_message::check(&ros));
        }
        for rmw in wanted {
            if !installed(&rmw) {
                println!("\n{rmw} is not installed: `apt install ros-$ROS_DISTRO-{}`", rmw.replace('_', "-"));
                stage(format!("{rmw}: absent"), &|| Ok(Counts { passed: 0, failed: 0, skipped: 1 }));
                continue;
            }
            stage(format!("{rmw}: conformance"), &|| ros.conformance(rmw, args.only.as_deref()));
            stage(format!("{rmw}: robots"), &|| ros.robots(rmw, args.only.as_deref()));
        }
    }
    summarise(&outcomes)
}

pub(super) struct Ros {
    /// Where colcon builds and installs.
    pub(super) folder: PathBuf,
}

impl Ros {
    fn build(&self) -> Result<Counts> {
        if repo::on_path(&["colcon"]).is_none() {
            bail!("no colcon on the PATH: `apt install python3-colcon-common-extensions`");
        }
        // Programs of the embedded stack, for the tests in which both are one graph.
        demo::build_programs()?;
        let mut colcon = repo::command("colcon")?;
        colcon.arg("--log-base").arg(self.folder.join("log")).args([
            "build",
            "--event-handlers",
            "console_direct+",
            "--base-paths",
            "ros_ws/src",
        ]);
        colcon.arg("--build-base").arg(self.folder.join("build")).arg("--install-base").arg(self.folder.join("install"));
        repo::run(&mut repo::without_own_package(colcon)?)?;
        Ok(Counts::ONE)
    }

    /// A command with the workspace's overlay sourced.
    ///
    /// `over` is the setup file of an overlay of it.
    pub(super) fn sourced(&self, over: Option<&Path>, rmw: &str, command: &[&str]) -> Result<Command> {
        let mut bash = repo::without_own_package(repo::command("bash")?)?;
        let setup = over.map_or_else(|| self.folder.join("install/setup.bash"), Path::to_owned);
        bash.args(["-c", ". \"$0\" && exec \"$@\""]).arg(setup).args(command);
        if rmw == ZENOH {
            // Sessions of peers deadlock when many start at once, see docs/ros2.md.
            bash.env("ZENOH_CONFIG_OVERRIDE", "mode=\"client\"");
        }
        bash.env("RMW_IMPLEMENTATION", rmw).env("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST").env("ROS_DOMAIN_ID", DOMAIN);
        Ok(bash)
    }

    /// Cargo for the nodes on r2r, with the features that colcon builds them with (`edgeflow_cargo_build.cmake`).
    pub(super) fn cargo(&self, over: Option<&Path>, rmw: &str, command: &[&str]) -> Result<Command> {
        let mut cargo = self.sourced(over, rmw, &["ros_ws/src/edgeflow_ros/cmake/with_interfaces.sh", "cargo"])?;
        cargo.args(command).args(["--no-default-features", "--features", "edgeflow_ros/r2r,edgeflow_bridge/zenoh"]);
        cargo.arg("--target-dir").arg(self.folder.join("build/cargo"));
        // The features of all nodes, as colcon builds them: r2r is compiled once.
        cargo.args(NODES.iter().flat_map(|package| ["--package", package]));
        Ok(cargo)
    }

    /// What is written for both doors, run on this one.
    fn conformance(&self, rmw: &str, only: Option<&str>) -> Result<Counts> {
        let _router = self.router(rmw)?;
        // nextest keeps its reports in the checkout, wherever the build folder is.
        let report = repo::root()?.join("target/nextest/default/junit.xml");
        let _ = fs::remove_file(&report);
        // Some tests are about whole programs: those are the examples, which `--test` does not build.
        let mut examples = self.cargo(None, rmw, &["build", "--release", "--examples"])?;
        repo::run(&mut examples)?;
        let mut tests = self.cargo(None, rmw, &["nextest", "run", "--cargo-profile", "release"])?;
        tests.args(["--test", "conformance", "--test-threads", "1", "--no-fail-fast", "--status-level", "slow"]);
        tests.args(only);
        let status = tests.status()?;
        reports::counted(&report, status.success())
    }

    fn robots(&self, rmw: &str, only: Option<&str>) -> Result<Counts> {
        let report = reports::fresh(&format!("ros-{rmw}"))?;
        let mut tests = self.sourced(
            None,
            rmw,
            &["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "ros_ws/test", "launch/test", "rviz/test"],
        )?;
        tests.arg(format!("--junitxml={}", report.display())).env("PYTHONDONTWRITEBYTECODE", "1");
        // The plugins of ROS's own test packages want a pytest of a certain age, and none is needed.
        tests.env("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1");
        if let Some(only) = only {
            tests.args(["-k", only]);
        }
        let status = tests.env("EDGEFLOW_BIN_DIR", repo::programs()?).status()?;
        reports::counted(&report, status.success())
    }

    /// rmw_zenoh needs a router; this one listens on loopback alone.
    fn router(&self, rmw: &str) -> Result<Option<Router>> {
        if rmw != ZENOH {
            return Ok(None);
        }
        let began = Instant::now();
        // Not by `ros2 run`: that would stand between the router and its end.
        let prefixes = env::var_os("AMENT_PREFIX_PATH").unwrap_or_default();
        let program = env::split_paths(&prefixes).map(|p| p.join("lib/rmw_zenoh_cpp/rmw_zenohd")).find(|p| p.is_file());
        let mut router = Command::new(program.context("no rmw_zenohd in the prefixes of AMENT_PREFIX_PATH")?);
        router.env("ZENOH_CONFIG_OVERRIDE", "listen/endpoints=[\"tcp/127.0.0.1:7447\"]").stdout(Stdio::null());
        let router = Router(router.spawn().context("could not start rmw_zenohd")?);
        while std::net::TcpStream::connect("127.0.0.1:7447").is_err() {
            if began.elapsed().as_secs() > 30 {
                bail!("rmw_zenohd does not listen on 127.0.0.1:7447");
            }
            std::thread::park_timeout(std::time::Duration::from_millis(100));
        }
        Ok(Some(router))
    }
}

struct Router(Child);

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
