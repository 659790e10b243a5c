import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Api } from './api';
import { Cells } from './cells.svelte';
import type { RobotCell } from './rollouts';

const NOW_US = 1_800_000_000_000_000;
const cell = (target: string, phase: RobotCell['phase'], since_us: number): RobotCell => ({ target, stage: 0, phase, since_us, reason: '' });

describe('the robots of a rollout', () => {
  afterEach(() => vi.useRealTimers());

  it('that changed while the others were being read are read again', async () => {
    vi.useFakeTimers();
    const asked: (number | undefined)[] = [];
    let answer: (cells: RobotCell[]) => void = () => {};
    const api = { rolloutRobots: (_: string, { since_us }: { since_us?: number }) => (asked.push(since_us), new Promise<RobotCell[]>((resolve) => (answer = resolve))) };
    const cells = new Cells('7', () => api as unknown as Api);
    cells.whole();
    await vi.advanceTimersByTimeAsync(3_000);
    // The first page is three seconds old: robot-1 has changed since, two seconds before robot-9 did.
    answer([cell('robot-1', 'updating', NOW_US - 9_000_000), cell('robot-9', 'updated', NOW_US)]);
    await vi.advanceTimersByTimeAsync(0);
    expect([cells.loaded, cells.known.size]).toEqual([true, 2]);
    cells.changed();
    expect(asked).toHaveLength(2);
    expect(asked[1]).toBeLessThanOrEqual(NOW_US - 2_000_000);
    expect(asked[1]).toBeGreaterThan(NOW_US - 4_000_000);
    answer([cell('robot-1', 'updated', NOW_US - 2_000_000)]);
    await vi.advanceTimersByTimeAsync(0);
    expect(cells.known.get('robot-1')?.phase).toBe('updated');
    cells.close();
  });
});
