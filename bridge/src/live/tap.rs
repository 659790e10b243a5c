//! A topic of the robot's graph, tapped while somebody looks. Its type is what its publishers say of it, and bytes are all that
//! is taken of its messages.

use edgeflow_ros::{Durability, EndpointInfo, Node, QosProfile, Queue, RawType, Reliability, registry};
use futures::StreamExt;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::watch;

use super::session::Shared;

/// The graph is looked at this often, whatever it says.
const LOOK: Duration = Duration::from_secs(1);
/// Messages that may wait between the graph and the throttle.
const DEPTH: usize = 8;

/// What all endpoints of a topic agree on.
pub(super) fn the_type(topic: &str, endpoints: &[EndpointInfo], verb: &str) -> Result<RawType, String> {
    let types: BTreeSet<(&str, Option<&str>)> = endpoints.iter().map(|one| (one.type_name.as_str(), one.type_hash.as_deref())).collect();
    let mut types = types.into_iter();
    let Some((name, hash)) = types.next() else { return Err(format!("nobody {verb} {topic} on the robot")) };
    if let Some((other, _)) = types.next() {
        return Err(format!("{topic} is used as {name} and as {other}, or in two definitions"));
    }
    match hash {
        Some(hash) => Ok(RawType { name: name.to_owned(), hash: hash.to_owned() }),
        // A stack that does not tell hashes has the type itself.
        None => registry::resolve(name, None).map(RawType::from).map_err(|error| error.to_string()),
    }
}

/// Takes messages for as long as it is polled.
pub(super) async fn tap(node: Node, shared: Arc<Shared>, lane: usize, topic: String, mut looks: watch::Receiver<bool>) {
    loop {
        if looks.wait_for(|looks| *looks).await.is_err() {
            return;
        }
        let publishers = node.get_publishers_info(&topic).unwrap_or_default();
        let reliable = publishers.iter().all(|one| one.reliability == Reliability::Reliable);
        let latched = publishers.iter().all(|one| one.durability == Durability::TransientLocal);
        let subscribed = the_type(&topic, &publishers, "publishes").and_then(|ty| {
            let qos = QosProfile::default().keep_last(DEPTH);
            let qos = if reliable { qos.reliable() } else { qos.best_effort() };
            let qos = if latched { qos.transient_local() } else { qos };
            let subscription = node.subscribe_opaque(&topic, &ty, qos, Queue::Latest { depth: DEPTH });
            subscription.map(|subscription| (ty, subscription)).map_err(|error| error.to_string())
        });
        let (ty, mut bodies) = match subscribed {
            Ok(subscribed) => subscribed,
            Err(problem) => {
                shared.problem(lane, problem);
                node.wait_for_graph(LOOK, |node| node.get_publishers_info(&topic).is_ok_and(|now| now != publishers)).await;
                continue;
            }
        };
        let epoch = shared.typed(lane, &ty, reliable, latched);
        let (counter, mut dropped) = (bodies.drop_counter(), 0);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                body = bodies.next() => match body {
                    Some(body) => {
                        let now = counter.get();
                        shared.offer(lane, epoch, body, now - std::mem::replace(&mut dropped, now));
                    }
                    None => return,
                },
                _ = look.tick() => {
                    // A topic that nobody publishes at the moment is waited for.
                    let now = node.get_publishers_info(&topic).unwrap_or_default();
                    if !now.is_empty() && the_type(&topic, &now, "publishes") != Ok(ty.clone()) {
                        break;
                    }
                }
                gone = looks.wait_for(|looks| !*looks) => match gone {
                    Ok(_) => break,
                    Err(_) => return,
                },
            }
        }
    }
}
