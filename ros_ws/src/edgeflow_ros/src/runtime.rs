//! What every node's `main` needs besides its node.

use crate::{Context, Error, init_tracing};
use std::{future::Future, io::Write, pin::Pin};

/// Resolves when the program has been told to stop; see [`shutdown_signal`].
pub type Stop = Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

/// A node's program from its first line to its last: `--help` prints `usage`, logs go where ROS wants them, an argument
/// that is none is an error, and the graph is left before the program ends. `node` runs until [`Stop`] resolves, which
/// no signal misses from before the node is seen by anyone.
///
/// ```no_run
/// # const USAGE: &str = "";
/// #[tokio::main]
/// async fn main() -> edgeflow_ros::Result<()> {
///     edgeflow_ros::program(USAGE, async |context, stop| {
///         let _node = edgeflow_ros::Node::create(context, "idle", "")?;
///         let _ = stop.await;
///         Ok(())
///     })
///     .await
/// }
/// ```
///
/// # Errors
/// [`Error::UnknownArgument`], what the stack says when it refuses, and what `node` returns.
pub async fn program<E: From<Error>>(usage: &str, node: impl AsyncFnOnce(&Context, Stop) -> Result<(), E>) -> Result<(), E> {
    if std::env::args().any(|argument| argument == "--help" || argument == "-h") {
        // A closed pipe has read enough.
        let _ = std::io::stdout().write_all(usage.as_bytes());
        return Ok(());
    }
    let stop = Box::pin(shutdown_signal());
    let context = Context::create()?;
    init_tracing(&context);
    if let Some(argument) = context.non_ros_args().first() {
        return Err(Error::UnknownArgument { argument: argument.clone() }.into());
    }
    node(&context, stop).await?;
    Ok(context.shutdown()?)
}

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
