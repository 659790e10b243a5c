// The fleet as it is declared: revisions, what each changed, and which wait for somebody's review.

import type { Tone } from './deployments';
import type { RolloutPhase } from './rollouts';

export type RevisionState = 'proposed' | 'applied' | 'rejected' | 'superseded';

export interface Revision {
  revision: number;
  /** 0: nothing was declared before. */
  based_on: number;
  state: RevisionState;
  message: string;
  digest: string;
  created_by: string;
  created_at_us: number;
  /** Who approved or rejected it. */
  decided_by: string | null;
  decided_at_us: number | null;
  reason: string;
  /** Robots it changes. */
  robots: number;
}

/** One thing that is declared otherwise; `null` where it is not declared. */
export interface Change {
  path: string;
  before: unknown;
  after: unknown;
}

export interface PlannedTarget {
  target: string;
  labels: { key: string; before: string | null; after: string | null }[];
  /** `before` and `after` are `name/version`; `how` says whether a rollout brings it. */
  slots: { slot: string; declaration: string; before: string | null; after: string; how: string }[];
  policy: { declaration: string; how: string } | null;
}

export interface FleetPlan {
  robots: PlannedTarget[];
  /** Rollouts that begin with it. */
  rollouts: { declaration: string; slot: string; release: string; rollout: string; robots: number; stages: { name: string; robots: number }[] }[];
  /** Rollouts that bring it already. */
  under_way: { declaration: string; rollout: string; robots: number }[];
  /** Robots that have no slot for what a part gives them; older control planes do not say. */
  lacking?: { declaration: string; reason: string; robots: string[] }[];
  /** Declared by name, and not enrolled. */
  not_enrolled: string[];
}

export interface RevisionView extends Revision {
  spec: unknown;
  changes: Change[];
  plan: FleetPlan;
}

export interface DeclaredFleet {
  /** The newest that was applied; 0 when nothing was declared yet. */
  revision: number;
  /** Whether a second person must approve what is declared. */
  review: 'none' | 'required';
  applied: Revision | null;
  proposals: Revision[];
  groups: Record<string, string[]>;
  rollouts: { declaration: string; rollout: string; phase: RolloutPhase }[];
}

export type RevisionAct = 'approve' | 'reject' | 'revert';

const STATES: Record<RevisionState, { label: string; tone: Tone }> = {
  proposed: { label: 'Waits for review', tone: 'warn' },
  applied: { label: 'Applied', tone: 'ok' },
  rejected: { label: 'Rejected', tone: 'bad' },
  superseded: { label: 'Superseded', tone: 'idle' },
};

export const revisionState = (state: RevisionState) => STATES[state] ?? { label: state, tone: 'idle' as Tone };

/** What may be done with a revision: who proposed it cannot be told from here, so the control plane says no to them. */
export function actsOn(revision: Revision, current: number): RevisionAct[] {
  if (revision.state === 'proposed') return ['approve', 'reject'];
  return revision.state !== 'rejected' && revision.revision !== current ? ['revert'] : [];
}

/** A declared value on one line. */
export function valueText(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export type ChangeKind = 'added' | 'removed' | 'changed';
export function changeKind(change: Change): ChangeKind {
  const [before, after] = [change.before ?? null, change.after ?? null];
  return before === null ? 'added' : after === null ? 'removed' : 'changed';
}

/** What happens to one robot, in words; one line each. */
export function plannedLines(target: PlannedTarget): string[] {
  return [
    ...target.slots.map(({ slot, before, after, how }) => `${slot}: ${before || 'nothing'} → ${after || 'nothing'}${how ? ` (${how})` : ''}`),
    ...target.labels.map(({ key, before, after }) => (after === null ? `label ${key} is taken away` : before === null ? `label ${key}=${after}` : `label ${key}: ${before} → ${after}`)),
    ...(target.policy ? [`telemetry policy ${target.policy.declaration}${target.policy.how ? ` (${target.policy.how})` : ''}`] : []),
  ];
}
