// Robots as the control plane sees them: what they shall run, what they say they run, and how far apart that is.

import type { Difference } from './reconciliation';
import { count, duration, toNumber, type WireCount, type WireNumber } from './format';

export interface Version {
  server_epoch: WireCount;
  generation: WireCount;
}

export interface DesiredSlot {
  /** `model` where it is not said. */
  kind?: string;
  model: string;
  version: string;
  digest: string;
}

export type SlotStatus = 'pending' | 'downloading' | 'verifying' | 'warming' | 'active' | 'failed' | 'rolled_back';

export interface ObservedSlot {
  status: SlotStatus;
  model: string;
  version: string;
  /** Digest that serves frames now, as the robot itself attests. Empty when none does. */
  digest: string;
  reason: string;
  since_us: number | null;
  kind?: string;
  /** Of a package: what is installed, by its own word. */
  software?: string;
  /** Whether somebody changed it on the robot, and what the control plane did meanwhile. */
  standing?: 'follows' | 'local' | 'conflict';
}

export interface TargetDrift {
  flagged: boolean;
  max_psi: WireNumber;
  windows: WireCount;
  at_us: number;
}

export interface TargetAccuracy {
  model: string;
  version: string;
  digest: string;
  accuracy: WireNumber;
  samples: WireCount;
  at_us: number;
}

export interface Target {
  name: string;
  labels: Record<string, string>;
  online: boolean;
  last_seen_us: number | null;
  desired: Version & { slots: Record<string, DesiredSlot> };
  observed: (Version & { at_us: number }) | null;
  slots: Record<string, ObservedSlot>;
  drift: TargetDrift | null;
  accuracy: TargetAccuracy | null;
  /** Who keeps it from being changed; `null` when nobody does. */
  held?: { reason: string; by: string; since_us: number } | null;
  /** What is otherwise than declared. */
  difference?: Difference[];
  /** Slots that both sides changed without knowing of each other. */
  conflicts?: number;
  activity?: { mission: boolean | null; charging: boolean | null; lifecycle: Record<string, string> };
  conditions: { ready: boolean; progressing: boolean; degraded: boolean; drifted: boolean };
  fps: WireNumber | null;
  latency_p50_us: number | null;
  latency_p95_us: number | null;
  created_at_us: number;
}

/** A certificate that a robot was given. */
export interface Certificate {
  fingerprint: string;
  serial: string;
  issued_at_us: number;
  not_after_us: number;
  revoked_at_us: number | null;
}

/** Robots renew their certificate earlier than this before it ends. */
const RENEWED_DAYS = 7;

/** Whether and how long a robot can still prove who it is, by the certificate that ends last; `null` when it was never given one. */
export function certificateState(certificates: readonly Certificate[], nowUs: number): { tone: 'ok' | 'warn' | 'bad'; text: string; certificate: Certificate } | null {
  const standing = certificates.filter((one) => one.revoked_at_us === null);
  const [certificate] = [...(standing.length > 0 ? standing : certificates)].sort((a, b) => b.not_after_us - a.not_after_us);
  if (!certificate) return null;
  if (certificate.revoked_at_us !== null) return { tone: 'bad', text: 'revoked', certificate };
  const leftUs = certificate.not_after_us - nowUs;
  if (leftUs <= 0) return { tone: 'bad', text: 'expired', certificate };
  return { tone: leftUs < RENEWED_DAYS * 86_400_000_000 ? 'warn' : 'ok', text: `valid for ${duration(leftUs)}`, certificate };
}

export const DEFAULT_SLOT = 'default';

/** Stages of a slot on its way to `active`, in order. */
export const STAGES = ['pending', 'downloading', 'verifying', 'warming', 'active'] as const;

export type Convergence =
  /** Nothing has been deployed to the robot. */
  | 'unassigned'
  /** The robot attests the declared digest. */
  | 'converged'
  /** On its way. */
  | 'progressing'
  /** Not converged and offline: it will go on when it returns. */
  | 'waiting'
  | 'failed'
  | 'rolled_back';

/** How far a slot is from what is declared. Only the attested digest makes it converged. */
export function convergence(target: Target, slot = DEFAULT_SLOT): Convergence {
  const desired = target.desired.slots[slot];
  const observed = target.slots[slot];
  if (!desired) return 'unassigned';
  if (observed && observed.digest === desired.digest && observed.status === 'active') return 'converged';
  const caughtUp = target.observed !== null && compareVersions(target.observed, target.desired) >= 0;
  if (caughtUp && observed?.status === 'failed') return 'failed';
  if (caughtUp && observed?.status === 'rolled_back') return 'rolled_back';
  return target.online ? 'progressing' : 'waiting';
}

export function convergenceLabel(target: Target, slot = DEFAULT_SLOT): string {
  const state = convergence(target, slot);
  switch (state) {
    case 'unassigned':
      return 'No model';
    case 'converged':
      return 'Converged';
    case 'waiting':
      return 'Waiting for robot';
    case 'failed':
      return 'Failed';
    case 'rolled_back':
      return 'Rolled back';
    case 'progressing': {
      const status = target.slots[slot]?.status;
      return status && status !== 'active' && status !== 'failed' && status !== 'rolled_back' ? stageLabel(status) : 'Pending';
    }
  }
}

export function stageLabel(status: string): string {
  const words = status.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function compareVersions(a: Version, b: Version): number {
  const epochs = BigInt(a.server_epoch) - BigInt(b.server_epoch);
  const generations = BigInt(a.generation) - BigInt(b.generation);
  const order = epochs !== 0n ? epochs : generations;
  return order < 0n ? -1 : order > 0n ? 1 : 0;
}

// ---- the fleet table ------------------------------------------------------------------------------------------------

/** Every word must match: `key=value` a label exactly, anything else some part of the name, labels, model or digest. */
export function matchesText(target: Target, query: string): boolean {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const labels = Object.entries(target.labels).map(([key, value]) => `${key}=${value}`.toLowerCase());
  const slots = Object.values(target.slots).map((slot) => `${slot.model} v${slot.version} ${slot.digest}`.toLowerCase());
  const text = [target.name.toLowerCase(), ...labels, ...slots];
  return words.every((word) => (/^[^=]+=.+$/.test(word) ? labels.includes(word) : text.some((part) => part.includes(word))));
}

export type SortKey = 'name' | 'online' | 'model' | 'state' | 'accuracy' | 'fps' | 'latency' | 'drift' | 'last_seen';

const STATE_ORDER: Record<Convergence, number> = { failed: 0, rolled_back: 1, progressing: 2, waiting: 3, unassigned: 4, converged: 5 };

function sortValue(target: Target, key: SortKey): number | string {
  switch (key) {
    case 'name':
      return target.name;
    case 'online':
      return target.online ? 1 : 0;
    case 'model': {
      const slot = target.slots[DEFAULT_SLOT];
      return slot?.digest ? `${slot.model} ${slot.version.padStart(9, '0')}` : '';
    }
    case 'state':
      return STATE_ORDER[convergence(target)];
    case 'accuracy':
      return toNumber(target.accuracy?.accuracy);
    case 'fps':
      return toNumber(target.fps);
    case 'latency':
      return toNumber(target.latency_p50_us);
    case 'drift':
      return toNumber(target.drift?.max_psi);
    case 'last_seen':
      return toNumber(target.last_seen_us);
  }
}

const byName = new Intl.Collator('en', { numeric: true });

/** Sorted copy; robots without a value come last either way, equal ones by name. */
export function sortTargets(targets: Iterable<Target>, key: SortKey, descending: boolean): Target[] {
  const sign = descending ? -1 : 1;
  const keyed = [...targets].map((target) => ({ target, value: sortValue(target, key) }));
  const missing = (value: number | string) => (typeof value === 'number' ? Number.isNaN(value) : value === '');
  keyed.sort((a, b) => {
    if (missing(a.value) !== missing(b.value)) return missing(a.value) ? 1 : -1;
    let order = 0;
    if (!missing(a.value)) {
      order =
        typeof a.value === 'number' && typeof b.value === 'number'
          ? a.value === b.value ? 0 : a.value < b.value ? -1 : 1
          : byName.compare(String(a.value), String(b.value));
    }
    return order * sign || byName.compare(a.target.name, b.target.name);
  });
  return keyed.map(({ target }) => target);
}

export interface FleetSummary {
  robots: number;
  online: number;
  assigned: number;
  converged: number;
  drifting: number;
  watched: number;
  /** Over every joined result of the fleet, not the mean of robots' means. NaN without samples. */
  accuracy: number;
  samples: number;
  /** Frames per second of robots that are online. */
  fps: number;
}

export function summarise(targets: Iterable<Target>): FleetSummary {
  const sum: FleetSummary = { robots: 0, online: 0, assigned: 0, converged: 0, drifting: 0, watched: 0, accuracy: Number.NaN, samples: 0, fps: 0 };
  let correct = 0;
  for (const target of targets) {
    sum.robots += 1;
    if (target.online) sum.online += 1;
    const state = convergence(target);
    if (state !== 'unassigned') sum.assigned += 1;
    if (state === 'converged') sum.converged += 1;
    if (target.drift) sum.watched += 1;
    if (target.drift?.flagged) sum.drifting += 1;
    const fps = toNumber(target.fps);
    if (target.online && Number.isFinite(fps)) sum.fps += fps;
    const samples = toNumber(target.accuracy?.samples);
    const accuracy = toNumber(target.accuracy?.accuracy);
    if (samples > 0 && Number.isFinite(accuracy)) {
      sum.samples += samples;
      correct += samples * accuracy;
    }
  }
  if (sum.samples > 0) sum.accuracy = correct / sum.samples;
  return sum;
}

export interface RunningVersion {
  model: string;
  /** Empty for robots that run nothing. */
  version: string;
  digest: string;
  robots: number;
  offline: number;
}

/** Which versions the fleet attests, most robots first; robots without a model last. */
export function runningVersions(targets: Iterable<Target>): RunningVersion[] {
  const byDigest = new Map<string, RunningVersion>();
  for (const target of targets) {
    const slot = target.slots[DEFAULT_SLOT];
    const digest = slot?.digest ?? '';
    const entry = byDigest.get(digest) ?? { model: digest ? (slot?.model ?? '') : '', version: digest ? (slot?.version ?? '') : '', digest, robots: 0, offline: 0 };
    entry.robots += 1;
    if (!target.online) entry.offline += 1;
    byDigest.set(digest, entry);
  }
  return [...byDigest.values()].sort((a, b) => Number(a.digest === '') - Number(b.digest === '') || b.robots - a.robots || byName.compare(b.version, a.version));
}

// ---- the edge log ---------------------------------------------------------------------------------------------------

export interface TargetLog {
  target: string;
  classes: LogClass[];
  entries: { stored: WireCount; duplicated: WireCount; missing: WireCount; lost_recorded: WireCount; removed: WireCount };
  refused_batches: WireCount;
}

export interface LogClass {
  epoch: string;
  class: string;
  next_seq: WireCount;
  stored: WireCount;
  distinct: WireCount;
  lost: WireCount;
  rewound: WireCount;
  /** Of those lost, the ones of which nobody knows whether there were any. */
  at_most?: WireCount;
  /** Stored once, and removed since by the retention policy. */
  removed: WireCount;
}

/** Sequence numbers below the high-water mark that are neither stored nor recorded as lost or removed. */
export function missingOf(row: LogClass): number {
  return Math.max(0, toNumber(row.next_seq) - 1 - toNumber(row.distinct) - toNumber(row.lost) - toNumber(row.removed));
}

/** A range of a robot's log that will never come. */
export interface Loss {
  epoch: string;
  class: string;
  first_seq: WireCount;
  last_seq: WireCount;
  count: WireCount;
  cause: 'evicted' | 'log_damaged' | 'log_damaged_at_most' | 'server_rewound';
  /** 0 where the robot did not say. */
  bytes: number;
  first_t_us: number | null;
  last_t_us: number | null;
  recorded_us: number;
}

/** Why a range was lost, for people. */
export function lossCause(loss: Loss): string {
  switch (loss.cause) {
    case 'evicted':
      return 'evicted before it could be sent';
    case 'log_damaged':
      return "not kept by the robot's disk";
    case 'log_damaged_at_most':
      return "not kept by the robot's disk, which does not tell how many: at most these";
    case 'server_rewound':
      return 'forgotten when the control plane was restored';
    default:
      return loss.cause;
  }
}

/** `12–40`, or `12` of a single entry. */
export function lossRange(loss: Loss): string {
  return toNumber(loss.first_seq) === toNumber(loss.last_seq) ? count(loss.first_seq) : `${count(loss.first_seq)}–${count(loss.last_seq)}`;
}
