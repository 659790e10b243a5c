// A fleet that runs for long says mostly that missions go well: what went wrong stays in sight, and all of it is in reach.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until, Watched } from './browser';
import type { World } from './control-plane';
import { Robot } from './robot';

const LIMIT_MS = 20_000;
const NAME = 'robot-3';
/** More than a page of the timeline, and more than a browser is told of at first. */
const MISSIONS = 400;

export function events(world: () => World): void {
  describe('the latest events of a fleet whose missions go well', () => {
    let robot: Robot;
    let watched: Watched;

    const mission = (n: number, step: string) => ({ kind: 'mission', body: { sequence: n, mission_id: `m${n}`, step, progress: 1, detail: step === 'failed' ? 'the shelf is blocked' : '' } });

    beforeAll(async () => {
      const { browser, at } = world();
      robot = await Robot.enrol(at, NAME);
      await robot.say('critical', [{ kind: 'fault', body: { source: 'inference_node', message: 'the camera is gone' } }]);
      await robot.say('event', [mission(1, 'failed')]);
      for (let from = 2; from < MISSIONS; from += 200) await robot.say('event', Array.from({ length: 200 }, (_, n) => mission(from + n, 'succeeded')));
      watched = await Watched.open(browser, '#/fleet', at.url, at.token);
    });

    afterAll(async () => {
      await watched?.context.close();
    });

    const panel = () => watched.page.locator('section:has(#events-title)');
    const kinds = () => panel().locator('li[data-kind]').evaluateAll((items) => items.map((item) => (item as HTMLElement).dataset.kind));
    const press = (name: string) => panel().getByRole('button', { name, exact: true }).click();

    it('shows what went wrong, not the hundreds of steps that came after it', async () => {
      await panel().getByText('the camera is gone').waitFor({ timeout: LIMIT_MS });
      expect(await panel().getByText('mission m1 failed: the shelf is blocked').count()).toBe(1);
      expect((await kinds()).filter((kind) => kind === 'mission')).toHaveLength(1);
      await watched.picture('fleet-events');
    });

    it('keeps up: what is notable comes at once, another step of a mission does not', async () => {
      await robot.say('event', [mission(MISSIONS + 10, 'started'), { kind: 'link', body: { connected: false, uplink: 'mqtt', reason: 'no route to host' } }]);
      await panel().getByText('uplink lost (mqtt): no route to host').waitFor({ timeout: LIMIT_MS });
      expect((await kinds()).filter((kind) => kind === 'mission')).toHaveLength(1);
    });

    it('has all of it when asked, page by page', async () => {
      await press('All');
      await until('missions', async () => (await kinds()).filter((kind) => kind === 'mission').length >= 90, LIMIT_MS);
      expect(await panel().getByText('the camera is gone').count(), 'it is further down').toBe(0);
      for (let pages = 0; pages < 8 && (await panel().getByText('the camera is gone').count()) === 0; pages += 1) {
        const shown = (await kinds()).length;
        await panel().locator('[data-action="older"]').click();
        await until('older ones', async () => (await kinds()).length > shown, LIMIT_MS);
      }
      expect(await panel().getByText('the camera is gone').count()).toBe(1);
    });

    it('is asked for one kind, and for what is broken', async () => {
      await panel().getByLabel('Kind of event').selectOption('fault');
      await until('faults only', async () => new Set(await kinds()).size === 1 && (await kinds())[0] === 'fault', LIMIT_MS);
      await panel().getByLabel('Kind of event').selectOption('');
      await press('Problems');
      await until('problems only', async () => (await kinds()).toSorted().join() === 'fault,link,mission', LIMIT_MS);
      await press('Notable');
      await panel().getByLabel('Kind of event').selectOption('rollout');
      await panel().getByText('No such event').waitFor({ timeout: LIMIT_MS });
      expect(watched.problems).toEqual([]);
    });

    it("is the same on the robot's own page", async () => {
      const { page } = watched;
      await page.evaluate((name) => (location.hash = `#/robots/${name}`), NAME);
      await page.locator('section:has(#timeline-title)').getByText('the camera is gone').waitFor({ timeout: LIMIT_MS });
      expect(await page.locator('section:has(#timeline-title) li[data-kind="mission"]').count()).toBe(1);
      expect(await watched.loadedOnce()).toBe(true);
    });
  });
}
