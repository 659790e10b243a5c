//! This program's place on the graph, and waiting for the graph to become known.

use edgeflow_ros::{
    Context, Error, Node, RawType,
    registry::{self, TypeDescription},
};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::error::CliError;

/// Asks the graph for names and their types.
type Look = fn(&Node) -> edgeflow_ros::Result<BTreeMap<String, Vec<String>>>;

/// The graph counts as known when nothing new was heard of for so long.
const QUIET: Duration = Duration::from_millis(250);
/// The graph counts as known at the latest after so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// A router on the same machine that has not accepted by then is not there.
const ROUTER_PATIENCE: Duration = Duration::from_secs(2);
/// Variables of `rmw_zenoh_cpp` that can make the router's address meaningless.
const OVERRIDES: [&str; 2] = ["ZENOH_CONFIG_OVERRIDE", "ZENOH_SESSION_CONFIG_URI"];

/// A connection to the graph, under a name that nobody else has and that lists leave out.
pub(crate) struct Graph {
    context: Context,
    pub(crate) node: Node,
}

impl Graph {
    /// Joins the graph.
    pub(crate) async fn join(router: SocketAddr) -> Result<Self, CliError> {
        let overridden = OVERRIDES.iter().any(|name| std::env::var_os(name).is_some());
        if !overridden {
            // A session waits for its router without a word: ask first.
            match timeout(ROUTER_PATIENCE, TcpStream::connect(router)).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return Err(CliError::NoRouter { address: router }),
            }
        }
        let context = Context::builder().router(router).build()?;
        let node = Node::create(&context, &format!("_edgeflow_cli_{}", std::process::id()), "")?;
        Ok(Self { context, node })
    }

    /// Waits until the graph stands still, but not for long.
    pub(crate) async fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut known = self.size();
        while Instant::now() < deadline && self.node.wait_for_graph(QUIET, |_| self.size() != known).await {
            known = self.size();
        }
    }

    fn size(&self) -> (usize, usize, usize) {
        let node = &self.node;
        let count = |result: edgeflow_ros::Result<BTreeMap<String, Vec<String>>>| result.map_or(0, |map| map.len());
        (
            node.get_node_names().map_or(0, |names| names.len()),
            count(node.get_topic_names_and_types()),
            count(node.get_service_names_and_types()),
        )
    }

    /// The type of a topic, or `given`.
    pub(super) async fn topic_type(&self, topic: &str, given: Option<String>) -> Result<String, CliError> {
        let name = self.node.resolve_topic(topic)?;
        self.type_of("topic", name, given, Node::get_topic_names_and_types).await
    }

    /// What the messages of a topic consist of, or those of the type `given`: compiled in, installed, or as a node tells that
    /// publishes them.
    pub(super) async fn message_type(&self, topic: &str, given: Option<String>) -> Result<&'static TypeDescription, CliError> {
        let name = self.topic_type(topic, given).await?;
        let mut unknown = match registry::resolve(&name, None) {
            Err(unknown @ Error::UnknownType { .. }) => unknown,
            known => return Ok(known?),
        };
        for publisher in self.node.get_publishers_info(topic)?.into_iter().filter(|one| one.type_name == name) {
            let Some(hash) = publisher.type_hash else { continue };
            match self.node.fetch_type(&RawType { name: name.clone(), hash }, &publisher.node, PATIENCE).await {
                Ok(ty) => return Ok(ty),
                Err(error) => unknown = error,
            }
        }
        Err(unknown.into())
    }

    /// The type of a service, or `given`.
    pub(super) async fn service_type(&self, service: &str, given: Option<String>) -> Result<String, CliError> {
        let name = self.node.resolve_service(service)?;
        self.type_of("service", name, given, Node::get_service_names_and_types).await
    }

    /// The type of an action, or `given`.
    pub(super) async fn action_type(&self, action: &str, given: Option<String>) -> Result<String, CliError> {
        let name = self.node.resolve_topic(action)?;
        self.type_of("action", name, given, actions).await
    }

    async fn type_of(&self, kind: &'static str, name: String, given: Option<String>, look: Look) -> Result<String, CliError> {
        if let Some(given) = given {
            return Ok(given);
        }
        self.node.wait_for_graph(PATIENCE, |node| look(node).is_ok_and(|known| known.contains_key(&name))).await;
        let known = look(&self.node)?;
        match known.get(&name).map(Vec::as_slice) {
            Some([only]) => Ok(only.clone()),
            Some([]) | None => {
                let hint = hint(kind, &name, known.keys().map(String::as_str));
                Err(CliError::NotOnGraph { kind, name, hint })
            }
            Some(many) => Err(CliError::ManyTypes { kind, types: many.join(", "), name }),
        }
    }

    /// Leaves the graph, so that lists do not show us any more.
    pub(crate) fn leave(self) -> Result<(), CliError> {
        let Self { context, node } = self;
        drop(node);
        Ok(context.shutdown()?)
    }
}

/// Actions with their types: as rcl has it, an action is where there is feedback of one.
pub(super) fn actions(node: &Node) -> edgeflow_ros::Result<BTreeMap<String, Vec<String>>> {
    let topics = node.get_topic_names_and_types()?.into_iter();
    let action = |(topic, types): (String, Vec<String>)| {
        let name = topic.strip_suffix("/_action/feedback")?.to_owned();
        Some((name, types.iter().filter_map(|ty| ty.strip_suffix("_FeedbackMessage").map(str::to_owned)).collect()))
    };
    Ok(topics.filter_map(action).collect())
}

/// Names that end like the one that was asked for, or how to see all.
fn hint<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    let similar: Vec<_> = known
        .filter(|other| !last.is_empty() && other.rsplit('/').next().is_some_and(|end| end.contains(last) || last.contains(end)))
        .take(5)
        .collect();
    if similar.is_empty() {
        format!(" on the graph: `edgeflow ros {kind} list` shows what is; or say its type")
    } else {
        format!(" on the graph: did you mean {}?", similar.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn names_that_end_alike_are_offered() {
        let known = ["/robot_1/camera/image", "/robot_2/camera/image", "/robot_1/mission"];
        assert_eq!(
            hint("topic", "/camera/image", known.into_iter()),
            " on the graph: did you mean /robot_1/camera/image or /robot_2/camera/image?"
        );
        assert!(hint("topic", "/odom", known.into_iter()).contains("edgeflow ros topic list"));
    }
}
