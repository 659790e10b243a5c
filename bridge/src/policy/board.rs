//! What each route does, for people: counters that tasks write and the status reads.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use crate::Receipts;

/// Counters of one route on one topic.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) publishers: AtomicU64,
    pub(crate) received: AtomicU64,
    /// Entries withheld: over the budget, or while paused or short of resources.
    pub(crate) withheld: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) resubscribed: AtomicU64,
    pub(crate) stuck: AtomicBool,
    pub(crate) receipts: Arc<Receipts>,
}

impl Counters {
    pub(crate) fn new(class: edgeflow_wire::Class) -> Self {
        let zero = AtomicU64::default;
        Self {
            publishers: zero(),
            received: zero(),
            withheld: zero(),
            dropped: zero(),
            resubscribed: zero(),
            stuck: AtomicBool::new(false),
            receipts: Arc::new(Receipts::new(class)),
        }
    }
}

/// One route on one topic, as shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RouteView {
    pub(crate) route: String,
    /// Empty while no topic was found.
    pub(crate) topic: String,
    pub(crate) type_name: String,
    /// Why it does not run; empty otherwise.
    pub(crate) problem: String,
    pub(crate) publishers: u64,
    pub(crate) received: u64,
    pub(crate) forwarded: u64,
    pub(crate) acknowledged: u64,
    pub(crate) withheld: u64,
    pub(crate) dropped: u64,
    pub(crate) resubscribed: u64,
    pub(crate) stuck: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Line {
    Running { type_name: String, counters: Arc<Counters> },
    Problem(String),
}

#[derive(Debug, Default)]
struct State {
    version: u64,
    error: String,
    routes: Vec<String>,
    lines: BTreeMap<(String, String), Line>,
}

/// The policy and its routes, as shown.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<State>);

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another policy rules.
    pub(crate) fn rules(&self, version: u64) {
        let mut state = self.lock();
        state.version = version;
        state.error.clear();
    }

    /// The routes there are, by name.
    pub(crate) fn routes_are(&self, routes: Vec<String>) {
        self.lock().routes = routes;
    }

    /// A policy was refused.
    pub(crate) fn refused(&self, error: String) {
        self.lock().error = error;
    }

    /// What became of a route on a topic.
    pub(crate) fn set(&self, route: &str, topic: &str, line: Line) {
        self.lock().lines.insert((route.to_owned(), topic.to_owned()), line);
    }

    pub(crate) fn remove(&self, route: &str, topic: &str) {
        self.lock().lines.remove(&(route.to_owned(), topic.to_owned()));
    }

    /// Version that rules (0: none) and why a newer one was refused.
    pub(crate) fn policy(&self) -> (u64, String) {
        let state = self.lock();
        (state.version, state.error.clone())
    }

    /// Routes by name and topic; one without a topic is there too.
    pub(crate) fn routes(&self) -> Vec<RouteView> {
        let state = self.lock();
        let idle = state.routes.iter().filter(|route| !state.lines.keys().any(|(name, _)| name == *route));
        let idle = idle.map(|route| RouteView { route: route.clone(), ..RouteView::default() });
        let lines = state.lines.iter().map(|((route, topic), line)| view(route, topic, line));
        let mut views: Vec<RouteView> = lines.chain(idle).collect();
        views.sort_by(|a, b| (&a.route, &a.topic).cmp(&(&b.route, &b.topic)));
        views
    }
}

fn view(route: &str, topic: &str, line: &Line) -> RouteView {
    let named = RouteView { route: route.to_owned(), topic: topic.to_owned(), ..RouteView::default() };
    match line {
        Line::Problem(problem) => RouteView { problem: problem.clone(), ..named },
        Line::Running { type_name, counters } => {
            let (forwarded, acknowledged) = counters.receipts.counts();
            RouteView {
                type_name: type_name.clone(),
                publishers: counters.publishers.load(Relaxed),
                received: counters.received.load(Relaxed),
                forwarded,
                acknowledged,
                withheld: counters.withheld.load(Relaxed),
                dropped: counters.dropped.load(Relaxed),
                resubscribed: counters.resubscribed.load(Relaxed),
                stuck: counters.stuck.load(Relaxed),
                ..named
            }
        }
    }
}
