//! Quality of service as parameters, under rclcpp's names: whoever runs a node can fit it to the topics it
//! meets without touching its code.

use super::{Durability, History, QosProfile, Reliability};
use crate::{error::Result, node::Node, parameters::ParameterType};
use std::fmt::Display;

impl Node {
    /// The profile for a publisher of a topic: `default`, changed by the read-only parameters
    /// `qos_overrides.<absolute topic>.publisher.{reliability,durability,history,depth}`.
    ///
    /// # Errors
    /// An invalid topic, or a value that the policy does not have.
    pub fn publisher_qos(&self, topic: &str, default: QosProfile) -> Result<QosProfile> {
        overridden(self, topic, "publisher", default)
    }

    /// The profile for a subscription of a topic: `default`, changed by the read-only parameters
    /// `qos_overrides.<absolute topic>.subscription.{reliability,durability,history,depth}`.
    ///
    /// # Errors
    /// An invalid topic, or a value that the policy does not have.
    pub fn subscription_qos(&self, topic: &str, default: QosProfile) -> Result<QosProfile> {
        overridden(self, topic, "subscription", default)
    }
}

/// Depth of a profile that keeps all, should a parameter make it keep the last.
const DEPTH: usize = 10;

fn overridden(node: &Node, topic: &str, side: &str, default: QosProfile) -> Result<QosProfile> {
    let of = Overrides { node, prefix: prefix(&node.resolve_topic(topic)?, side) };
    let reliability = of.choice("reliability", default.reliability, &Reliability::ALL)?;
    let durability = of.choice("durability", default.durability, &Durability::ALL)?;
    let (kind, depth) = match default.history {
        History::KeepLast(depth) => ("keep_last", depth),
        History::KeepAll => ("keep_all", DEPTH),
    };
    let kind = of.declare("history", kind.to_string(), |p| p.choices(&["keep_last", "keep_all"]))?;
    let depth = of.declare("depth", i64::try_from(depth).unwrap_or(i64::MAX), |p| p.range(1..=i64::MAX))?;
    let history = if kind == "keep_all" { History::KeepAll } else { History::KeepLast(usize::try_from(depth).unwrap_or(usize::MAX)) };
    Ok(QosProfile { history, reliability, durability, ..default })
}

/// What the names of the parameters of one endpoint begin with.
pub(crate) fn prefix(topic: &str, side: &str) -> String {
    format!("qos_overrides.{topic}.{side}.")
}

struct Overrides<'n> {
    node: &'n Node,
    prefix: String,
}

impl Overrides<'_> {
    fn declare<P: ParameterType>(
        &self,
        policy: &str,
        default: P,
        constrain: impl for<'a> FnOnce(crate::ParameterBuilder<'a, P>) -> crate::ParameterBuilder<'a, P>,
    ) -> Result<P> {
        let name = format!("{}{policy}", self.prefix);
        // A second endpoint of the same kind on the same topic has the same parameters.
        if let Some(value) = self.node.declared_parameter(&name).and_then(P::from_value) {
            return Ok(value);
        }
        constrain(self.node.parameter(&name, default).description(&format!("Quality of service: {policy}."))).read_only()
    }

    fn choice<P: Copy + Display>(&self, policy: &str, default: P, all: &[P]) -> Result<P> {
        let names: Vec<_> = all.iter().map(ToString::to_string).collect();
        let choices: Vec<_> = names.iter().map(String::as_str).collect();
        let chosen = self.declare(policy, default.to_string(), |p| p.choices(&choices))?;
        Ok(all.iter().zip(&names).find(|(_, name)| **name == chosen).map_or(default, |(policy, _)| *policy))
    }
}
