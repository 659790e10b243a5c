//! An uplink made of others, in the order of preference: when one cannot be brought up it goes on with the next, and comes
//! back when a preferred one answers again.
//!
//! It never carries what one connection held over to another: each change is a new outbox, so the session says hello
//! again and hears where the control plane stands. That is what makes switching in the middle of a backlog harmless.

use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{Backoff, Link, LinkEvent, Outbox, Uplink};

/// When to leave an uplink and when to look whether a preferred one is back.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long an uplink may take to come up or to come back, and then to answer the first word.
    pub connect: Duration,
    /// How long one that is up may leave documents without any answer: a broker can be there without its control plane.
    pub answer: Duration,
    /// First delay before a preferred uplink is tried while another one works; each is jittered, and the next twice as long.
    pub probe_first: Duration,
    /// Longest such delay.
    pub probe_cap: Duration,
    /// A preferred uplink that served for so long was back for good: the next time it is tried soon again.
    pub good: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self { connect: s(10), answer: s(90), probe_first: s(10), probe_cap: s(300), good: s(60) }
    }
}

/// An ordered list of uplinks.
pub struct Fallback {
    uplinks: Arc<[Box<dyn Uplink>]>,
    patience: Patience,
}

impl Fallback {
    /// The most preferred one first.
    pub fn new(uplinks: Vec<Box<dyn Uplink>>, patience: Patience) -> Self {
        Self { uplinks: uplinks.into(), patience }
    }
}

impl Uplink for Fallback {
    fn name(&self) -> &'static str {
        self.uplinks.first().map_or("none", |uplink| uplink.name())
    }

    fn start(&self) -> Link {
        let (events, receiver) = mpsc::channel(64);
        let switch = Switch {
            uplinks: self.uplinks.clone(),
            patience: self.patience,
            events,
            probing: Backoff::new(self.patience.probe_first, self.patience.probe_cap),
        };
        Link::new(receiver, tokio::spawn(switch.run()))
    }
}

struct Switch {
    uplinks: Arc<[Box<dyn Uplink>]>,
    patience: Patience,
    events: mpsc::Sender<LinkEvent>,
    probing: Backoff,
}

/// An uplink that was started; with the outbox of its connection when it is up.
struct Started {
    at: usize,
    link: Link,
    up: Option<Outbox>,
}

/// Why an uplink is left.
enum Left {
    /// It was given up.
    GivenUp,
    /// A preferred one is back.
    For(Started),
    /// Nobody listens any more.
    Closed,
}

impl Switch {
    async fn run(mut self) {
        let uplinks = self.uplinks.clone();
        let start = |at: usize| uplinks.get(at).map(|uplink| Started { at, link: uplink.start(), up: None });
        let mut next = start(0);
        while let Some(started) = next {
            let (at, since) = (started.at, Instant::now());
            let left = self.follow(started).await;
            if since.elapsed() >= self.patience.good {
                self.probing.reset();
            }
            next = match left {
                Left::GivenUp => start((at + 1) % uplinks.len()),
                Left::For(started) => Some(started),
                Left::Closed => return,
            };
        }
    }

    /// Passes on what happens on one uplink until it is left.
    async fn follow(&mut self, started: Started) -> Left {
        let Started { at, mut link, up } = started;
        let Self { uplinks, patience, events, probing } = self;
        let Some(name) = uplinks.get(at).map(|uplink| uplink.name()) else { return Left::Closed };
        // By when it must have come up, or answered.
        let mut due = Some(Instant::now() + patience.connect);
        let mut connection: Option<Connection> = None;
        if let Some(inner) = up {
            tracing::info!(uplink = name, "a preferred uplink is back");
            let Some(fresh) = Connection::tell(name, inner, events).await else { return Left::Closed };
            connection = Some(fresh);
        }
        let better = probe(uplinks.get(..at).unwrap_or_default(), probing, patience.connect);
        tokio::pin!(better);
        loop {
            let event = tokio::select! {
                event = link.events.recv() => match event {
                    Some(event) => event,
                    None => LinkEvent::Down { reason: "it ended".to_owned() },
                },
                document = next_document(&mut connection) => {
                    // A full outbox is a connection that does not keep up: what is lost here is sent again.
                    if let (Some(document), Some(connection)) = (document, &connection) {
                        connection.inner.put(document);
                        due = due.or(Some(Instant::now() + patience.answer));
                    }
                    continue;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let reason = match connection {
                        Some(_) => format!("{name}: nothing was answered in time"),
                        None => format!("{name}: did not come up within {:?}", patience.connect),
                    };
                    tracing::info!(uplink = name, reason, "left an uplink");
                    // Nothing more is to be said about one that was down already.
                    let told = connection.is_none() || events.send(LinkEvent::Down { reason }).await.is_ok();
                    return if told { Left::GivenUp } else { Left::Closed };
                }
                (at, link, outbox) = &mut better => return Left::For(Started { at, link, up: Some(outbox) }),
            };
            match event {
                LinkEvent::Up { outbox, .. } => {
                    let Some(fresh) = Connection::tell(name, outbox, events).await else { return Left::Closed };
                    connection = Some(fresh);
                    due = Some(Instant::now() + patience.connect);
                }
                LinkEvent::Down { reason } => {
                    connection = None;
                    let back_by = Instant::now() + patience.connect;
                    due = Some(due.map_or(back_by, |due| due.min(back_by)));
                    if events.send(LinkEvent::Down { reason: format!("{name}: {reason}") }).await.is_err() {
                        return Left::Closed;
                    }
                }
                other => {
                    if matches!(other, LinkEvent::Ack(_)) {
                        due = None;
                    }
                    if events.send(other).await.is_err() {
                        return Left::Closed;
                    }
                }
            }
        }
    }
}

/// One connection, and what is put on its way there.
struct Connection {
    inner: Outbox,
    documents: Option<mpsc::Receiver<Vec<u8>>>,
}

impl Connection {
    /// Tells that a connection stands. `None` when nobody listens any more.
    async fn tell(uplink: &'static str, inner: Outbox, events: &mpsc::Sender<LinkEvent>) -> Option<Self> {
        let (outbox, documents) = Outbox::new();
        events.send(LinkEvent::Up { uplink, outbox }).await.ok()?;
        Some(Self { inner, documents: Some(documents) })
    }
}

/// The next document for the connection, if there is one; waits for ever when nothing can come.
async fn next_document(connection: &mut Option<Connection>) -> Option<Vec<u8>> {
    let Some(documents) = connection.as_mut().and_then(|connection| connection.documents.as_mut()) else {
        return std::future::pending().await;
    };
    let document = documents.recv().await;
    if document.is_none()
        && let Some(connection) = connection
    {
        connection.documents = None;
    }
    document
}

/// Waits until one of the preferred uplinks comes up, looking from time to time.
async fn probe(preferred: &[Box<dyn Uplink>], delays: &mut Backoff, patience: Duration) -> (usize, Link, Outbox) {
    loop {
        if preferred.is_empty() {
            std::future::pending::<()>().await;
        }
        sleep(delays.delay()).await;
        for (at, uplink) in preferred.iter().enumerate() {
            let mut link = uplink.start();
            let up = async {
                loop {
                    match link.events.recv().await {
                        Some(LinkEvent::Up { outbox, .. }) => return Some(outbox),
                        Some(_) => {}
                        None => return None,
                    }
                }
            };
            if let Ok(Some(outbox)) = timeout(patience, up).await {
                return (at, link, outbox);
            }
            tracing::debug!(uplink = uplink.name(), "a preferred uplink is not back");
        }
    }
}

#[cfg(test)]
mod tests;
