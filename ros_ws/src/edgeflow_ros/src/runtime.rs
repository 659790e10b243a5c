//! What every node's `main` needs besides its node.

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
