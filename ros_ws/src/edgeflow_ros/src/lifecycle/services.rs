//! The services and messages of a lifecycle, as rcl_lifecycle has them.

use super::{
    Core,
    machine::{self, STEPS, State, Step},
};
use crate::{
    error::Result,
    messages::lifecycle_msgs::{
        msg::{State as StateMsg, Transition as TransitionMsg, TransitionDescription, TransitionEvent},
        srv::{ChangeState, GetAvailableStates, GetAvailableTransitions, GetState},
    },
    service::{ServiceRequest, ServiceStream},
    stack::Service,
};
use futures::StreamExt;
use std::sync::Arc;
use tokio::{runtime::Handle, sync::oneshot};

/// Serves until `gone` resolves or the context is shut down.
pub(super) fn serve(core: &Arc<Core>, gone: oneshot::Receiver<()>, runtime: &Handle) -> Result<()> {
    let node = &core.node;
    let change = node.create_service::<ChangeState::Service>("~/change_state")?;
    let state = node.create_service::<GetState::Service>("~/get_state")?;
    let states = node.create_service::<GetAvailableStates::Service>("~/get_available_states")?;
    let transitions = node.create_service::<GetAvailableTransitions::Service>("~/get_available_transitions")?;
    let graph = node.create_service::<GetAvailableTransitions::Service>("~/get_transition_graph")?;
    let served = answer(core.clone(), runtime.clone(), change, state, states, transitions, graph);
    runtime.spawn(async move {
        tokio::select! {
            () = served => {}
            _ = gone => {}
        }
    });
    Ok(())
}

async fn answer(
    core: Arc<Core>,
    runtime: Handle,
    mut change: ServiceStream<ChangeState::Service>,
    mut state: ServiceStream<GetState::Service>,
    mut states: ServiceStream<GetAvailableStates::Service>,
    mut transitions: ServiceStream<GetAvailableTransitions::Service>,
    mut graph: ServiceStream<GetAvailableTransitions::Service>,
) {
    loop {
        tokio::select! {
            Some(request) = change.next() => change_state(&core, &runtime, request),
            Some(request) = state.next() => respond(request, GetState::Response { current_state: state_msg(core.state()) }),
            Some(request) = states.next() => {
                respond(request, GetAvailableStates::Response { available_states: State::ALL.into_iter().map(state_msg).collect() });
            }
            Some(request) = transitions.next() => respond(request, described(machine::from(core.state()))),
            Some(request) = graph.next() => respond(request, described(STEPS.into_iter())),
            else => return,
        }
    }
}

/// A label goes before a number, which is zero where only a label is given.
fn change_state(core: &Arc<Core>, runtime: &Handle, request: ServiceRequest<ChangeState::Service>) {
    let TransitionMsg { id, label } = request.message.transition.clone();
    let name = if label.is_empty() { format!("number {id}") } else { label.clone() };
    let begun = core.begin(|transition, step| if label.is_empty() { step.id == id } else { transition.label() == label }, &name);
    match begun {
        Ok(outcome) => {
            runtime.spawn(async move {
                let success = outcome.await.is_ok_and(|outcome| outcome.problem.is_none());
                respond(request, ChangeState::Response { success });
            });
        }
        Err(error) => {
            tracing::warn!("{error}");
            respond(request, ChangeState::Response { success: false });
        }
    }
}

fn respond<S: Service>(request: ServiceRequest<S>, response: S::Response) {
    if let Err(error) = request.respond(response) {
        tracing::debug!(%error, "a lifecycle request went unanswered");
    }
}

fn described(steps: impl Iterator<Item = Step>) -> GetAvailableTransitions::Response {
    let describe = |step: Step| TransitionDescription {
        transition: transition_msg(step),
        start_state: state_msg(step.start),
        goal_state: state_msg(step.goal),
    };
    GetAvailableTransitions::Response { available_transitions: steps.map(describe).collect() }
}

fn state_msg(state: State) -> StateMsg {
    StateMsg { id: state.id(), label: state.label().into() }
}

fn transition_msg(step: Step) -> TransitionMsg {
    TransitionMsg { id: step.id, label: step.label().into() }
}

/// Without a time, as rcl_lifecycle leaves it: what field it is in differs between distributions.
pub(super) fn event(step: Step) -> TransitionEvent {
    TransitionEvent {
        transition: transition_msg(step),
        start_state: state_msg(step.start),
        goal_state: state_msg(step.goal),
        ..Default::default()
    }
}
