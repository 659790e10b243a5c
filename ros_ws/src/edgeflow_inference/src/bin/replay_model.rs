//! Runs recorded frames through a candidate and the model it would replace, in a process of its own that ends afterwards: stage 0 of a
//! rollout.
//!
//! `replay_model CANDIDATE CURRENT RECORDING [TOPIC [TOLERANCE [MOST_FRAMES]]]`: two bundle folders, an MCAP file, and how they are compared; an empty
//! topic is the only one with images. Standard output is one JSON object. Exit status: 0 it was replayed; 1 a bundle does not load or the
//! recording does not read, or either asks for more memory than EDGEFLOW_MODEL_MEMORY_BYTES allows; 2 no runtime to ask, or a wrong call. Standard error says why not, in one line.

#![allow(clippy::print_stdout, reason = "what came of it is this program's answer")]

use edgeflow_inference::{
    engine::{Backend, Engine, LoadRequest, Model, SessionOptions, ort::OrtBackend},
    memory,
    replay::Replay,
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

const USAGE: &str = "usage: replay_model CANDIDATE CURRENT RECORDING [TOPIC [TOLERANCE [MOST_FRAMES]]]";

struct Asked {
    candidate: PathBuf,
    current: PathBuf,
    recording: PathBuf,
    topic: Option<String>,
    tolerance: f64,
    most_frames: u64,
}

fn asked() -> Option<Asked> {
    let mut arguments = std::env::args_os().skip(1);
    let mut path = || arguments.next().map(PathBuf::from);
    let (candidate, current, recording) = (path()?, path()?, path()?);
    let mut text = arguments.map(|argument| argument.into_string().ok());
    let topic = text.next().map_or(Some(String::new()), |topic| topic)?;
    let tolerance = text.next().map_or(Some(0.01), |text| text?.parse().ok())?;
    let most_frames = text.next().map_or(Some(u64::MAX), |text| text?.parse().ok())?;
    let topic = (!topic.is_empty()).then_some(topic);
    text.next().is_none().then_some(Asked { candidate, current, recording, topic, tolerance, most_frames })
}

fn load(backend: &Arc<dyn Backend>, path: &Path) -> Result<Arc<Model>, edgeflow_inference::Error> {
    let request = LoadRequest { path: path.to_owned(), ..LoadRequest::default() };
    Engine::new(Arc::clone(backend), SessionOptions::default()).build(&request, &mut |_| Ok(()))
}

fn main() -> ExitCode {
    let Some(asked) = asked() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Err(error) = memory::bound_by_environment() {
        eprintln!("{error}");
        return ExitCode::from(2);
    }
    let backend: Arc<dyn Backend> = match OrtBackend::find("") {
        Ok(backend) => Arc::new(backend),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let replay =
        Replay { recording: &asked.recording, topic: asked.topic.as_deref(), tolerance: asked.tolerance, most_frames: asked.most_frames };
    let replayed = load(&backend, &asked.candidate)
        .and_then(|candidate| load(&backend, &asked.current).and_then(|current| replay.run(&candidate, &current)))
        .map_err(|error| error.to_string())
        .and_then(|replayed| serde_json::to_string(&replayed).map_err(|error| error.to_string()));
    match replayed {
        Ok(json) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // The runtime's messages may have several lines.
            eprintln!("{}", error.replace('\n', " "));
            ExitCode::from(1)
        }
    }
}
