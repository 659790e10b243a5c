//! Says whether a bundle loads: builds its session, checks its golden cases and warms it up, as an inference node would, in a
//! process of its own that ends afterwards. A registry asks it before it takes a version; a graph that crashes the runtime
//! takes nothing else with it.
//!
//! `check_model FOLDER`. Exit status: 0 it loads; 1 the runtime refuses it; 2 no runtime to ask, or a wrong call; 3 it loads, but an
//! inference node cannot serve it. Standard output says with what it was loaded, standard error why not, each in one line.

#![allow(clippy::print_stdout, reason = "what it was loaded with is this program's answer")]

use edgeflow_inference::{
    Error,
    engine::{Backend, Engine, LoadRequest, SessionOptions, ort::OrtBackend},
    memory,
};
use std::{path::PathBuf, process::ExitCode, sync::Arc};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        eprintln!("usage: check_model FOLDER");
        return ExitCode::from(2);
    };
    if let Err(error) = memory::bound_by_environment() {
        eprintln!("{error}");
        return ExitCode::from(2);
    }
    let backend = match OrtBackend::find("") {
        Ok(backend) => backend,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let description = backend.describe();
    let engine = Engine::new(Arc::new(backend), SessionOptions::default());
    match engine.build(&LoadRequest { path, ..LoadRequest::default() }, &mut |_| Ok(())) {
        Ok(_) => {
            println!("{description}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // The runtime's messages may have several lines.
            eprintln!("{}", error.to_string().replace('\n', " "));
            ExitCode::from(if matches!(error, Error::Session { .. }) { 1 } else { 3 })
        }
    }
}
