//! A log in memory, a control plane as the contract has it, and uplinks to it that can be cut, muted and flooded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use edgeflow_wire::{
    Ack, AckOutcome, Batch, Class, ClassPosition, Entry, EntryBody, FaultBody, Hello, LogAck, Upstream, WIRE_VERSION, decode, encode,
};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    Backlog, Bandwidth, Ends, Limits, Link, LinkEvent, LinkState, Outbox, Pump, Timing, Uplink,
    link::{Connect, keep_connected},
};

/// Nothing in these tests takes longer unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the control plane holds.
#[derive(Default)]
pub(crate) struct Plane {
    /// Class, seq and uplink of each entry, in the order in which they were stored.
    pub(crate) stored: Vec<(Class, u64, &'static str)>,
    pub(crate) bytes: usize,
    pub(crate) hellos: usize,
    next: [u64; 4],
}

impl Plane {
    pub(crate) fn seqs(&self, class: Class) -> Vec<u64> {
        self.stored.iter().filter(|stored| stored.0 == class).map(|stored| stored.1).collect()
    }

    fn take(&mut self, bytes: &[u8], uplink: &'static str) -> LogAck {
        self.bytes += bytes.len();
        let (classes, outcome) = match decode(bytes).unwrap() {
            Upstream::Hello(_) => {
                self.hellos += 1;
                (Class::ALL.to_vec(), AckOutcome::Accepted)
            }
            Upstream::Batch(batch) => {
                let next = &mut self.next[batch.class as usize];
                let mut outcome = AckOutcome::Accepted;
                for entry in batch.entries {
                    if entry.seq > *next + 1 {
                        outcome = AckOutcome::OutOfOrder;
                    } else if entry.seq == *next + 1 {
                        self.stored.push((batch.class, entry.seq, uplink));
                        *next += 1;
                    }
                }
                (vec![batch.class], outcome)
            }
        };
        let next = classes.into_iter().map(|class| Ack { class, next_seq: self.next[class as usize] + 1 }).collect();
        LogAck { v: WIRE_VERSION, epoch: "e".into(), outcome, next, server_time_us: 0 }
    }
}

/// How a fake uplink behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It works.
    Up,
    /// It does not come up, and what was up breaks.
    Down,
    /// It comes up, and nothing is answered.
    Mute,
}

#[derive(Clone)]
pub(crate) struct Fake {
    name: &'static str,
    plane: watch::Sender<Plane>,
    mood: Arc<watch::Sender<Mood>>,
}

impl Fake {
    pub(crate) fn uplink(name: &'static str, plane: &watch::Sender<Plane>) -> (Box<dyn Uplink>, Arc<watch::Sender<Mood>>) {
        let mood = Arc::new(watch::Sender::new(Mood::Up));
        (Box::new(Self { name, plane: plane.clone(), mood: mood.clone() }), mood)
    }
}

impl Connect for Fake {
    const NAME: &'static str = "fake";

    fn backoff(&self) -> crate::Backoff {
        crate::Backoff::new(Duration::from_millis(1), Duration::from_millis(10))
    }

    async fn connection(&self, events: &mpsc::Sender<LinkEvent>, _: &mut Option<Instant>) -> String {
        let mut mood = self.mood.subscribe();
        if *mood.borrow_and_update() == Mood::Down {
            return "it is down".to_owned();
        }
        let (outbox, mut documents) = Outbox::new();
        if events.send(LinkEvent::Up { uplink: self.name, outbox }).await.is_err() {
            return String::new();
        }
        loop {
            tokio::select! {
                biased;
                _ = mood.changed() => if *mood.borrow_and_update() == Mood::Down { return "it broke".to_owned() },
                Some(document) = documents.recv() => {
                    if *mood.borrow() == Mood::Mute {
                        continue;
                    }
                    // As on a real network, a moment passes and something may break between storing and answering.
                    let mut ack = None;
                    self.plane.send_modify(|plane| ack = Some(plane.take(&document, self.name)));
                    tokio::task::yield_now().await;
                    if *mood.borrow() == Mood::Up {
                        drop(events.send(LinkEvent::Ack(encode(&ack.unwrap()).unwrap().into())).await);
                    }
                }
                () = events.closed() => return String::new(),
            }
        }
    }
}

impl Uplink for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&self) -> Link {
        keep_connected(self.clone())
    }
}

/// A log in memory: how many entries each class has, and how large each is.
#[derive(Clone)]
struct Memory {
    ends: watch::Receiver<Ends>,
    /// Characters of an entry that do not compress.
    size: usize,
    acknowledged: Arc<Mutex<[u64; 4]>>,
}

impl Backlog for Memory {
    type Error = Infallible;

    async fn hello(&mut self) -> Result<Hello, Infallible> {
        let ends = *self.ends.borrow();
        let first = *self.acknowledged.lock().unwrap();
        let position = |class: Class| ClassPosition { class, first_seq: first[class as usize].max(1), next_seq: ends[class as usize] };
        let (epoch, software) = ("e".to_owned(), "test".to_owned());
        Ok(Hello { v: WIRE_VERSION, epoch, software, classes: Class::ALL.map(position).into(), t_us: 0, boot_us: 0 })
    }

    async fn read(&mut self, class: Class, from_seq: u64, limits: Limits) -> Result<Batch, Infallible> {
        let fits = (limits.max_bytes / self.size.max(1)).clamp(1, limits.max_entries) as u64;
        let end = self.ends.borrow()[class as usize].min(from_seq + fits);
        let entry = |seq| {
            let message = (0..self.size).map(|_| char::from(rand::random_range(b'0'..=b'z'))).collect();
            let content = EntryBody::Fault(FaultBody { source: "test".into(), message }).into();
            Entry { seq, t_us: 0, boot_us: 0, content }
        };
        Ok(Batch { v: WIRE_VERSION, epoch: "e".into(), class, loss: None, entries: (from_seq..end).map(entry).collect() })
    }

    async fn acknowledge(&mut self, class: Class, next_seq: u64) -> Result<(), Infallible> {
        let mut acknowledged = self.acknowledged.lock().unwrap();
        assert!(next_seq >= acknowledged[class as usize], "{class} went back to {next_seq}");
        acknowledged[class as usize] = next_seq;
        Ok(())
    }

    async fn new_epoch(&mut self, reason: &str) -> Result<(), Infallible> {
        panic!("a new epoch: {reason}");
    }
}

/// A robot that pumps.
pub(crate) struct Robot {
    pub(crate) ends: watch::Sender<Ends>,
    pub(crate) state: watch::Receiver<LinkState>,
    pump: JoinHandle<()>,
}

impl Robot {
    pub(crate) fn start(uplink: Box<dyn Uplink>, size: usize, bandwidth: Bandwidth) -> Self {
        let ends = watch::Sender::new([1; 4]);
        let state = watch::Sender::new(LinkState::default());
        let (documents, _) = mpsc::channel(1);
        let pump = Pump {
            backlog: Memory { ends: ends.subscribe(), size, acknowledged: Arc::default() },
            ends: ends.subscribe(),
            state: state.clone(),
            documents,
            timing: Timing { resend_after: Duration::from_millis(50), between_epochs: Duration::from_millis(50), ..Timing::default() },
            limits: Limits { max_entries: 5, max_bytes: 64 * 1024 },
            bandwidth,
        };
        Self { ends, state: state.subscribe(), pump: tokio::spawn(pump.run(uplink)) }
    }

    pub(crate) fn append(&self, class: Class, entries: u64) {
        self.ends.send_modify(|ends| ends[class as usize] += entries);
    }

    /// Waits until the control plane answers by this uplink.
    pub(crate) async fn uses(&mut self, uplink: &str) {
        let state = self.state.wait_for(|state| state.connected && state.uplink == uplink);
        if timeout(PATIENCE, state).await.is_err() {
            panic!("{uplink} is never used: {:?}", self.state.borrow());
        }
    }
}

impl Drop for Robot {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Waits until something holds of the control plane.
pub(crate) async fn until(plane: &watch::Sender<Plane>, condition: impl FnMut(&Plane) -> bool) {
    let mut held = plane.subscribe();
    timeout(PATIENCE, held.wait_for(condition)).await.expect("the control plane never has it").unwrap();
}
