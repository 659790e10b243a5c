//! `cargo xtask readme`: the tables of parameters in the packages' READMEs are written by the nodes themselves, and those of topics,
//! services and actions, where a README has marks for them, by their `--help`. What READMEs, help and launch files say is
//! held against nodes that run.

use anyhow::{Context, Result, bail};
use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    demo,
    interfaces::{self, Interface},
    repo, wheel,
};

/// Every parameter of every node, for launch files.
const LAUNCHED: &str = "launch/config/robot.yaml";
/// A node that is not on the graph by then has not come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Options of `cargo xtask readme`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing, and fail when something would change
    #[arg(long)]
    pub(crate) check: bool,
}

/// A node and what is said of it.
struct Subject {
    program: &'static str,
    readme: &'static str,
    /// Parameters without a default.
    required: &'static [&'static str],
}

const SUBJECTS: &[Subject] = &[
    Subject { program: "inference_node", readme: "ros_ws/src/edgeflow_inference/README.md", required: &[] },
    Subject { program: "drift_markers_node", readme: "ros_ws/src/edgeflow_markers/README.md", required: &[] },
    Subject { program: "bridge_node", readme: "bridge/README.md", required: &["robot", "data_dir", "token_file"] },
    Subject { program: "sim_robot", readme: "sim/README.md", required: &[] },
];

/// What every node has, and its package's README need not say.
const EVERY_NODE: &[&str] = &["use_sim_time"];

pub(crate) fn run(args: &Args) -> Result<()> {
    demo::build_programs()?;
    let complaints = complaints(args.check)?;
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    if !complaints.is_empty() {
        bail!("{} statements about nodes are not so; `cargo xtask readme` writes the tables anew", complaints.len());
    }
    Ok(())
}

/// Everything that is said and not so. Programs must have been built.
pub(crate) fn complaints(check: bool) -> Result<Vec<String>> {
    let graph = Graph::start()?;
    let mut complaints = Vec::new();
    for subject in SUBJECTS {
        let node = graph.node(subject)?;
        let path = repo::root()?.join(subject.readme);
        let before = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        let described = interfaces::parse(&help(subject.program)?)?;
        let mut readme = replaced(&before, "parameters", &node.parameters(subject)?).with_context(|| subject.readme.to_owned())?;
        for kind in interfaces::KINDS {
            if readme.contains(&begin(kind)) {
                readme = replaced(&readme, kind, &interfaces::table(&described, kind)).with_context(|| subject.readme.to_owned())?;
            }
        }
        if readme != before && check {
            complaints.push(format!("{}: its tables are not what {} says", subject.readme, subject.program));
        } else if readme != before {
            fs::write(&path, &readme).with_context(|| format!("could not write {}", path.display()))?;
        }
        for interface in &described {
            complaints.extend(node.complaint(interface)?.map(|what| format!("{} --help: {what}", subject.program)));
        }
        for (name, of_type) in node.interfaces()? {
            if !says(&readme, &name, &of_type) {
                complaints.push(format!("{}: no table has `{name}` of type `{of_type}`, which {} has", subject.readme, subject.program));
            }
        }
        complaints.extend(node.not_launched(subject)?);
    }
    Ok(complaints)
}

/// Between this line of a README and [`end`] nobody writes by hand.
fn begin(kind: &str) -> String {
    format!("<!-- {kind}: written by `cargo xtask readme` -->")
}

fn end(kind: &str) -> String {
    format!("<!-- end of {kind} -->")
}

/// The README with another table between the marks.
fn replaced(readme: &str, kind: &str, table: &str) -> Result<String> {
    let (begin, end) = (begin(kind), end(kind));
    let (before, rest) = readme.split_once(&begin).with_context(|| format!("no line {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no line {end}"))?;
    Ok(format!("{before}{begin}\n{table}{end}{after}"))
}

fn help(program: &str) -> Result<String> {
    let mut command = Command::new(built(program)?);
    let output = command.arg("--help").output().with_context(|| format!("could not start `{}`", repo::shown(&command)))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a row of a table names it with its type.
fn says(readme: &str, name: &str, of_type: &str) -> bool {
    let (name, of_type) = (format!("`{name}`"), format!("`{of_type}`"));
    readme.lines().any(|line| line.starts_with('|') && line.contains(&name) && line.contains(&of_type))
}

/// A ROS graph of our own: a router, and one node at a time.
struct Graph {
    _router: Program,
    address: String,
    folder: PathBuf,
}

impl Graph {
    fn start() -> Result<Self> {
        let mut router = Command::new(built("edgeflow")?);
        router.args(["ros", "router", "--router", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut router = Program(router.spawn().context("could not start the router")?);
        let mut line = String::new();
        // Left open: the router has more to say.
        BufReader::new(router.0.stdout.as_mut().context("the router has no output")?).read_line(&mut line)?;
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        let folder = repo::target()?.join("readme");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("token"), "a token that opens nothing")?;
        Ok(Self { _router: router, address, folder })
    }

    fn node(&self, subject: &Subject) -> Result<Node<'_>> {
        let mut program = Command::new(built(subject.program)?);
        program.arg("--ros-args").current_dir(&self.folder);
        for name in subject.required {
            let value = match *name {
                "robot" => "robot-1".to_owned(),
                "data_dir" => self.folder.display().to_string(),
                _ => self.folder.join("token").display().to_string(),
            };
            program.arg("-p").arg(format!("{name}:={value}"));
        }
        let log = self.folder.join(format!("{}.log", subject.program));
        let file = fs::File::create(&log)?;
        program.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        program.env("EDGEFLOW_ROS_ROUTER", &self.address).env("ORT_DYLIB_PATH", wheel::onnxruntime()?).env("ROS_LOG_DIR", &self.folder);
        let running = Program(program.spawn().with_context(|| format!("could not start {}", subject.program))?);
        let mut node = Node { graph: self, name: format!("/{}", subject.program), running };
        let began = Instant::now();
        while node.tool(&["param", "describe", &node.name]).is_err() {
            let ended = node.running.0.try_wait()?.is_some();
            if ended || began.elapsed() > PATIENCE {
                bail!("{} did not come up: {}", subject.program, fs::read_to_string(&log).unwrap_or_default());
            }
        }
        Ok(node)
    }
}

/// A node that runs.
struct Node<'g> {
    graph: &'g Graph,
    name: String,
    running: Program,
}

impl Node<'_> {
    /// What `edgeflow ros` prints.
    fn tool(&self, arguments: &[&str]) -> Result<String> {
        let mut tool = Command::new(built("edgeflow")?);
        tool.arg("ros").args(arguments).env("EDGEFLOW_ROS_ROUTER", &self.graph.address);
        let done = tool.output().with_context(|| format!("could not start `{}`", repo::shown(&tool)))?;
        if !done.status.success() {
            bail!("`{}`: {}", repo::shown(&tool), String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// The table of parameters, as the README has it.
    fn parameters(&self, subject: &Subject) -> Result<String> {
        let folder = self.graph.folder.display().to_string();
        let mut table = String::new();
        for row in self.tool(&["param", "describe", &self.name, "--markdown"])?.lines() {
            let name = row.split('`').nth(1).unwrap_or_default();
            // Names of QoS overrides follow the topics; a row of prose has them.
            if EVERY_NODE.contains(&name) || name.starts_with("qos_overrides.") {
                continue;
            }
            if subject.required.contains(&name) {
                let cells: Vec<_> = row.split(" | ").collect();
                let _ = writeln!(table, "{} | {} | required | {}", cells[0], cells[1], cells[3..].join(" | "));
            } else {
                let _ = writeln!(table, "{}", row.replace(&folder, "."));
            }
        }
        Ok(table)
    }

    /// What of a statement about a topic, service or action is not so.
    fn complaint(&self, said: &Interface) -> Result<Option<String>> {
        let name = match said.name.strip_prefix("~") {
            Some(own) => format!("{}{own}", self.name),
            None => format!("/{}", said.name.trim_start_matches('/')),
        };
        let tool = said.kind.trim_end_matches('s');
        let Some((_, of_type)) = self.list(tool)?.into_iter().find(|(there, _)| *there == name) else {
            // A condition that does not hold just now.
            return Ok(said.condition.is_none().then(|| format!("the node has no {tool} {}", said.name)));
        };
        if of_type != said.of_type {
            return Ok(Some(format!("{tool} {} is of type {of_type}, not {}", said.name, said.of_type)));
        }
        if tool == "topic" {
            let side = if said.is_out { "Publisher" } else { "Subscription" };
            if self.tool(&["topic", "info", &name])?.contains(&format!("{side} count: 0")) {
                return Ok(Some(format!("the node has no {} of topic {}", side.to_lowercase(), said.name)));
            }
        }
        Ok(None)
    }

    /// All topics, services or actions, with their types.
    fn list(&self, kind: &str) -> Result<Vec<(String, String)>> {
        let listed = self.tool(&[kind, "list", "-t"])?;
        let row = |line: &str| {
            let (name, of_type) = line.trim().split_once(" [")?;
            let of_type = of_type.trim_end_matches(']').replace("/msg/", "/").replace("/srv/", "/").replace("/action/", "/");
            Some((name.to_owned(), of_type))
        };
        Ok(listed.lines().filter_map(row).collect())
    }

    /// Topics, services and actions below the node's name, with their types.
    fn interfaces(&self) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        for kind in ["topic", "service", "action"] {
            for (name, of_type) in self.list(kind)? {
                let Some(own) = name.strip_prefix(&format!("{}/", self.name)) else { continue };
                // Of every node and every managed node, and not worth a row each.
                let common = ["rcl_interfaces/", "type_description_interfaces/", "lifecycle_msgs/Get"];
                if !common.iter().any(|of| of_type.starts_with(of)) && own != "change_state" {
                    found.push((format!("~/{own}"), of_type));
                }
            }
        }
        Ok(found)
    }

    /// Parameters that the launch files' parameter file leaves out.
    fn not_launched(&self, subject: &Subject) -> Result<Vec<String>> {
        let path = repo::root()?.join(LAUNCHED);
        let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        let section = text.split("/**/").find(|section| section.starts_with(subject.program)).unwrap_or_default();
        let listed = self.tool(&["param", "list", &self.name])?;
        let own = listed
            .lines()
            .map(str::trim)
            .filter(|name| !EVERY_NODE.contains(name) && !subject.required.contains(name) && !name.starts_with("qos_overrides."));
        let missing = own.filter(|name| !section.lines().any(|line| line.trim_start().starts_with(&format!("{name}:"))));
        Ok(missing.map(|name| format!("{LAUNCHED}: {} has a parameter {name}, which the file leaves out", subject.program)).collect())
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        self.running.end();
        // The next node's graph is without it.
        let began = Instant::now();
        while self.tool(&["node", "list"]).is_ok_and(|nodes| nodes.contains(&self.name)) && began.elapsed() < PATIENCE {}
    }
}

fn built(program: &str) -> Result<PathBuf> {
    let path = repo::programs()?.join(program);
    if !Path::new(&path).is_file() {
        bail!("{} is not built", path.display());
    }
    Ok(path)
}

/// A child that ends with what started it.
struct Program(Child);

impl Program {
    fn end(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
            let _ = self.0.wait();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}
