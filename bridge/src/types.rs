//! Types that are published and known to nobody here: the nodes that publish them are asked what they consist of, by their service
//! `~/get_type_description`.

use edgeflow_ros::{
    Error, Node, RawType,
    registry::{self, TypeDescription},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// After a failure a type is asked for again, not before.
const AGAIN: Duration = Duration::from_secs(30);
/// Nodes that are asked for one type.
const MAX_NODES: usize = 4;

/// The type of a topic: known here, or asked of those who publish it.
///
/// # Errors
/// Why it is not known, in the words of each who was asked.
pub(crate) async fn resolve(node: &Node, topic: &str, name: &str, hash: Option<&str>) -> Result<&'static TypeDescription, String> {
    let unknown = match registry::resolve(name, hash) {
        Ok(ty) => return Ok(ty),
        Err(unknown @ Error::UnknownType { .. }) => unknown.to_string(),
        Err(other) => return Err(other.to_string()),
    };
    // What cannot be checked is not asked for.
    let Some(hash) = hash else { return Err(unknown) };
    let ty = RawType { name: name.to_owned(), hash: hash.to_owned() };
    let publishers = node.get_publishers_info(topic).unwrap_or_default().into_iter();
    let nodes: BTreeSet<String> =
        publishers.filter(|one| one.type_name == name && one.type_hash.as_deref() == Some(hash)).map(|one| one.node).collect();
    let mut problems = vec![unknown];
    for publisher in nodes.iter().take(MAX_NODES) {
        match node.fetch_type(&ty, publisher, PATIENCE).await {
            Ok(ty) => {
                tracing::info!(type_name = name, node = publisher, "a type was learned from its publisher");
                return Ok(ty);
            }
            Err(error) => problems.push(error.to_string()),
        }
    }
    Err(problems.join("; "))
}

/// The same for whoever cannot wait: asks beside, and has the answer when it is asked again.
pub(crate) struct Types {
    node: Node,
    asked: Arc<Mutex<BTreeMap<(String, String), Asked>>>,
}

enum Asked {
    Now,
    Failed(Instant, String),
}

impl Types {
    pub(crate) fn new(node: &Node) -> Self {
        Self { node: node.clone(), asked: Arc::default() }
    }

    /// The type of a topic; `None` while it is asked for.
    ///
    /// # Errors
    /// Why it is not known.
    pub(crate) fn resolve(&self, topic: &str, name: &str, hash: Option<&str>) -> Result<Option<&'static TypeDescription>, String> {
        let unknown = match (registry::resolve(name, hash), hash) {
            (Ok(ty), _) => return Ok(Some(ty)),
            (Err(Error::UnknownType { .. }), Some(hash)) => (name.to_owned(), hash.to_owned()),
            (Err(error), _) => return Err(error.to_string()),
        };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let problem = match asked.get(&unknown) {
            Some(Asked::Now) => return Ok(None),
            Some(Asked::Failed(at, problem)) if at.elapsed() < AGAIN => return Err(problem.clone()),
            Some(Asked::Failed(_, problem)) => Some(problem.clone()),
            None => None,
        };
        asked.insert(unknown.clone(), Asked::Now);
        drop(asked);
        let (node, topic, asked) = (self.node.clone(), topic.to_owned(), Arc::clone(&self.asked));
        tokio::spawn(async move {
            let answer = resolve(&node, &topic, &unknown.0, Some(&unknown.1)).await;
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(_) => drop(asked.remove(&unknown)),
                Err(problem) => drop(asked.insert(unknown, Asked::Failed(Instant::now(), problem))),
            }
        });
        // What failed before stays told while it is tried again.
        problem.map_or(Ok(None), Err)
    }
}
