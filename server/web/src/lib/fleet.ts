// Which robots a page shows, and how many of each kind there are: in the browser while it knows the whole fleet, else asked of the
// control plane.

import type { Query } from './api';
import { convergence, DEFAULT_SLOT, matchesText, type Target } from './targets';

/** Up to so many robots are kept in the browser, sorted and filtered there; of a larger fleet pages are asked for as they come into sight. */
export const WHOLE = 2_000;

export const CONDITIONS = ['ready', 'progressing', 'degraded', 'drifted', 'offline', 'held'] as const;
export type Condition = (typeof CONDITIONS)[number];

export const CONDITION_WORDS: Record<Condition, { label: string; title: string }> = {
  ready: { label: 'Ready', title: 'Online, and serves all that is declared' },
  progressing: { label: 'Progressing', title: 'Something declared is not yet there' },
  degraded: { label: 'Degraded', title: 'A slot failed or was rolled back' },
  drifted: { label: 'Drifting', title: 'Its newest drift window is flagged' },
  offline: { label: 'Offline', title: 'Has no open session' },
  held: { label: 'Held', title: 'Somebody keeps it from being changed' },
};

export interface FleetSummary {
  robots: number;
  conditions: Partial<Record<Condition, number>>;
  labels: Record<string, Record<string, number>>;
  groups: Record<string, number>;
  models: { model: string; version: string; digest: string; robots: number }[];
}

/** What somebody chose; as it stands in the address. */
export interface FleetFilter {
  text: string;
  /** `key:value`; of one key any value will do. */
  labels: readonly string[];
  group: string;
  condition: Condition | 'online' | 'unconverged' | '';
  /** `name/version`. */
  model: string;
}

export const NO_FILTER: FleetFilter = { text: '', labels: [], group: '', condition: '', model: '' };
export const filtering = (filter: FleetFilter) => filter.text.trim() !== '' || filter.labels.length > 0 || filter.group !== '' || filter.condition !== '' || filter.model !== '';

export function filterFrom(query: Readonly<Record<string, string>>): FleetFilter {
  const condition = query.condition ?? '';
  return {
    text: query.q ?? '',
    labels: (query.label ?? '').split(',').filter((label) => /^[^:]+:.+$/.test(label)),
    group: query.group ?? '',
    condition: ([...CONDITIONS, 'online', 'unconverged'] as string[]).includes(condition) ? (condition as FleetFilter['condition']) : '',
    model: query.model ?? '',
  };
}

export function queryFrom(filter: FleetFilter): Record<string, string | null> {
  return { q: filter.text || null, label: filter.labels.join(',') || null, group: filter.group || null, condition: filter.condition || null, model: filter.model || null };
}

/** What is asked of the control plane. A word `key=value` of the text is a label, the others a part of the name. */
export function apiQuery(filter: FleetFilter): Query & { label?: string[] } {
  const words = filter.text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const labels = [...filter.labels, ...words.filter((word) => /^[^=]+=.+$/.test(word)).map((word) => word.replace('=', ':'))];
  const part = words.filter((word) => !/^[^=]+=.+$/.test(word)).join(' ');
  // The control plane has no words for these two.
  const condition = filter.condition === 'unconverged' ? 'progressing' : filter.condition === 'online' ? '' : filter.condition;
  return {
    ...(part !== '' && { q: part }),
    ...(labels.length > 0 && { label: labels }),
    ...(filter.group !== '' && { group: filter.group }),
    ...(condition !== '' && { condition }),
    ...(filter.model !== '' && { model: filter.model }),
  };
}

export function isIn(target: Target, condition: FleetFilter['condition']): boolean {
  switch (condition) {
    case '':
      return true;
    case 'online':
      return target.online;
    case 'offline':
      return !target.online;
    case 'held':
      return (target.held ?? null) !== null;
    case 'drifted':
      return target.drift?.flagged ?? false;
    case 'unconverged': {
      const state = convergence(target);
      return state !== 'converged' && state !== 'unassigned';
    }
    case 'ready':
      return target.online && target.conditions.ready;
    default:
      return target.conditions[condition];
  }
}

/** Whether a robot that the browser knows is among those chosen; `members` are the names of the group, where one is. */
export function takes(target: Target, filter: FleetFilter, members: ReadonlySet<string> | null): boolean {
  const byKey = new Map<string, string[]>();
  for (const label of filter.labels) {
    const at = label.indexOf(':');
    const key = label.slice(0, at);
    byKey.set(key, [...(byKey.get(key) ?? []), label.slice(at + 1)]);
  }
  for (const [key, values] of byKey) if (!values.includes(target.labels[key] ?? '\u0000')) return false;
  if (filter.group !== '' && !(members?.has(target.name) ?? false)) return false;
  if (filter.model !== '' && !Object.values(target.slots).some((slot) => slot.digest !== '' && `${slot.model}/${slot.version}` === filter.model)) return false;
  return isIn(target, filter.condition) && matchesText(target, filter.text);
}

/** The same counts the control plane gives, of robots that the browser knows. It knows no groups. */
export function summaryOf(targets: Iterable<Target>): FleetSummary {
  const sum: FleetSummary = { robots: 0, conditions: {}, labels: {}, groups: {}, models: [] };
  const models = new Map<string, FleetSummary['models'][number]>();
  for (const target of targets) {
    sum.robots += 1;
    for (const condition of CONDITIONS) if (isIn(target, condition)) sum.conditions[condition] = (sum.conditions[condition] ?? 0) + 1;
    for (const [key, value] of Object.entries(target.labels)) (sum.labels[key] ??= {})[value] = (sum.labels[key]?.[value] ?? 0) + 1;
    const seen = new Set<string>();
    for (const slot of Object.values(target.slots)) {
      if (!slot.digest || seen.has(slot.digest)) continue;
      seen.add(slot.digest);
      const known = models.get(slot.digest) ?? { model: slot.model, version: slot.version, digest: slot.digest, robots: 0 };
      known.robots += 1;
      models.set(slot.digest, known);
    }
  }
  sum.models = [...models.values()].sort((a, b) => b.robots - a.robots);
  return sum;
}

/** What a robot is otherwise than declared, in few words; empty where it is as declared. */
export function differenceText(target: Target): string {
  const names = (target.difference ?? []).map(({ what }) => what).filter((what) => what !== `slot:${DEFAULT_SLOT}`);
  return names.length === 0 ? '' : names.length > 2 ? `${names.length} differ` : names.join(', ');
}
