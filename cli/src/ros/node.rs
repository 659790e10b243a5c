//! `edgeflow ros node`.

use clap::Subcommand;
use std::net::SocketAddr;

use super::graph::Graph;
use crate::{error::CliError, output};

#[derive(Subcommand)]
pub(super) enum NodeCommand {
    /// The names of all nodes.
    #[command(after_help = "Example:\n  edgeflow ros node list")]
    List {
        /// Hidden ones too, whose names begin with an underscore.
        #[arg(short, long)]
        all: bool,
        /// Only their number.
        #[arg(short, long)]
        count_nodes: bool,
    },
}

pub(super) async fn run(command: &NodeCommand, router: SocketAddr) -> Result<(), CliError> {
    let NodeCommand::List { all, count_nodes } = *command;
    let graph = Graph::join(router).await?;
    graph.settle().await;
    let names = graph.node.get_node_names()?;
    let shown = names.into_iter().filter(|name| all || !is_hidden(name)).collect::<Vec<_>>();
    if count_nodes {
        output::line(shown.len())?;
    } else {
        output::lines(shown)?;
    }
    graph.leave()
}

/// Whether any part of a name begins with an underscore.
pub(super) fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('_'))
}
