//! The stages, in the order in which a failure is cheapest to find.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use super::{
    Counts,
    reports::{counted, fresh},
};
use crate::{debian, demo, layers, node, python, readme, repo, soak, wheel};

/// One stage: what it is called, whether it is part of the inner loop, what it does.
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) quick: bool,
    pub(super) run: fn() -> Result<Counts>,
}

pub(super) const ALL: &[Stage] = &[
    Stage { name: "format", quick: true, run: format },
    Stage { name: "layers", quick: true, run: arrows },
    Stage { name: "deny", quick: false, run: deny },
    Stage { name: "web", quick: true, run: web },
    Stage { name: "lint", quick: true, run: lint },
    Stage { name: "rust", quick: true, run: rust },
    Stage { name: "readme", quick: false, run: readmes },
    Stage { name: "r2r", quick: false, run: r2r },
    Stage { name: "python", quick: false, run: python_tests },
    Stage { name: "demo", quick: false, run: story },
    Stage { name: "faults", quick: false, run: faults },
    Stage { name: "fuzz", quick: false, run: fuzz },
];

/// The story and the browser share this long.
const STORY_LIMIT: Duration = Duration::from_secs(600);

fn format() -> Result<Counts> {
    repo::run(repo::cargo()?.args(["fmt", "--all", "--check"]))?;
    Ok(Counts::ONE)
}

fn arrows() -> Result<Counts> {
    layers::run()?;
    Ok(Counts::ONE)
}

/// Licences, sources and bans. Its advisory database cannot be fetched everywhere, so that part is left to a scheduled job.
fn deny() -> Result<Counts> {
    let mut deny = repo::command(tool("cargo-deny")?)?;
    repo::run(deny.args(["--all-features", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    Ok(Counts::ONE)
}

fn web() -> Result<Counts> {
    let (node, web) = (node::Node::find()?, repo::root()?.join("server/web"));
    node::install(&node, &web)?;
    repo::run(node.npm(&web)?.args(["run", "--silent", "check"]))?;
    let report = fresh("web")?;
    let status = node
        .npm(&web)?
        .args(["run", "--silent", "test", "--", "--reporter=default", "--reporter=junit"])
        .arg(format!("--outputFile.junit={}", report.display()))
        .status()?;
    node::build_dashboard(&node)?;
    counted(&report, status.success())
}

fn lint() -> Result<Counts> {
    repo::run(repo::cargo()?.args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    Ok(Counts::ONE)
}

fn rust() -> Result<Counts> {
    let nextest = tool("cargo-nextest")?;
    let onnxruntime = wheel::onnxruntime()?;
    // The uplinks' contract runs over it, too. Debian keeps it where the PATH of people does not lead.
    debian::ensure(&["mosquitto", "/usr/sbin/mosquitto"], "mosquitto")?;
    let report = repo::target()?.join("nextest/default/junit.xml");
    let _ = fs::remove_file(&report);
    let status = repo::without_own_package(repo::command(nextest)?)?
        .args(["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "slow"])
        .env("ORT_DYLIB_PATH", onnxruntime)
        .status()?;
    counted(&report, status.success())
}

/// What the READMEs say of nodes, against nodes that run.
fn readmes() -> Result<Counts> {
    readme::run(&readme::Args { check: true })?;
    Ok(Counts::ONE)
}

/// The same node sources against r2r's own types. What this does not catch: anything at run time, and the C type support.
fn r2r() -> Result<Counts> {
    let folder = repo::target()?.join("r2r-check");
    repo::run(
        repo::cargo()?
            .args(["check", "--package", "edgeflow_inference", "--package", "edgeflow_bridge", "--package", "edgeflow_markers"])
            // Without edgeflow_sim's feature "demo", which brings the embedded stack's router.
            .args([
                "--package",
                "edgeflow_sim",
                "--package",
                "edgeflow_ros",
                "--no-default-features",
                "--features",
                "edgeflow_ros/doc-only",
                "--target-dir",
            ])
            .arg(folder),
    )?;
    Ok(Counts::ONE)
}

fn python_tests() -> Result<Counts> {
    let python = python::environment(python::TESTS)?;
    // `edgeflow doctor` is shown clocks that are wrong.
    debian::ensure(&["faketime"], "faketime")?;
    demo::build_programs()?;
    repo::run(repo::cargo()?.args(["build", "--workspace", "--example", "statistics", "--example", "comparison"]))?;
    let report = fresh("python")?;
    let status = repo::command(python)?
        .args([
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "sim/models",
            "model/drift/tests",
            "server/core/tests",
            "server/tests",
            "server/python/tests",
            "rviz/test",
            "ros_ws/src/edgeflow_inference/tests",
            "bridge/tests",
            "cli/tests",
        ])
        .arg(format!("--junitxml={}", report.display()))
        .env("EDGEFLOW_BIN_DIR", repo::programs()?)
        .env("ORT_DYLIB_PATH", wheel::onnxruntime()?)
        .env("EDGEFLOW_DRIFT_STATISTICS", repo::programs()?.join("examples/statistics"))
        .env("EDGEFLOW_GATE_COMPARISON", repo::programs()?.join("examples/comparison"))
        .env("EDGEFLOW_RENDER_FRAMES", repo::programs()?.join("render_frames"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status()?;
    counted(&report, status.success())
}

/// The demo as a new user sees it, with a browser that watches its pages while the story goes.
fn story() -> Result<Counts> {
    debian::ensure(&["chromium", "chromium-browser", "google-chrome"], "chromium")?;
    let node = node::Node::find()?;
    let mut demo = demo::prepared()?;
    let folder = repo::target()?.join("demo");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let (junit, told) = (fresh("browser")?, folder.join("report.json"));
    let (port, ros_port) = (free_port()?, free_port()?);
    let token = format!("test-{port}-{ros_port}");
    let data = folder.join("data");
    demo.args(["--headless", "--port", &port.to_string(), "--ros-port", &ros_port.to_string()]);
    demo.arg("--report").arg(&told).arg("--data-dir").arg(&data).env("EDGEFLOW_ADMIN_TOKEN", &token);
    let demo = Running(demo.spawn().context("could not start the demo")?);

    let web = repo::root()?.join("server/web");
    let mut browser = node.npm(&web)?;
    browser.args(["run", "--silent", "e2e"]);
    browser.env("EDGEFLOW_URL", format!("http://127.0.0.1:{port}")).env("EDGEFLOW_TOKEN", &token).env("EDGEFLOW_JUNIT", &junit);
    browser.env("EDGEFLOW_STORY_REPORT", &told).env("EDGEFLOW_SCREENSHOTS", folder.join("screenshots"));
    browser.env("EDGEFLOW_BIN_DIR", repo::programs()?);
    let browser = Running(browser.spawn().context("could not start the browser test")?).wait(STORY_LIMIT)?;

    demo.interrupt()?;
    let told_well = demo.wait(Duration::from_secs(30))?;
    if !told_well {
        bail!("the demo did not end with 0 after an interrupt: see {}", data.join("logs").display());
    }
    Ok(counted(&junit, browser)? + steps(&told)?)
}

/// Twenty robots under faults for a minute with tokens, then for one with certificates; a seed of its own each time, which is printed.
fn faults() -> Result<Counts> {
    let minute = ["--robots", "20", "--minutes", "1", "--heal-minutes", "2"];
    repo::run(soak::prepared()?.args(minute))?;
    repo::run(soak::prepared()?.args(minute).arg("--tls"))?;
    Ok(Counts { passed: 2, ..Counts::default() })
}

/// Each fuzz target for a while, from its seeds and what earlier runs found. Without a sanitizer, so the stable toolchain will do.
fn fuzz() -> Result<Counts> {
    const TARGETS: [(&str, &[&str]); 4] = [("wire", &[]), ("edge_log", &[]), ("search", &[]), ("gateway", &["--features", "gateway"])];
    const SECONDS: u32 = 20;
    /// The gateway's brings the whole control plane with it: optimised and instrumented, that takes three times as long to build.
    const QUICKLY_BUILT: [(&str, &str); 3] =
        [("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"), ("CARGO_PROFILE_RELEASE_DEBUG", "false")];
    let fuzz = match (repo::on_path(&["c++", "g++", "clang++"]), tool("cargo-fuzz")) {
        (None, _) => Err("no C++ compiler, which libFuzzer is built with: apt-get install g++".to_owned()),
        (_, Err(error)) => Err(format!("{error:#}")),
        (Some(_), Ok(fuzz)) => Ok(fuzz),
    };
    let fuzz = match fuzz {
        Ok(fuzz) => fuzz,
        Err(reason) => {
            println!("skipped: {reason}");
            return Ok(Counts { skipped: TARGETS.len() as u64, ..Counts::default() });
        }
    };
    let (root, folder) = (repo::root()?, repo::target()?.join("fuzz"));
    // The versions that everything else is built with.
    fs::copy(root.join("Cargo.lock"), root.join("fuzz/Cargo.lock"))?;
    let mut counts = Counts::default();
    for (target, features) in TARGETS {
        let corpus = folder.join("corpus").join(target);
        fs::create_dir_all(&corpus)?;
        let mut command = repo::without_own_package(repo::command(&fuzz)?)?;
        command.current_dir(root.join("fuzz")).args(["run", "--sanitizer", "none", "--target-dir"]).arg(&folder).args(features).arg(target);
        command.arg(&corpus).arg(root.join("fuzz/seeds").join(target));
        if !features.is_empty() {
            command.envs(QUICKLY_BUILT);
        }
        command.args([
            "--",
            &format!("-max_total_time={SECONDS}"),
            "-timeout=20",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
            "-verbosity=0",
        ]);
        match repo::run(&mut command) {
            Ok(()) => counts.passed += 1,
            Err(error) => {
                eprintln!("{error:#}: what broke it is in fuzz/artifacts/{target}");
                counts.failed += 1;
            }
        }
    }
    Ok(counts)
}

#[derive(Deserialize)]
struct Report {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    name: String,
    ok: bool,
    detail: String,
}

/// Each step of the story is a test.
fn steps(report: &Path) -> Result<Counts> {
    let text = fs::read_to_string(report).with_context(|| format!("the demo left no {}", report.display()))?;
    let report: Report = serde_json::from_str(&text).context("could not read the demo's report")?;
    let mut counts = Counts::default();
    for step in report.steps {
        if step.ok {
            counts.passed += 1;
        } else {
            counts.failed += 1;
            eprintln!("step {:?} did not hold: {}", step.name, step.detail);
        }
    }
    Ok(counts)
}

/// A child that is not left behind, however a stage ends.
struct Running(Child);

impl Running {
    fn interrupt(&self) -> Result<()> {
        repo::run(Command::new("kill").args(["-INT", &self.0.id().to_string()]))
    }

    /// Whether it ended with 0 within the limit.
    fn wait(mut self, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status.success());
            }
            if Instant::now() > deadline {
                bail!("still running after {}", repo::human(limit));
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.interrupt();
            let deadline = Instant::now() + Duration::from_secs(15);
            while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(100));
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A cargo tool: the one on the PATH, else built into the build folder.
fn tool(name: &str) -> Result<PathBuf> {
    let home = repo::fetched()?.join("tools");
    let built = home.join("bin").join(name);
    if let Some(found) = repo::on_path(&[name]).or_else(|| built.is_file().then(|| built.clone())) {
        return Ok(found);
    }
    println!("building {name}: it is not on the PATH");
    repo::run(repo::cargo()?.args(["install", "--locked", "--quiet", name, "--root"]).arg(home).env("CARGO_PROFILE_RELEASE_LTO", "off"))
        .with_context(|| format!("could not install {name}: run `cargo install --locked {name}`"))?;
    Ok(built)
}
