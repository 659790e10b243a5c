// The timeline: what happened on robots and to them.

export type Severity = 'info' | 'warning' | 'error';

export interface TimelineEvent {
  id: string | number;
  target: string;
  class: string;
  kind: string;
  /** When it happened, by the robot's clock. */
  t_us: number;
  /** When the control plane had it. */
  received_us: number;
  title: string;
  severity: Severity;
  body: unknown;
}

/** Most events kept on a page. */
export const MAX_EVENTS = 500;

/** Merges new events into a list that is newest first, once each, and no longer than `limit`. */
export function mergeEvents(known: readonly TimelineEvent[], incoming: readonly TimelineEvent[], limit = MAX_EVENTS): TimelineEvent[] {
  const byId = new Map<string, TimelineEvent>();
  for (const event of known) byId.set(String(event.id), event);
  for (const event of incoming) byId.set(String(event.id), event);
  return [...byId.values()].sort((a, b) => b.t_us - a.t_us || b.received_us - a.received_us).slice(0, limit);
}

/** Kinds that come all the time from a robot with which all is well; the control plane's `notable` leaves out the same. */
const ROUTINE = new Set(['mission', 'state', 'points', 'topic_window', 'topic_sample', 'evaluation', 'inference_summary']);

/** What an operator wants to see among everything that happens: not the steps of missions that go well. */
export function notable(event: TimelineEvent): boolean {
  return !ROUTINE.has(event.kind) || (event.kind === 'mission' && event.severity === 'error');
}

/** What can be asked for by its kind, most asked for first. */
export const EVENT_KINDS: readonly [string, string][] = [
  ['rollout', 'Rollouts'],
  ['deployment_status', 'Deployments'],
  ['fault', 'Faults'],
  ['link', 'Uplinks'],
  ['drift_report', 'Drift'],
  ['mission', 'Missions'],
  ['state', 'State reports'],
  ['policy_status', 'Policies'],
  ['command_status', 'Commands'],
  ['trigger', 'Triggers'],
  ['escalation', 'Escalations'],
  ['capture', 'Captures'],
  ['live', 'Live sessions'],
  ['survival', 'Survival'],
  ['application_event', 'Other software'],
];

/** `warning`: warnings and errors. */
export type EventView = 'notable' | 'warning' | 'all';

/** Which events a list shows. */
export interface EventFilter {
  /** Of this robot only; the fleet's when empty. */
  target: string;
  /** All when empty. */
  kind: string;
  view: EventView;
}

/** What to ask the control plane for. It knows no severities: what asks for attention is notable. */
export function eventQuery({ target, kind, view }: EventFilter): Record<string, string | undefined> {
  // A kind that is chosen is wanted, routine or not.
  return { target: target || undefined, kind: kind || undefined, notable: view !== 'all' && kind === '' ? 'true' : undefined };
}

export function takesEvent({ target, kind, view }: EventFilter, event: TimelineEvent): boolean {
  if (target !== '' && event.target !== target) return false;
  if (kind !== '' && event.kind !== kind) return false;
  if (view === 'warning') return event.severity !== 'info';
  return view === 'all' || kind !== '' || notable(event);
}

const LATE_US = 10_000_000;

/** How much later than it happened an event arrived, if that is worth saying: it waited in the robot's log. */
export function lateness(event: TimelineEvent): number | null {
  const late = event.received_us - event.t_us;
  return late >= LATE_US ? late : null;
}

/** Body of a `deployment_status` event. */
export interface DeploymentStatusEvent {
  slot: string;
  status: string;
  model: string;
  model_version: string;
  digest: string;
  running_digest: string;
  reason?: string;
  swap_gap_us?: number;
}
