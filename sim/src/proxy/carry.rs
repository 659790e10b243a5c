//! One direction of a connection, carried as the link's condition says.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::link::{Condition, State};

/// Bytes read at a time.
const CHUNK: usize = 16 * 1024;
/// Chunks on their way at once: what a slow network holds before the sender has to wait.
const ON_THE_WAY: usize = 64;

/// Carries bytes from one side to the other until the first ends, and passes the end on. `seen` is shown every byte.
pub(super) async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: watch::Receiver<State>,
    seed: u64,
    mut seen: impl FnMut(&[u8]),
) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let mut at_entry = state.clone();
    let read = async move {
        let mut chance = SmallRng::seed_from_u64(seed);
        let mut last = Instant::now();
        loop {
            passing(&mut at_entry).await;
            let mut chunk = vec![0; CHUNK];
            let read = from.read(&mut chunk).await;
            if read.is_err() {
                // Not even a broken connection is seen while nothing passes.
                passing(&mut at_entry).await;
            }
            let length = read?;
            chunk.truncate(length);
            seen(&chunk);
            let condition = at_entry.borrow().condition;
            last = last.max(Instant::now() + lateness(condition, &mut chance));
            // The end travels like bytes do.
            if sender.send((last, chunk)).await.is_err() || length == 0 {
                return io::Result::Ok(());
            }
        }
    };
    let mut at_exit = state;
    let write = async move {
        while let Some((due, chunk)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            passing(&mut at_exit).await;
            if chunk.is_empty() {
                return to.shutdown().await;
            }
            write_all(&mut to, &chunk, &mut at_exit).await?;
        }
        Ok(())
    };
    tokio::try_join!(read, write).map(drop)
}

/// Waits while nothing passes.
async fn passing(state: &mut watch::Receiver<State>) {
    // The link outlives its connections; should it not, they go on as they are.
    drop(state.wait_for(|state| state.condition != Condition::HalfOpen).await);
}

fn lateness(condition: Condition, chance: &mut SmallRng) -> Duration {
    match condition {
        Condition::Slow { delay, jitter, .. } => delay + jitter.mul_f64(chance.random()),
        _ => Duration::ZERO,
    }
}

/// Writes, a tenth of a second's worth at a time where the rate is bounded.
async fn write_all(to: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], state: &mut watch::Receiver<State>) -> io::Result<()> {
    while !bytes.is_empty() {
        let condition = state.borrow_and_update().condition;
        let rate = match condition {
            Condition::Slow { bytes_per_s: Some(rate), .. } => rate.max(1),
            _ => return to.write_all(bytes).await,
        };
        let length = usize::try_from((rate / 10).max(1)).unwrap_or(usize::MAX).min(bytes.len());
        let (now, later) = bytes.split_at(length);
        to.write_all(now).await?;
        bytes = later;
        let pause = Duration::from_secs_f64(length as f64 / rate as f64);
        // A rate that changes counts at once.
        drop(tokio::time::timeout(pause, state.changed()).await);
        passing(state).await;
    }
    Ok(())
}
