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

const RANK: Record<Severity, number> = { info: 0, warning: 1, error: 2 };

export function atLeast(events: readonly TimelineEvent[], severity: Severity): TimelineEvent[] {
  return events.filter((event) => RANK[event.severity] >= RANK[severity]);
}

/** What an operator wants to see among everything that happens: not the steps of missions that go well. */
export function notable(event: TimelineEvent): boolean {
  return event.kind !== 'mission' || event.severity !== 'info';
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
