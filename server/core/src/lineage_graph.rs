//! Lineage as a graph: datasets, runs, logged models, versions, deployments and robots, and how each led to the next.

use serde::Serialize;
use std::collections::{HashMap, HashSet};

use crate::{
    deployment::Deployment,
    experiment::Pair,
    lineage::Ran,
    logged_model::LoggedModel,
    provenance::{PARENT_TAG, ProvenanceDataset, ProvenanceRun, Registered, Via},
    run::Run,
};

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A dataset.
    Dataset {
        /// Its name.
        name: String,
        /// What tells its content from another.
        digest: String,
        /// Kind of its source.
        source_type: String,
    },
    /// A run.
    Run {
        /// Its id.
        run_id: String,
        /// Id of its experiment.
        experiment_id: String,
        /// Where it is, such as `FINISHED`.
        status: String,
        /// Who began it, as the client says.
        user: String,
        /// When it began, microseconds since the Unix epoch.
        started_at_us: i64,
        /// When it ended.
        ended_at_us: Option<i64>,
        /// The commit of its code; empty when nobody said.
        commit: String,
    },
    /// A logged model.
    LoggedModel {
        /// Its id.
        model_id: String,
        /// Its name.
        name: String,
        /// Id of its experiment.
        experiment_id: String,
        /// Whether its files are there, such as `READY`.
        status: String,
    },
    /// A registered version.
    Version {
        /// Registry name of the model.
        model: String,
        /// Its version.
        version: String,
        /// Digest of the bundle; `null` when no robot can run it.
        digest: Option<String>,
        /// Whether it was deleted since.
        deleted: bool,
        /// Who registered it.
        created_by: String,
        /// When, microseconds since the Unix epoch.
        created_at_us: i64,
    },
    /// A deployment.
    Deployment {
        /// Its number.
        deployment: String,
        /// Which model.
        model: String,
        /// Which version of it.
        version: String,
        /// Into which slot.
        slot: String,
        /// Who made it.
        created_by: String,
        /// When, microseconds since the Unix epoch.
        created_at_us: i64,
    },
    /// A robot.
    Robot {
        /// Its name.
        target: String,
    },
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Node {
    /// Names it in this graph, and in any other.
    pub id: String,
    /// For people.
    pub label: String,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// How one node led to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The run was trained on the dataset.
    TrainedOn,
    /// The run was judged by the dataset.
    JudgedBy,
    /// The run is a parent of the other.
    Parent,
    /// The logged model went into the run.
    Input,
    /// The logged model came out of the run.
    Output,
    /// The logged model, or a model of the run, was registered as the version.
    Registered,
    /// The version was deployed.
    Deployed,
    /// The deployment named the robot.
    Told,
    /// The robot said that it ran the version.
    Attested,
}

/// An edge, from what came first to what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Edge {
    /// Id of a node.
    pub from: String,
    /// Id of a node.
    pub to: String,
    /// How.
    pub kind: How,
    /// Of a dataset: what it was for, such as `training`. Empty otherwise, and when nobody said.
    pub context: String,
    /// Of `attested`: when the robot first said so, by its clock, microseconds since the Unix epoch.
    pub first_us: Option<i64>,
    /// When it last said so.
    pub last_us: Option<i64>,
    /// Whether it has said nothing else since.
    pub now: Option<bool>,
    /// Over how many intervals.
    pub intervals: Option<u64>,
}

/// A graph, or what of it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LineageGraph {
    /// The node that was asked about; `null` when nothing is known of it.
    pub center: Option<String>,
    /// Nodes, those nearest to the centre first.
    pub nodes: Vec<Node>,
    /// Edges between them.
    pub edges: Vec<Edge>,
    /// Whether there are more nodes than were asked for, or than are followed.
    pub truncated: bool,
}

/// A graph in the making, of a bounded size.
#[derive(Debug)]
pub struct Sketch {
    graph: LineageGraph,
    known: HashMap<String, usize>,
    drawn: HashSet<(String, String, How)>,
    most: usize,
}

impl Sketch {
    /// Nothing yet, and never more than `most` nodes.
    pub fn new(most: usize) -> Self {
        Self { graph: LineageGraph::default(), known: HashMap::new(), drawn: HashSet::new(), most }
    }

    /// Whether there is no room for another node.
    pub fn is_full(&self) -> bool {
        self.graph.nodes.len() >= self.most
    }

    /// Says that something was left out.
    pub fn truncate(&mut self) {
        self.graph.truncated = true;
    }

    /// Adds a node, once. `None` when there is no room, which the graph then says.
    pub fn node(&mut self, node: Node) -> Option<String> {
        let id = node.id.clone();
        if !self.known.contains_key(&id) {
            if self.is_full() {
                self.truncate();
                return None;
            }
            self.known.insert(id.clone(), self.graph.nodes.len());
            self.graph.nodes.push(node);
        }
        Some(id)
    }

    /// Says what the graph is about, if that is not said yet and the node is there.
    pub fn center(&mut self, id: &str) {
        if self.known.contains_key(id) {
            self.graph.center.get_or_insert_with(|| id.to_owned());
        }
    }

    /// Adds the dataset of this digest that a run took in, as the centre.
    pub fn dataset_of(&mut self, run: &Run, digest: &str) {
        let shown = ProvenanceRun::of(run.clone(), Via::Made);
        for dataset in shown.datasets.iter().filter(|dataset| dataset.digest == digest) {
            if let Some(id) = self.node(dataset_node(dataset)) {
                self.center(&id);
            }
        }
    }

    /// Adds an edge, once, when both of its ends are there.
    pub fn edge(&mut self, from: &str, to: &str, kind: How) {
        self.draw(Edge {
            from: from.to_owned(),
            to: to.to_owned(),
            kind,
            context: String::new(),
            first_us: None,
            last_us: None,
            now: None,
            intervals: None,
        });
    }

    fn draw(&mut self, edge: Edge) {
        let ends = self.known.contains_key(&edge.from) && self.known.contains_key(&edge.to);
        if ends && edge.from != edge.to && self.drawn.insert((edge.from.clone(), edge.to.clone(), edge.kind)) {
            self.graph.edges.push(edge);
        }
    }

    /// Adds a version.
    pub fn version(&mut self, version: &Registered) -> Option<String> {
        self.node(version_node(version))
    }

    /// Adds a run with the datasets it took in. Its links to models and its parent are drawn by [`Sketch::links`].
    pub fn run(&mut self, run: &Run) -> Option<String> {
        let shown = ProvenanceRun::of(run.clone(), Via::Made);
        let id = self.node(run_node(&shown))?;
        for dataset in &shown.datasets {
            self.dataset(dataset, &id);
        }
        Some(id)
    }

    fn dataset(&mut self, dataset: &ProvenanceDataset, run: &str) {
        let Some(from) = self.node(dataset_node(dataset)) else { return };
        let kind = if dataset.trained_on { How::TrainedOn } else { How::JudgedBy };
        let edge = Edge {
            from,
            to: run.to_owned(),
            kind,
            context: dataset.context.clone(),
            first_us: None,
            last_us: None,
            now: None,
            intervals: None,
        };
        self.draw(edge);
    }

    /// Draws what links a run to others of the graph: its parent, and the logged models that went in and came out.
    pub fn links(&mut self, run: &Run) {
        let id = run_id(&run.info.id);
        if let Some(parent) = run.tags.iter().find(|Pair { key, .. }| key == PARENT_TAG) {
            self.edge(&run_id(&parent.value), &id, How::Parent);
        }
        for link in &run.model_inputs {
            self.edge(&model_id(&link.model_id), &id, How::Input);
        }
        for link in &run.model_outputs {
            self.edge(&id, &model_id(&link.model_id), How::Output);
        }
    }

    /// Adds a logged model, and draws that it came out of its run.
    pub fn logged_model(&mut self, model: &LoggedModel) -> Option<String> {
        let id = self.node(Node {
            id: model_id(&model.id),
            label: model.name.clone(),
            what: What::LoggedModel {
                model_id: model.id.clone(),
                name: model.name.clone(),
                experiment_id: model.experiment.to_string(),
                status: model.status.as_str().to_owned(),
            },
        })?;
        self.edge(&run_id(&model.source_run_id), &id, How::Output);
        Some(id)
    }

    /// Draws what a version was registered from: its logged model when that is here, its run otherwise.
    pub fn registered(&mut self, version: &Registered) {
        let id = version_node(version).id;
        let model = version.model_id.as_deref().map(model_id).filter(|model| self.known.contains_key(model));
        match (model, &version.run_id) {
            (Some(model), _) => self.edge(&model, &id, How::Registered),
            (None, Some(run)) => self.edge(&run_id(run), &id, How::Registered),
            (None, None) => {}
        }
    }

    /// Adds a deployment of a version. Its robots are drawn by [`Sketch::told`].
    pub fn deployment(&mut self, deployment: &Deployment, version: &str) {
        let node = Node {
            id: deployment_id(deployment.id),
            label: format!("deployment {}", deployment.id),
            what: What::Deployment {
                deployment: deployment.id.to_string(),
                model: deployment.model.to_string(),
                version: deployment.version.clone(),
                slot: deployment.slot.to_string(),
                created_by: deployment.created_by.clone(),
                created_at_us: deployment.created_at_us,
            },
        };
        if let Some(id) = self.node(node) {
            self.edge(version, &id, How::Deployed);
        }
    }

    /// Adds robots that a deployment named.
    pub fn told(&mut self, deployment: &Deployment) {
        let from = deployment_id(deployment.id);
        if !self.known.contains_key(&from) {
            return;
        }
        for asked in &deployment.asked {
            if let Some(robot) = self.robot(asked.target.as_str()) {
                self.edge(&from, &robot, How::Told);
            }
        }
    }

    /// Adds a robot.
    pub fn robot(&mut self, target: &str) -> Option<String> {
        self.node(Node { id: format!("robot:{target}"), label: target.to_owned(), what: What::Robot { target: target.to_owned() } })
    }

    /// Adds a robot that said it ran a version.
    pub fn ran(&mut self, version: &str, ran: &Ran) {
        let Some(to) = self.robot(&ran.target) else { return };
        self.draw(Edge {
            from: version.to_owned(),
            to,
            kind: How::Attested,
            context: String::new(),
            first_us: Some(ran.first_us),
            last_us: Some(ran.last_us),
            now: Some(ran.now),
            intervals: Some(ran.intervals),
        });
    }

    /// The graph.
    pub fn finish(self) -> LineageGraph {
        self.graph
    }
}

/// Id of a run's node.
pub fn run_id(run: &str) -> String {
    format!("run:{run}")
}

fn model_id(model: &str) -> String {
    format!("logged_model:{model}")
}

fn deployment_id(deployment: i64) -> String {
    format!("deployment:{deployment}")
}

fn version_node(version: &Registered) -> Node {
    // A name and number can come again after a model was deleted.
    let again = if version.deleted { format!("#{}", version.created_at_us) } else { String::new() };
    Node {
        id: format!("version:{}/{}{again}", version.model, version.version),
        label: format!("{} {}", version.model, version.version),
        what: What::Version {
            model: version.model.clone(),
            version: version.version.clone(),
            digest: version.digest.clone(),
            deleted: version.deleted,
            created_by: version.created_by.clone(),
            created_at_us: version.created_at_us,
        },
    }
}

fn run_node(run: &ProvenanceRun) -> Node {
    Node {
        id: run_id(&run.run_id),
        label: run.name.clone(),
        what: What::Run {
            run_id: run.run_id.clone(),
            experiment_id: run.experiment_id.clone(),
            status: run.status.clone(),
            user: run.user.clone(),
            started_at_us: run.started_at_us,
            ended_at_us: run.ended_at_us,
            commit: run.commit.clone(),
        },
    }
}

fn dataset_node(dataset: &ProvenanceDataset) -> Node {
    let (name, digest, source_type) = (dataset.name.clone(), dataset.digest.clone(), dataset.source_type.clone());
    Node { id: format!("dataset:{name}@{digest}"), label: name.clone(), what: What::Dataset { name, digest, source_type } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(model: &str, deleted: bool) -> Registered {
        Registered {
            model: model.into(),
            version: "1".into(),
            digest: Some("sha256:aa".into()),
            run_id: None,
            model_id: None,
            created_at_us: 7,
            created_by: "administrator".into(),
            deleted,
        }
    }

    fn ran(target: &str) -> Ran {
        Ran { target: target.into(), first_us: 1, last_us: 2, intervals: 3, now: true }
    }

    #[test]
    fn a_sketch_holds_each_node_and_edge_once_and_says_when_it_is_full() {
        let mut sketch = Sketch::new(3);
        let first = sketch.version(&version("a", false)).unwrap();
        assert_eq!(sketch.version(&version("a", false)).as_deref(), Some("version:a/1"));
        sketch.ran(&first, &ran("r1"));
        sketch.ran(&first, &ran("r1"));
        assert_eq!(sketch.version(&version("a", true)).as_deref(), Some("version:a/1#7"), "another one of the same name");
        assert!(!sketch.graph.truncated && sketch.is_full());
        sketch.ran(&first, &ran("r2"));
        let graph = sketch.finish();
        assert_eq!((graph.nodes.len(), graph.edges.len(), graph.truncated), (3, 1, true));
        assert_eq!(
            serde_json::to_value(&graph.nodes[1]).unwrap(),
            serde_json::json!({ "id": "robot:r1", "label": "r1", "kind": "robot", "target": "r1" })
        );
    }
}
