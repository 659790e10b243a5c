import { describe, expect, it } from 'vitest';
import { apiQuery, differenceText, filterFrom, filtering, isIn, NO_FILTER, queryFrom, summaryOf, takes, type FleetFilter } from './fleet';
import type { ObservedSlot, Target } from './targets';

const V2 = { model: 'label-reader', version: '2', digest: 'sha256:bb' };
const running = (version: typeof V2): ObservedSlot => ({ ...version, status: 'active', reason: '', since_us: 1 });
function target(name: string, change: Partial<Target> = {}): Target {
  return {
    name, labels: {}, online: true, last_seen_us: 1, desired: { server_epoch: '1', generation: '2', slots: { default: V2 } }, observed: { server_epoch: '1', generation: '2', at_us: 1 }, slots: { default: running(V2) },
    drift: null, accuracy: null, conditions: { ready: true, progressing: false, degraded: false, drifted: false }, fps: null, latency_p50_us: null, latency_p95_us: null, created_at_us: 1, ...change,
  };
}
const filter = (change: Partial<FleetFilter>): FleetFilter => ({ ...NO_FILTER, ...change });

describe('what is chosen', () => {
  it('stands in the address, and is read back from it', () => {
    const chosen = filter({ text: 'arm', labels: ['site:lab', 'site:dock'], group: 'night', condition: 'held', model: 'label-reader/2' });
    const said = Object.fromEntries(Object.entries(queryFrom(chosen)).filter(([, value]) => value !== null)) as Record<string, string>;
    expect(filterFrom(said)).toEqual(chosen);
    expect(filterFrom({})).toEqual(NO_FILTER);
    expect(Object.values(queryFrom(NO_FILTER)).every((value) => value === null)).toBe(true);
    // An address that somebody changed by hand is no reason to show nothing.
    expect(filterFrom({ condition: 'happy', label: 'site' })).toEqual(NO_FILTER);
    expect([filtering(NO_FILTER), filtering(chosen), filtering(filter({ text: ' ' }))]).toEqual([false, true, false]);
  });

  it('is asked of the control plane in its words', () => {
    expect(apiQuery(NO_FILTER)).toEqual({});
    expect(apiQuery(filter({ text: 'Arm site=Lab', labels: ['zone:a'], group: 'night', condition: 'drifted', model: 'm/1' }))).toEqual({ q: 'arm', label: ['zone:a', 'site:lab'], group: 'night', condition: 'drifted', model: 'm/1' });
    expect(apiQuery(filter({ condition: 'unconverged' }))).toEqual({ condition: 'progressing' });
  });
});

describe('robots that the browser knows', () => {
  it('are taken when all that is chosen holds; of one label any value will do', () => {
    const robot = target('robot-7', { labels: { site: 'lab', zone: 'a' } });
    for (const change of [{}, { labels: ['site:lab'] }, { labels: ['site:dock', 'site:lab'] }, { labels: ['site:lab', 'zone:a'] }, { text: 'bot-7 site=lab' }, { model: 'label-reader/2' }, { condition: 'online' as const }])
      expect(takes(robot, filter(change), null), JSON.stringify(change)).toBe(true);
    for (const change of [{ labels: ['site:dock'] }, { labels: ['site:lab', 'zone:b'] }, { labels: ['floor:1'] }, { text: 'robot-8' }, { model: 'label-reader/1' }, { condition: 'offline' as const }, { group: 'night' }])
      expect(takes(robot, filter(change), null), JSON.stringify(change)).toBe(false);
    expect(takes(robot, filter({ group: 'night' }), new Set(['robot-7']))).toBe(true);
  });

  it('have conditions', () => {
    const held = target('a', { held: { reason: 'repair', by: 'ada', since_us: 1 } });
    expect([isIn(held, 'held'), isIn(target('b'), 'held'), isIn(target('b', { held: null }), 'held')]).toEqual([true, false, false]);
    expect(isIn(target('a', { drift: { flagged: true, max_psi: 2, windows: 3, at_us: 1 } }), 'drifted')).toBe(true);
    expect([isIn(target('a', { slots: {} }), 'unconverged'), isIn(target('a'), 'unconverged')]).toEqual([true, false]);
    expect([isIn(target('a'), 'ready'), isIn(target('a', { online: false }), 'ready')]).toEqual([true, false]);
    expect(isIn(target('a', { conditions: { ready: false, progressing: false, degraded: true, drifted: false } }), 'degraded')).toBe(true);
  });

  it('are counted as the control plane counts', () => {
    const sum = summaryOf([target('a', { labels: { site: 'lab' } }), target('b', { labels: { site: 'dock' }, online: false }), target('c', { labels: { site: 'lab' }, slots: { default: running(V2), second: running(V2) } }), target('d', { slots: {} })]);
    expect(sum).toEqual({ robots: 4, conditions: { ready: 3, offline: 1 }, labels: { site: { lab: 2, dock: 1 } }, groups: {}, models: [{ ...V2, robots: 3 }] });
  });

  it('tell what differs beside the model, which has a column of its own', () => {
    const differing = (...what: string[]) => differenceText(target('a', { difference: what.map((one) => ({ what: one, declared: 'x', actual: 'y' })) }));
    expect([differing(), differing('slot:default'), differing('slot:default', 'policy'), differing('policy', 'config:nav', 'software:base')]).toEqual(['', '', 'policy', '3 differ']);
    expect(differenceText(target('a'))).toBe('');
  });
});
