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

/// Counters of one trigger.
#[derive(Debug, Default)]
pub(crate) struct TriggerCounters {
    /// Times its condition was looked at, and of those the ones when it could not be computed.
    pub(crate) looked: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) fired: AtomicU64,
    /// Of each of its topics.
    pub(crate) dropped: Mutex<Vec<Arc<AtomicU64>>>,
    state: Mutex<(bool, String)>,
}

impl TriggerCounters {
    /// Whether it holds now, and why it cannot be computed.
    pub(crate) fn set(&self, holds: bool, problem: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 != holds || state.1 != problem {
            *state = (holds, problem.to_owned());
        }
    }
}

/// One trigger, as shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TriggerView {
    pub(crate) name: String,
    pub(crate) holds: bool,
    /// Why its condition cannot be computed now; empty otherwise.
    pub(crate) problem: String,
    pub(crate) looked: u64,
    pub(crate) failed: u64,
    pub(crate) fired: u64,
    pub(crate) dropped: u64,
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
    triggers: BTreeMap<String, Arc<TriggerCounters>>,
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

    /// The triggers there are, and those of them that began just now.
    pub(crate) fn triggers_are<'a>(&self, names: impl Iterator<Item = &'a String>, begun: Vec<(String, Arc<TriggerCounters>)>) {
        let mut state = self.lock();
        let mut known = std::mem::take(&mut state.triggers);
        known.extend(begun);
        state.triggers = names.filter_map(|name| known.remove_entry(name)).collect();
    }

    /// Triggers by name.
    pub(crate) fn triggers(&self) -> Vec<TriggerView> {
        let state = self.lock();
        let view = |(name, counters): (&String, &Arc<TriggerCounters>)| {
            let (holds, problem) = counters.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let dropped = counters.dropped.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|one| one.load(Relaxed)).sum();
            TriggerView {
                name: name.clone(),
                holds,
                problem,
                looked: counters.looked.load(Relaxed),
                failed: counters.failed.load(Relaxed),
                fired: counters.fired.load(Relaxed),
                dropped,
            }
        };
        state.triggers.iter().map(view).collect()
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
