//! The thread that owns an r2r node. Nothing else touches the node, so nothing waits for a lock, and
//! stopping the thread drops the node: it leaves the graph at once.

use super::{NAME, log, misfit};
use crate::{
    error::{Error, Result},
    stack::Misfit,
};
use futures::{FutureExt, Stream, StreamExt};
use std::{
    sync::{Arc, Mutex, PoisonError, Weak, mpsc},
    thread::JoinHandle,
    time::Duration,
};

/// How long a turn lasts while nothing arrives. r2r has nothing that wakes a waiting node but what comes over
/// its topics, so a command waits for the end of a turn: commands come in bursts while a program starts, and
/// then turns are short; the longer nobody asks, the longer they get, and a node that idles costs next to nothing.
/// Publishing and calling need no turn.
const SHORTEST_TURN: Duration = Duration::from_millis(1);
const LONGEST_TURN: Duration = Duration::from_millis(50);

/// What the thread has in hand.
pub(super) struct Turn {
    pub(super) node: r2r::Node,
    pumps: Vec<Pump>,
    /// How often the node has been spun.
    pub(super) count: u64,
}

/// Moves what has arrived to where it is wanted; false when nobody wants it any more.
type Pump = Box<dyn FnMut() -> bool + Send>;
type Command = Box<dyn FnOnce(&mut Turn) + Send>;

/// Keeps a subscription or a service alive.
pub(crate) struct Subscription(#[expect(dead_code, reason = "held, not read")] Arc<()>);

pub(super) struct Spinner {
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Spinner {
    pub(super) fn start(node: r2r::Node, name: &str) -> Result<Arc<Self>> {
        let (commands, queue) = mpsc::channel::<Command>();
        let spin = move || {
            let mut turn = Turn { node, pumps: Vec::new(), count: 0 };
            let mut patience = SHORTEST_TURN;
            'spin: loop {
                loop {
                    match queue.try_recv() {
                        Ok(command) => {
                            command(&mut turn);
                            patience = SHORTEST_TURN;
                        }
                        Err(mpsc::TryRecvError::Empty) => break,
                        Err(mpsc::TryRecvError::Disconnected) => break 'spin,
                    }
                }
                if turn.pumps.is_empty() {
                    // rcl takes it for a mistake to wait for nothing; what there is to wait for comes by command.
                    match queue.recv() {
                        Ok(command) => command(&mut turn),
                        Err(mpsc::RecvError) => break,
                    }
                    continue;
                }
                turn.node.spin_once(patience);
                turn.count += 1;
                patience = LONGEST_TURN.min(patience * 2);
                turn.pumps.retain_mut(|pump| pump());
            }
            let _table = log::guard();
            drop(turn);
        };
        let thread = std::thread::Builder::new()
            .name(format!("ros {name}"))
            .spawn(spin)
            .map_err(|e| Error::stack(format!("start the thread of node {name}"), e))?;
        Ok(Arc::new(Self { commands: Mutex::new(Some(commands)), thread: Mutex::new(Some(thread)) }))
    }

    /// Does something with the node on its thread, whenever that comes to it.
    pub(super) fn post(&self, act: impl FnOnce(&mut Turn) + Send + 'static) -> bool {
        match &*self.commands.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(commands) => commands.send(Box::new(act)).is_ok(),
            None => false,
        }
    }

    /// Does something with the node on its thread.
    pub(super) fn with<R: Send + 'static>(&self, act: impl FnOnce(&mut Turn) -> R + Send + 'static) -> Result<R> {
        let gone = || Error::ShutDown { operation: format!("use a node of the {NAME} stack") };
        let (answer, answered) = mpsc::sync_channel(1);
        // Whoever asked may have gone.
        let sent = self.post(move |turn| drop(answer.send(act(turn))));
        if !sent {
            return Err(gone());
        }
        answered.recv().map_err(|_| gone())
    }

    /// Drops the node and waits until that is done.
    pub(super) fn stop(&self) {
        drop(self.commands.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.thread().id() != std::thread::current().id() && thread.join().is_err()) {
            tracing::error!("the thread of a ROS node has panicked");
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Turn {
    /// Passes everything that arrives in `stream` on, until the returned handle is dropped.
    pub(super) fn pump<T>(
        &mut self,
        mut stream: impl Stream<Item = T> + Unpin + Send + 'static,
        mut deliver: impl FnMut(T) + Send + 'static,
    ) -> Subscription {
        let alive = Arc::new(());
        let wanted: Weak<()> = Arc::downgrade(&alive);
        // r2r destroys what nobody wants any more when something has just come for it. With rmw_zenoh the delivery may
        // then be the last to hold it, and waits for itself for ever: there it stays, and what comes is thrown away.
        let stays = misfit() == Misfit::Lossy;
        self.pumps.push(Box::new(move || {
            let wanted = wanted.strong_count() > 0;
            while let Some(Some(item)) = stream.next().now_or_never() {
                if wanted {
                    deliver(item);
                }
            }
            wanted || stays
        }));
        Subscription(alive)
    }
}
