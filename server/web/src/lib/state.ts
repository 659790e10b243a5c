// Everything the pages show, and how messages of the live stream change it. Pure: a batch in, a new state out.

import { overtaken, type Deployment } from './deployments';
import type { FleetDrift } from './drift';
import { mergeEvents, type TimelineEvent } from './events';
import { withVersion, type Model, type ModelVersion } from './models';
import type { RolloutSummary } from './rollouts';
import type { StreamMessage } from './stream';
import type { Target } from './targets';

export interface State {
  targets: ReadonlyMap<string, Target>;
  models: ReadonlyMap<string, Model>;
  deployments: ReadonlyMap<string, Deployment>;
  /** What the stream said of rollouts since the pages were fetched; the pages of rollouts fetch the rest. */
  rollouts: ReadonlyMap<string, RolloutSummary>;
  drift: ReadonlyMap<string, FleetDrift>;
  /** What the stream told of the timeline since the pages were fetched, newest first. */
  events: readonly TimelineEvent[];
}

export const EMPTY: State = { targets: new Map(), models: new Map(), deployments: new Map(), rollouts: new Map(), drift: new Map(), events: [] };

export interface Reduced {
  state: State;
  /** Models whose message did not carry all of them: to be fetched. */
  refetchModels: string[];
  /** Messages that could not be read. */
  unreadable: number;
}

export function reduce(state: State, messages: readonly StreamMessage[]): Reduced {
  const targets = new Map(state.targets);
  const deployments = new Map(state.deployments);
  const rollouts = new Map(state.rollouts);
  const drift = new Map(state.drift);
  const events: TimelineEvent[] = [];
  const told = new Map<string, Target>();
  const refetchModels = new Set<string>();
  let models = state.models;
  let unreadable = 0;
  let touched = { targets: false, deployments: false, rollouts: false, drift: false };
  for (const message of messages) {
    let data: unknown;
    try {
      data = JSON.parse(message.data);
    } catch {
      unreadable += 1;
      continue;
    }
    if (typeof data !== 'object' || data === null) {
      unreadable += 1;
      continue;
    }
    switch (message.event) {
      case 'target': {
        const target = data as Target & { deleted?: boolean };
        if (target.deleted) targets.delete(target.name);
        else {
          targets.set(target.name, target);
          if (target.desired) told.set(target.name, target);
        }
        touched.targets = true;
        break;
      }
      case 'deployment': {
        const deployment = data as Deployment;
        // A rollout makes one for each lot of robots; they are shown with it.
        if (deployment.rollout) break;
        deployments.set(deployment.id, deployment);
        touched.deployments = true;
        break;
      }
      case 'rollout': {
        const rollout = data as RolloutSummary;
        rollouts.set(rollout.id, rollout);
        touched.rollouts = true;
        break;
      }
      case 'drift': {
        const item = data as FleetDrift;
        drift.set(item.target, item);
        touched.drift = true;
        break;
      }
      case 'event':
        events.push(data as TimelineEvent);
        break;
      case 'model': {
        const item = data as Partial<ModelVersion> & Partial<Model>;
        if (item.name && Array.isArray(item.versions)) models = new Map(models).set(item.name, item as Model);
        else if (item.model && item.version && item.digest && item.files) models = withVersion(models, item as ModelVersion);
        else {
          const name = item.name ?? item.model;
          if (name) refetchModels.add(name);
        }
        break;
      }
      // A kind of a later server: nothing here shows it.
      default:
        break;
    }
  }
  for (const [id, deployment] of told.size > 0 ? deployments : []) {
    const now = overtaken(deployment, told);
    if (now === deployment) continue;
    deployments.set(id, now);
    touched.deployments = true;
  }
  return {
    state: {
      targets: touched.targets ? targets : state.targets,
      deployments: touched.deployments ? deployments : state.deployments,
      rollouts: touched.rollouts ? rollouts : state.rollouts,
      drift: touched.drift ? drift : state.drift,
      models,
      events: events.length > 0 ? mergeEvents(state.events, events) : state.events,
    },
    refetchModels: [...refetchModels],
    unreadable,
  };
}
