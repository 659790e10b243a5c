import { describe, expect, it } from 'vitest';
import { certificateState, compareVersions, convergence, convergenceLabel, matchesText, missingOf, runningVersions, sortTargets, summarise, type Certificate, type ObservedSlot, type Target } from './targets';

const V1 = { model: 'label-reader', version: '1', digest: 'sha256:aa' };
const V2 = { model: 'label-reader', version: '2', digest: 'sha256:bb' };

function target(name: string, change: Partial<Target> = {}): Target {
  return {
    name, labels: {}, online: true, last_seen_us: 1,
    desired: { server_epoch: '1', generation: '2', slots: { default: V2 } },
    observed: { server_epoch: '1', generation: '2', at_us: 1 },
    slots: { default: running(V2) },
    drift: null, accuracy: null, conditions: { ready: true, progressing: false, degraded: false, drifted: false },
    fps: null, latency_p50_us: null, latency_p95_us: null, created_at_us: 1, ...change,
  };
}

function running(model: typeof V1, status: ObservedSlot['status'] = 'active'): ObservedSlot {
  return { ...model, status, reason: '', since_us: 1 };
}

describe('convergence', () => {
  it('is what the robot attests, not what it was told', () => {
    expect(convergence(target('a'))).toBe('converged');
    expect(convergence(target('a', { slots: { default: running(V1) } }))).toBe('progressing');
    expect(convergence(target('a', { slots: { default: running(V2, 'verifying') } }))).toBe('progressing');
    expect(convergence(target('a', { desired: { server_epoch: '1', generation: '0', slots: {} }, slots: {} }))).toBe('unassigned');
  });

  it('names the step, or what is in the way', () => {
    expect(convergenceLabel(target('a', { slots: { default: running(V1, 'warming') } }))).toBe('Warming');
    expect(convergenceLabel(target('a', { slots: { default: running(V1) } }))).toBe('Pending');
    expect(convergenceLabel(target('a', { online: false, slots: { default: running(V1) } }))).toBe('Waiting for robot');
  });

  it('does not blame a new deployment for the failure of the one before', () => {
    const failed = { slots: { default: running(V1, 'failed') } };
    expect(convergence(target('a', failed))).toBe('failed');
    expect(convergence(target('a', { ...failed, observed: { server_epoch: '1', generation: '1', at_us: 1 } }))).toBe('progressing');
  });

  it('orders versions by epoch first, exactly beyond 2^53', () => {
    expect(compareVersions({ server_epoch: '2', generation: '1' }, { server_epoch: 1, generation: '99' })).toBe(1);
    expect(compareVersions({ server_epoch: 1, generation: '9007199254740993' }, { server_epoch: 1, generation: '9007199254740992' })).toBe(1);
    expect(compareVersions({ server_epoch: 1, generation: 2 }, { server_epoch: '1', generation: '2' })).toBe(0);
  });
});

describe('the fleet table', () => {
  it('finds by any part, and labels exactly', () => {
    const robot = target('robot-7', { labels: { site: 'Lab' } });
    for (const query of ['', 'ROBOT', 'site=lab', 'reader v2', 'bb', 'robot site=lab']) expect(matchesText(robot, query), query).toBe(true);
    for (const query of ['robot-8', 'site=la', 'robot site=dock']) expect(matchesText(robot, query), query).toBe(false);
  });

  it('sorts names as people count, and what has no value last either way', () => {
    const robots = [target('robot-10', { fps: 5 }), target('robot-9'), target('robot-2', { fps: 20 })];
    const names = (list: Target[]) => list.map(({ name }) => name);
    expect(names(sortTargets(robots, 'name', false))).toEqual(['robot-2', 'robot-9', 'robot-10']);
    expect(names(sortTargets(robots, 'fps', false))).toEqual(['robot-10', 'robot-2', 'robot-9']);
    expect(names(sortTargets(robots, 'fps', true))).toEqual(['robot-2', 'robot-10', 'robot-9']);
  });

  it('sums results, not averages of averages', () => {
    const accuracy = (value: number, samples: number) => ({ ...V2, accuracy: value, samples, at_us: 1 });
    const sum = summarise([
      target('a', { accuracy: accuracy(1, 100), fps: 20 }),
      target('b', { accuracy: accuracy(0.5, 300), fps: 20, online: false }),
      target('c', { accuracy: accuracy(Number.NaN, 0), drift: { flagged: true, max_psi: 2, windows: 1, at_us: 1 }, slots: {} }),
    ]);
    expect(sum).toMatchObject({ robots: 3, online: 2, assigned: 3, converged: 2, drifting: 1, watched: 1, samples: 400, fps: 20 });
    expect(sum.accuracy).toBeCloseTo(0.625);
    expect(summarise([]).accuracy).toBeNaN();
  });
});

describe('running versions', () => {
  it('count what robots attest, by digest, the ones without a model last', () => {
    const fleet = [target('a', { slots: {} }), target('b', { slots: {} }), target('c', { slots: { default: running(V1) } }), target('d', { online: false })];
    expect(runningVersions(fleet).map(({ version, robots, offline }) => [version, robots, offline])).toEqual([['2', 1, 1], ['1', 1, 0], ['', 2, 0]]);
  });
});

describe('the edge log', () => {
  it('misses what is below the high-water mark, neither stored nor recorded as lost', () => {
    const row = { epoch: 'e', class: 'event', next_seq: '11', stored: 8, distinct: '7', lost: 2, rewound: 0, removed: '1' };
    expect(missingOf(row)).toBe(0);
    expect(missingOf({ ...row, lost: 1 })).toBe(1);
    expect(missingOf({ ...row, removed: 0 })).toBe(1);
  });
});

describe('certificates', () => {
  const DAY_US = 86_400_000_000;
  const NOW_US = 1_000 * DAY_US;
  const certificate = (ends_in_days: number, revoked = false): Certificate => ({
    fingerprint: 'ab', serial: String(ends_in_days), issued_at_us: 0, not_after_us: NOW_US + ends_in_days * DAY_US, revoked_at_us: revoked ? 1 : null,
  });

  it('say whether and how long a robot can prove who it is', () => {
    const table: [Certificate[], string | null, string?][] = [
      [[], null],
      [[certificate(30)], 'ok', 'valid for 30 d'],
      [[certificate(-1), certificate(22), certificate(3)], 'ok', 'valid for 22 d'],
      [[certificate(6)], 'warn', 'valid for 6 d'],
      [[certificate(0)], 'bad', 'expired'],
      [[certificate(30, true)], 'bad', 'revoked'],
      [[certificate(30, true), certificate(5)], 'warn', 'valid for 5 d'],
    ];
    for (const [certificates, tone, text] of table) {
      const state = certificateState(certificates, NOW_US);
      expect([state?.tone ?? null, state?.text]).toEqual([tone, text]);
    }
  });
});
