//! One topic, listened to for as long as somebody wants it: subscribed as its publishers offer it, and anew when they change.
//!
//! Routes have more to watch over (`policy::run`); triggers and captures only need the messages.

use edgeflow_ros::{Durability, Node, Reliability, registry::TypeDescription};
use futures::StreamExt;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::MissedTickBehavior};

use crate::{
    policy::{RosTopic, Source},
    types,
};

/// Publishers are looked at this often, whatever the graph says.
const LOOK: Duration = Duration::from_secs(1);

/// What is heard of a topic.
#[derive(Debug)]
pub(crate) enum Heard {
    /// It is subscribed, with this type.
    Type(&'static TypeDescription),
    /// A message, as a CDR body without encapsulation.
    Body(Vec<u8>),
    /// It cannot be subscribed. Told once, until the reason is another one.
    Problem(String),
}

/// A topic to follow.
pub(crate) struct Follower {
    pub(crate) node: Node,
    /// Absolute.
    pub(crate) topic: String,
    /// Its type; whatever it is when not said.
    pub(crate) type_name: Option<String>,
    /// Messages that came faster than they were taken.
    pub(crate) dropped: Arc<AtomicU64>,
}

/// How a publisher offers a topic.
type Offer = (String, Option<String>, bool, bool);

impl Follower {
    fn offers(&self) -> BTreeSet<Offer> {
        let publishers = self.node.get_publishers_info(&self.topic).unwrap_or_default();
        let offer = |one: edgeflow_ros::EndpointInfo| {
            (one.type_name, one.type_hash, one.reliability == Reliability::Reliable, one.durability == Durability::TransientLocal)
        };
        publishers.into_iter().map(offer).collect()
    }

    async fn resolve(&self, offers: &BTreeSet<Offer>) -> Result<&'static TypeDescription, String> {
        let types: BTreeSet<&String> = offers.iter().map(|(name, ..)| name).collect();
        let wanted = match (&self.type_name, types.first(), types.len()) {
            (Some(wanted), ..) if types.contains(wanted) => wanted,
            (Some(wanted), Some(other), _) => return Err(format!("it is published as {other}, not as {wanted}")),
            (None, Some(only), 1) => *only,
            (None, Some(first), _) => return Err(format!("it is published as {first} and as other types")),
            (_, None, _) => return Err("nobody publishes it".to_owned()),
        };
        let hash = offers.iter().find(|(name, ..)| name == wanted).and_then(|(_, hash, ..)| hash.as_deref());
        types::resolve(&self.node, &self.topic, wanted, hash).await
    }

    /// Listens until nobody takes what is heard. `tag` goes with everything.
    pub(crate) async fn run<T: Clone + Send>(self, tag: T, heard: mpsc::Sender<(T, Heard)>) {
        let mut told = String::new();
        loop {
            let offers = self.offers();
            let subscribed = if offers.is_empty() {
                None
            } else {
                let source = self.resolve(&offers).await.map(|ty| RosTopic { node: self.node.clone(), topic: self.topic.clone(), ty });
                match source.and_then(|source| Ok((source.ty, source.subscribe()?))) {
                    Ok(subscribed) => Some(subscribed),
                    Err(problem) => {
                        if told != problem {
                            told.clone_from(&problem);
                            if heard.send((tag.clone(), Heard::Problem(problem))).await.is_err() {
                                return;
                            }
                        }
                        None
                    }
                }
            };
            let Some((ty, mut messages)) = subscribed else {
                let changed = self.node.wait_for_graph(LOOK, |_| self.offers() != offers);
                tokio::select! {
                    _ = changed => continue,
                    () = heard.closed() => return,
                }
            };
            told.clear();
            if heard.send((tag.clone(), Heard::Type(ty))).await.is_err() {
                return;
            }
            let before = self.dropped.load(Relaxed);
            let mut looks = tokio::time::interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    body = messages.bodies.next() => {
                        // Without an end of the stream the context is shut down.
                        let Some(body) = body else { return };
                        if heard.send((tag.clone(), Heard::Body(body))).await.is_err() {
                            return;
                        }
                    }
                    _ = looks.tick() => {
                        self.dropped.store(before + messages.dropped.get(), Relaxed);
                        let now = self.offers();
                        // One that nobody publishes at the moment is waited for as it is.
                        if !now.is_empty() && now != offers {
                            break;
                        }
                    }
                    () = heard.closed() => return,
                }
            }
        }
    }
}
