//! Whether a graph loads: asked of a program in a process of its own, which ends afterwards. A graph that takes the runtime down
//! or never ends takes nothing of the control plane with it. The program is `check_model` of edgeflow_inference, or any that
//! keeps to its exit statuses.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

use crate::app::{App, AppError};

/// How long a graph may take to load, warm up and answer its golden cases.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is read of why not.
const MOST_WORDS: u64 = 4096;
/// What the program may know of our environment: where libraries are.
const KEPT: [&str; 5] = ["ORT_DYLIB_PATH", "AMENT_PREFIX_PATH", "LD_LIBRARY_PATH", "PATH", "TMPDIR"];

/// Names to the program the most memory it may use, bytes: it bounds itself.
pub(crate) const MEMORY: &str = "EDGEFLOW_MODEL_MEMORY_BYTES";

/// What a program that loads models said of why it did not, and whether that is for want of memory.
pub(crate) fn in_memory(words: &str, memory_bytes: u64) -> String {
    let lowercase = words.to_lowercase();
    // What the runtime, its allocator and ours say when they are given none.
    let starved = ["memory", "bad_alloc", "allocate"].iter().any(|word| lowercase.contains(word));
    if starved && memory_bytes > 0 {
        let mib = memory_bytes >> 20;
        format!("{words} (it may use {mib} MiB: make the model smaller, or raise model_memory_bytes of the server)")
    } else {
        words.to_owned()
    }
}

/// Exit statuses of the program.
const REFUSED: i32 = 1;
const NOT_SERVED: i32 = 3;

/// The program `check_model` beside this one, if it is there.
pub fn beside_us() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.with_file_name("check_model");
    program.is_file().then_some(program)
}

impl App {
    /// Loads the bundle in `folder`. Answers what is to be noted of it: empty, or which part of the check was not made.
    ///
    /// # Errors
    /// The runtime's words when it refuses the graph.
    pub(crate) async fn check_loads(&self, folder: &Path) -> Result<String, AppError> {
        let Some(program) = &self.model_check else {
            return Ok("its file was read, but not loaded: this server has no check_model program".to_owned());
        };
        let not_made = |why: &str| Ok(format!("its file was read, but not loaded: {why}"));
        let kept = KEPT.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value)));
        let child = Command::new(program)
            .arg(folder)
            .env_clear()
            .envs(kept)
            .env(MEMORY, self.model_memory_bytes.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(%error, program = %program.display(), "models are not checked: the program does not start");
                return not_made("the program that checks models does not start");
            }
        };
        let mut words = String::new();
        let ended = timeout(PATIENCE, async {
            if let Some(stderr) = child.stderr.take() {
                let mut bytes = Vec::new();
                let mut head = stderr.take(MOST_WORDS);
                head.read_to_end(&mut bytes).await?;
                words = String::from_utf8_lossy(&bytes).trim().to_owned();
                // Whatever it says beyond that, it must not wait for us to read it.
                tokio::io::copy(head.get_mut(), &mut tokio::io::sink()).await?;
            }
            child.wait().await
        });
        match ended.await {
            Err(_) => {
                child.kill().await.map_err(AppError::artifact("ending the check of a model"))?;
                Err(AppError::Invalid(format!(
                    "model.onnx was not loaded within {} s: it may be too large, or without end",
                    PATIENCE.as_secs()
                )))
            }
            Ok(Err(error)) => Err(AppError::artifact("checking a model")(error)),
            Ok(Ok(status)) => match status.code() {
                Some(0) => Ok(String::new()),
                Some(REFUSED) => Err(AppError::Invalid(in_memory(&words, self.model_memory_bytes))),
                Some(NOT_SERVED) => Ok(format!("it loads, but an inference node cannot serve it: {words}")),
                Some(_) => {
                    tracing::warn!(reason = words, "a model was not checked");
                    not_made("there is no ONNX Runtime for the program that checks models")
                }
                None => {
                    let words = in_memory(&words, self.model_memory_bytes);
                    let said = if words.is_empty() { words } else { format!(": {words}") };
                    Err(AppError::Invalid(format!("model.onnx takes the runtime down that loads it ({status}){said}")))
                }
            },
        }
    }
}
