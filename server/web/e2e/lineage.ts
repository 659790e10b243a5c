// What a person asks of a robot: what runs there and what it was trained on, who else ran that, how it was before, and what changed since.

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until, Watched } from './browser';

const LIMIT_MS = 30_000;

export function lineage(browser: () => Browser): void {
  describe('where what runs comes from', () => {
    let watched: Watched;
    const graph = () => watched.page.locator('[data-graph]');
    const node = (kind: string) => watched.page.locator(`[data-kind="${kind}"]`);
    /** Waits until the graph is around a node of this kind and of the moment that was chosen. */
    const around = (kind: string) => until(`a graph around a ${kind}`, async () => (await graph().count()) === 1 && ((await graph().getAttribute('data-graph')) ?? '').startsWith(`${kind}:`) && (await graph().getAttribute('data-graph-at')) !== 'loading', LIMIT_MS);

    beforeAll(async () => {
      watched = await Watched.open(browser(), '#/robots/robot-1');
    });

    afterAll(async () => {
      await watched?.context.close();
    });

    it('leads from a robot back to the dataset', async () => {
      const { page } = watched;
      await page.locator('[data-action="lineage"]').click();
      await around('robot');
      await node('dataset').filter({ hasText: 'digit frames' }).first().waitFor();
      for (const kind of ['run', 'version', 'deployment', 'robot']) expect(await node(kind).count(), kind).toBeGreaterThan(0);
      expect(await page.locator('[data-edge="attested"][data-to="robot:robot-1"]').count()).toBe(1);
      await watched.picture('lineage-graph');
      await watched.picture('lineage-graph-dark', 'dark');
    });

    it('leads from the dataset to every robot, and back, by the keyboard alone', async () => {
      const { page } = watched;
      const trained = page.locator('[data-edge="trained_on"]').first();
      const dataset = (await trained.getAttribute('data-from'))!;
      await page.locator(`[data-node="${dataset}"]`).focus();
      await page.keyboard.press('Enter');
      await page.locator(`[data-details="${dataset}"]`).waitFor();
      await page.locator('[data-action="follow"]').focus();
      await page.keyboard.press('Enter');
      await around('dataset');
      await until('three robots that ran what comes of it', async () => (await node('robot').count()) === 3, LIMIT_MS);
      expect(await node('version').count()).toBe(2);
      await until('what each of them ran', async () => (await page.locator('[data-bar]').count()) > 5, LIMIT_MS);
      await page.locator('[data-node="robot:robot-2"]').click();
      await page.locator('[data-action="follow"]').click();
      await around('robot');
      expect(await graph().getAttribute('data-graph')).toBe('robot:robot-2');
    });

    it('is shown as it was, change by change', async () => {
      const { page } = watched;
      const versions = async () => (await node('version').allInnerTexts()).map((text) => /label-reader (\d+)/.exec(text)?.[1]).join();
      await page.locator('[data-bar]').first().waitFor();
      const now = await versions();
      for (let back = 0; back < 12 && !(await page.locator('[data-action="change-before"]').isDisabled()); back += 1) await page.locator('[data-action="change-before"]').click();
      await around('robot');
      await until('version 1, which was the first there', async () => (await versions()) === '1', LIMIT_MS);
      expect(await page.locator('p[data-at]').innerText()).toContain('label-reader v1');
      expect(await page.evaluate(() => location.hash)).toMatch(/at=\d{16}/);
      await page.locator('[data-action="change-after"]').click();
      await until('version 2, which came next', async () => (await versions()) === '2', LIMIT_MS);
      await watched.picture('lineage-then');
      await page.locator('[data-action="change-before"]').click();
      await until('version 1 again', async () => (await versions()) === '1', LIMIT_MS);
      expect(now).not.toBe('');
    });

    it('says what changed since then: model, measurements, and who told the robot', async () => {
      const { page } = watched;
      await page.locator('[data-action="what-changed"]').click();
      await page.locator('[data-side="before"]').waitFor();
      expect(await page.locator('[data-side="before"]').innerText()).toMatch(/v1[\s\S]*Told by deployment/);
      expect(await page.locator('[data-side="after"]').innerText()).toContain('v2');
      await page.locator('[data-diff="accuracy"]').first().waitFor();
      expect(await page.locator('[data-section="Parameters"] [data-diff]').count()).toBeGreaterThan(0);
      await watched.picture('lineage-diff');
      await page.getByLabel('Time before; empty is now').fill('');
      await page.getByLabel('Robot after').fill('robot-3');
      await page.getByLabel('Robot after').press('Enter');
      await until('the very same bundle', async () => (await page.locator('[data-same]').getAttribute('data-same')) === 'true', LIMIT_MS);
    });

    it('tells everything that touched a robot, by kind', async () => {
      const { page } = watched;
      await page.evaluate(() => (location.hash = '#/lineage?target=robot-3'));
      const history = page.locator('[data-history="robot-3"]');
      await history.locator('[data-item]').first().waitFor();
      const first = await history.locator('[data-item]').count();
      await history.locator('[data-action="more"]').click();
      await until('more of it', async () => (await history.locator('[data-item]').count()) > first, LIMIT_MS);
      await history.locator('[data-category-filter="attested"]').click();
      await until('only what ran', async () => (await history.locator('[data-item]').count()) > 0 && (await history.locator('[data-item]:not([data-category="attested"])').count()) === 0, LIMIT_MS);
      const titles = (await history.locator('[data-item]').allInnerTexts()).join('\n');
      expect(titles).toContain('label-reader 2 serves');
      await history.locator('[data-item] button.time').first().click();
      await until('the graph of that moment', async () => /^\d{16}$/.test((await graph().getAttribute('data-graph-at')) ?? ''), LIMIT_MS);
    });

    it('is said plainly of what nobody knows, and fits a narrow screen', async () => {
      const { page } = watched;
      expect(watched.problems).toEqual([]);
      await page.evaluate(() => (location.hash = '#/lineage?target=nobody'));
      await page.locator('[data-error="404"]').first().waitFor();
      await page.evaluate(() => (location.hash = '#/lineage?dataset=none'));
      await page.getByText('Nothing is known to be tied').waitFor();
      expect(watched.problems.splice(0).filter((problem) => !problem.includes('status of 404'))).toEqual([]);
      await page.setViewportSize({ width: 480, height: 900 });
      for (const hash of ['#/lineage?target=robot-1', '#/lineage/diff?before=robot-1&after=robot-2']) {
        await page.evaluate((to) => (location.hash = to), hash);
        await page.locator('main .panel').first().waitFor();
        await until(`${hash} to fit`, () => page.evaluate(() => document.querySelector('main')!.scrollWidth <= document.querySelector('main')!.clientWidth), LIMIT_MS);
      }
      expect(watched.problems).toEqual([]);
      expect(await watched.loadedOnce()).toBe(true);
    });
  });
}
