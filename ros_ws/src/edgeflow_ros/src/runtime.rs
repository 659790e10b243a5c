//! What every node's `main` needs besides its node.

use crate::context::Context;
use tracing_subscriber::{EnvFilter, filter::Directive};

/// Resolves at the first SIGINT or SIGTERM after this call (not after the first poll), so a program
/// calls it before it shows itself and awaits it when there is nothing else to do. From then on these
/// signals do not end the program by themselves.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn shutdown_signal() -> impl Future<Output = std::io::Result<()>> + Send {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = signal(SignalKind::interrupt()).and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
    async move {
        let (mut interrupt, mut terminate) = signals?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }
}

/// Logs to stderr. `--log-level` decides, else `RUST_LOG`, else `info`; the transport's own chatter is held at warnings.
/// Does nothing where a subscriber is installed already.
pub fn init_tracing(context: &Context) {
    let arguments = &context.0.arguments;
    let environment = std::env::var("RUST_LOG").ok().filter(|_| arguments.log_level.is_none());
    let mut filter = EnvFilter::new(environment.as_deref().unwrap_or(level(arguments.log_level.as_deref().unwrap_or("info"))));
    if environment.is_none() {
        let quiet = ["hiroz=warn", "zenoh=warn", "zenoh_transport=warn"];
        filter = directives(filter, quiet.iter().map(ToString::to_string));
    }
    let loggers = arguments.logger_levels.iter().map(|(logger, wanted)| format!("{}={}", logger.replace('.', "::"), level(wanted)));
    filter = directives(filter, loggers);
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

fn directives(filter: EnvFilter, all: impl Iterator<Item = String>) -> EnvFilter {
    all.filter_map(|text| text.parse::<Directive>().ok()).fold(filter, EnvFilter::add_directive)
}

/// A ROS level as tracing spells it.
fn level(ros: &str) -> &str {
    match ros {
        "fatal" => "error",
        "unset" => "info",
        other => other,
    }
}
