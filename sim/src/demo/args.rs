//! The demo's command line, checked before anything starts.

use std::path::PathBuf;

use super::DemoError;
use super::training::RECORD;

/// Fewest robots the story can be told with: one to compare with, one that drifts, one that loses its uplink.
pub const FEWEST_ROBOTS: u8 = 3;

/// Tells the story of a model that reaches robots, and proves each step with figures from the running system.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "edgeflow_demo", version, args_override_self = true)]
pub struct Args {
    /// Number of simulated robots; the story's roles are the first three's.
    #[arg(long, default_value_t = FEWEST_ROBOTS, value_parser = clap::value_parser!(u8).range(i64::from(FEWEST_ROBOTS)..=32))]
    pub robots: u8,

    /// Port of the control plane on localhost.
    #[arg(long, default_value_t = 5000)]
    pub port: u16,

    /// Port of the robots' ROS router on localhost.
    #[arg(long, default_value_t = 7447)]
    pub ros_port: u16,

    /// Folder for everything the demo writes; what an earlier demo left there is replaced.
    /// Default: edgeflow/demo in the build's target folder, else in the user's state folder.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// For machines: no colours, no spinner, nothing for people to open.
    #[arg(long)]
    pub headless: bool,

    /// Stop when the story is told instead of staying up until Ctrl-C.
    #[arg(long)]
    pub until_done: bool,

    /// Write what was measured as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Folder of the programs the demo starts. Default: where this program is.
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,

    /// The ONNX Runtime library for the inference nodes. Default: ORT_DYLIB_PATH, else beside the programs.
    #[arg(long, value_name = "PATH")]
    pub onnxruntime: Option<PathBuf>,

    /// When the user started all this, milliseconds since the Unix epoch: where `first_inference_s` counts from.
    #[arg(long, value_name = "MS")]
    pub started_at_unix_ms: Option<u64>,

    /// Folder with the bundles v1, v2 and v3 of the label reader and the record of their training. Default: sim/models of the checkout the program was built in.
    #[arg(long, value_name = "DIR")]
    pub models_dir: Option<PathBuf>,

    /// File with the digits that the cameras see. Default: the digits built into the programs.
    #[arg(long, value_name = "FILE")]
    pub data_file: Option<PathBuf>,
}

/// Every path of the command line with its default filled in and found to exist.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Folder of the programs.
    pub bin_dir: PathBuf,
    /// Folder for everything the demo writes.
    pub data_dir: PathBuf,
    /// Folder with the bundles.
    pub models_dir: PathBuf,
    /// File with the digits, when named.
    pub data_file: Option<PathBuf>,
    /// The ONNX Runtime library, when named.
    pub onnxruntime: Option<PathBuf>,
}

/// Programs that the demo starts.
pub const PROGRAMS: [&str; 5] = ["edgeflow-server", "edgeflow", "sim_robot", "inference_node", "bridge_node"];

/// Bundles of the story, in the order they are registered.
pub const BUNDLES: [&str; 3] = ["v1", "v2", "v3"];

impl Args {
    /// Fills in the defaults and checks that everything the demo needs is there; all that is missing is named at once.
    pub fn paths(&self) -> Result<Paths, DemoError> {
        let exe_dir = std::env::current_exe().ok().and_then(|exe| exe.parent().map(PathBuf::from));
        let bin_dir = self.bin_dir.clone().or_else(|| exe_dir.clone()).unwrap_or_else(|| PathBuf::from("."));
        let target_dir = exe_dir.as_deref().and_then(target_folder);
        let checkout = target_dir.as_deref().and_then(|target| target.parent()).map(PathBuf::from).unwrap_or_else(|| PathBuf::from("."));
        let paths = Paths {
            data_dir: self.data_dir.clone().unwrap_or_else(|| default_data_dir(target_dir)),
            models_dir: self.models_dir.clone().unwrap_or_else(|| checkout.join("sim/models")),
            data_file: self.data_file.clone(),
            onnxruntime: self.onnxruntime.clone(),
            bin_dir,
        };
        let mut missing = Vec::new();
        for program in PROGRAMS {
            let path = paths.bin_dir.join(program);
            if !path.is_file() {
                missing.push(format!("the program {}: build it (cargo xtask demo does) or pass --bin-dir", path.display()));
            }
        }
        for bundle in BUNDLES {
            let path = paths.models_dir.join(bundle).join("model.onnx");
            if !path.is_file() {
                missing.push(format!("the model {}: pass --models-dir", path.display()));
            }
        }
        let record = paths.models_dir.join(RECORD);
        if !record.is_file() {
            missing.push(format!("the record of the training {}: pass --models-dir", record.display()));
        }
        if let Some(digits) = paths.data_file.as_ref().filter(|digits| !digits.is_file()) {
            missing.push(format!("the digits {}: pass another --data-file, or none", digits.display()));
        }
        if let Some(library) = paths.onnxruntime.as_ref().filter(|library| !library.is_file()) {
            missing
                .push(format!("the ONNX Runtime library {}: pass --onnxruntime with the path of a libonnxruntime.so", library.display()));
        }
        let folder = self.report.as_ref().and_then(|report| report.parent()).filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            missing.push(format!("the folder {} for the report: make it, or pass another --report", folder.display()));
        }
        if missing.is_empty() { Ok(paths) } else { Err(DemoError::Missing { what: missing }) }
    }
}

/// The cargo target folder a program was built into, if it still lies in one: cargo marks it with a CACHEDIR.TAG.
fn target_folder(exe_dir: &std::path::Path) -> Option<PathBuf> {
    exe_dir.ancestors().take(3).find(|folder| folder.join("CACHEDIR.TAG").is_file()).map(PathBuf::from)
}

fn default_data_dir(target_dir: Option<PathBuf>) -> PathBuf {
    let state = || {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        var("XDG_STATE_HOME").or_else(|| var("HOME").map(|home| home.join(".local/state")))
    };
    target_dir.or_else(state).unwrap_or_else(std::env::temp_dir).join("edgeflow/demo")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let args = Args::try_parse_from(["edgeflow_demo"]).unwrap();
        assert_eq!((args.robots, args.port, args.ros_port), (3, 5000, 7447));
        assert!(!args.headless && !args.until_done && args.report.is_none());
    }

    #[test]
    fn fewer_robots_than_roles_are_refused() {
        let error = Args::try_parse_from(["edgeflow_demo", "--robots", "2"]).unwrap_err().to_string();
        assert!(error.contains("--robots") && error.contains("3..=32"), "{error}");
    }

    #[test]
    fn an_unknown_flag_and_a_port_that_is_none_are_refused() {
        assert!(Args::try_parse_from(["edgeflow_demo", "--prot", "5000"]).is_err());
        assert!(Args::try_parse_from(["edgeflow_demo", "--port", "70000"]).is_err());
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once_with_its_flag() {
        let empty = tempfile::tempdir().unwrap();
        let path = |name: &str| empty.path().join(name).display().to_string();
        let args = Args::try_parse_from([
            "edgeflow_demo".to_owned(),
            format!("--bin-dir={}", path("bin")),
            format!("--models-dir={}", path("models")),
            format!("--data-file={}", path("digits")),
            format!("--onnxruntime={}", path("libonnxruntime.so")),
            format!("--report={}", path("reports/r.json")),
        ])
        .unwrap();
        let error = args.paths().unwrap_err().to_string();
        for expected in [
            "inference_node",
            "v1/model.onnx",
            "v2/model.onnx",
            RECORD,
            "--bin-dir",
            "--models-dir",
            "--data-file",
            "--onnxruntime",
            "--report",
        ] {
            assert!(error.contains(expected), "{expected} is not in: {error}");
        }
    }

    #[test]
    fn a_program_in_a_target_folder_keeps_its_data_there() {
        let target = tempfile::tempdir().unwrap();
        std::fs::write(target.path().join("CACHEDIR.TAG"), "").unwrap();
        let exe_dir = target.path().join("release");
        std::fs::create_dir(&exe_dir).unwrap();
        assert_eq!(target_folder(&exe_dir), Some(target.path().to_owned()));
        assert_eq!(default_data_dir(target_folder(&exe_dir)), target.path().join("edgeflow/demo"));
    }
}
