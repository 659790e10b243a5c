// What a person does with rollouts, against the control plane of the demo and its robots: plans one, starts it, watches each robot,
// approves a stage, and takes it all back.

import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { environment, until, Watched } from './browser';

const LIMIT_MS = 60_000;
const ROBOTS = ['robot-1', 'robot-2', 'robot-3'];
const CANARY = 'robot-3';

interface Told {
  id: string;
  phase: string;
  actions: string[];
  history: { happened: string; cause: string; actor: { kind: string; name?: string } }[];
}

async function get<T>(path: string): Promise<T> {
  const response = await fetch(`${environment.url}/api/v1/${path}`, { headers: { authorization: `Bearer ${environment.token}` } });
  if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

const running = async (name: string) => (await get<{ slots: Record<string, { digest: string }> }>(`targets/${name}`)).slots.default?.digest;
const phaseOf = (page: Page, name: string) => page.locator(`[data-cell="${name}"]`).getAttribute('data-phase');
const shown = (found: Locator) => found.evaluateAll((buttons) => buttons.map((button) => (button as HTMLElement).dataset.action));

/** What the page says of a rollout. */
const told = async (page: Page) => `It says: ${await page.locator('main').innerText()}`.slice(0, 1_500);

/** What the story rolled out: a good version to the end, a bad one to its canary and back. */
export function storyRollouts(browser: () => Browser): void {
  describe('the rollouts of the story', () => {
    let watched: Watched;

    beforeAll(async () => {
      watched = await Watched.open(browser(), '#/rollouts');
    });

    afterAll(async () => {
      await watched?.context.close();
    });

    const open = async (version: string) => {
      const { page } = watched;
      await page.evaluate(() => (location.hash = '#/rollouts'));
      await page.locator('article[data-rollout]', { hasText: `label-reader v${version}` }).first().locator('a.what').click();
      await page.locator('[data-cell]').first().waitFor({ timeout: LIMIT_MS });
    };

    it('v2 went by canary, half and all, and the robot that was away is updated, too', async () => {
      const { page } = watched;
      await open('2');
      expect(await page.locator('.head[data-rollout]').getAttribute('data-phase')).toBe('succeeded');
      expect(await page.locator('[data-stage-name]').evaluateAll((stages) => stages.map((stage) => `${(stage as HTMLElement).dataset.stageName} ${(stage as HTMLElement).dataset.stageState}`))).toEqual(['canary passed', 'half passed', 'all passed']);
      for (const name of ROBOTS) expect(await phaseOf(page, name), name).toBe('updated');
      // Its last stage has nobody who could be judged: those before it were.
      const verdicts = await page.locator('[data-evidence="half"] [data-gate]').evaluateAll((gates) => gates.map((gate) => [(gate as HTMLElement).dataset.gate, (gate as HTMLElement).dataset.verdict]));
      expect(Object.fromEntries(verdicts)).toEqual({ accuracy: 'pass', inputs: 'pass' });
      await watched.picture('rollout-succeeded');
      await watched.picture('rollout-succeeded-dark', 'dark');
    });

    it('v3 was caught at its canary by what it answered, not by what it saw, and the numbers are shown', async () => {
      const { page } = watched;
      await open('3');
      expect(await page.locator('.head[data-rollout]').getAttribute('data-phase')).toBe('rolled_back');
      expect(await page.locator('[data-stage-name="canary"]').getAttribute('data-stage-state')).toBe('failed');
      await until('the canary back', async () => (await phaseOf(page, 'robot-1')) === 'rolled_back', LIMIT_MS);
      for (const name of ROBOTS.slice(1)) expect(['pending', 'skipped'], name).toContain(await phaseOf(page, name));
      const verdicts = await page.locator('[data-evidence="canary"] [data-gate]').evaluateAll((gates) => gates.map((gate) => [(gate as HTMLElement).dataset.gate, (gate as HTMLElement).dataset.verdict]));
      expect(Object.fromEntries(verdicts)).toEqual({ accuracy: 'fail', answers: 'fail', inputs: 'pass' });
      const chart = page.locator('[data-gate-chart="accuracy"]');
      await chart.locator('[data-threshold]').waitFor({ timeout: LIMIT_MS });
      expect(Number(await chart.getAttribute('data-samples'))).toBeGreaterThanOrEqual(200);
      expect(await page.locator('[data-happened="rollback_began"]').innerText()).toContain('by the rollout itself');
      await watched.picture('rollout');
      await watched.picture('rollout-dark', 'dark');
      expect(watched.problems).toEqual([]);
    });
  });
}

export function rollouts(browser: () => Browser): void {
  describe('a rollout by hand', () => {
    let watched: Watched;
    let before: Map<string, string | undefined>;
    let id: string;

    beforeAll(async () => {
      watched = await Watched.open(browser(), '#/rollouts');
      before = new Map(await Promise.all(ROBOTS.map(async (name) => [name, await running(name)] as const)));
    });

    afterAll(async () => {
      await watched?.context.close();
    });

    const phase = async (wanted: string) => {
      const { page } = watched;
      let seen: string | null = null;
      const holds = async () => (seen = await page.locator('.head[data-rollout]').getAttribute('data-phase')) === wanted;
      await until(`the rollout to be ${wanted}`, holds, LIMIT_MS, () => `It is ${seen}.`).catch(async (error: Error) => Promise.reject(new Error(`${error.message} ${await told(page)}`)));
    };

    /** The buttons are exactly what the control plane offers now. */
    const offers = async () => {
      const { page } = watched;
      const api = (await get<Told>(`rollouts/${id}`)).actions.toSorted();
      let buttons: (string | undefined)[] = [];
      await until('buttons for what the control plane offers', async () => (buttons = (await shown(page.getByRole('group', { name: 'Actions' }).locator('button'))).toSorted()).join() === api.join(), LIMIT_MS, () => `It offers ${api.join()}, the page ${buttons.join()}.`);
      return api;
    };

    const act = async (action: string, reason: string) => {
      const { page } = watched;
      await page.getByRole('group', { name: 'Actions' }).locator(`[data-action="${action}"]`).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Why').fill(reason);
      await dialog.locator(`[data-action="confirm-${action}"]`).click();
      await dialog.waitFor({ state: 'detached' });
    };

    it('is planned robot by robot before it starts', async () => {
      const { page } = watched;
      const known = async () => (await get<{ items: unknown[] }>('rollouts?limit=1000')).items.length;
      const was = await known();
      await page.locator('[data-action="new-rollout"]').click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Version').selectOption('1');
      await dialog.getByLabel('What stage 1 takes').selectOption('names');
      await dialog.getByLabel('How many or which robots stage 1 takes').fill(CANARY);
      await dialog.getByLabel('Soak time of stage 1').fill('');
      await dialog.getByRole('button', { name: 'Remove stage 2' }).click();
      await dialog.getByLabel('Stage 2 needs approval').check();
      for (const gate of [/^Accuracy is no worse than before/, /^Answers are distributed/]) await dialog.getByRole('checkbox', { name: gate }).uncheck();
      await dialog.getByLabel('Why').fill('shown by hand');
      await watched.picture('rollout-new');
      await dialog.locator('[data-action="plan-rollout"]').click();
      await dialog.locator(`[data-planned="${ROBOTS.length}"]`).waitFor();
      const names = await dialog.locator('[data-plan-robot]').evaluateAll((rows) => rows.map((row) => (row as HTMLElement).dataset.planRobot));
      expect(names[0]).toBe(CANARY);
      expect(names.toSorted()).toEqual(ROBOTS);
      await watched.picture('rollout-plan');
      expect(await known()).toBe(was);
    });

    it('starts with its canary, shows each robot, and waits for approval', async () => {
      const { page } = watched;
      await page.locator('[data-action="start-rollout"]').click();
      await page.locator('.head[data-rollout]').waitFor({ timeout: LIMIT_MS });
      id = (await page.locator('.head[data-rollout]').getAttribute('data-rollout'))!;
      await phase('awaiting_approval');
      await until('the canary updated', async () => (await phaseOf(page, CANARY)) === 'updated', LIMIT_MS);
      for (const name of ROBOTS.filter((name) => name !== CANARY)) expect(await phaseOf(page, name)).toBe('pending');
      expect(await page.locator('[data-told]').innerText()).toMatch(/approv/i);
      expect(await offers()).toContain('approve');
      await page.locator(`[data-cell="${CANARY}"]`).focus();
      expect(await page.locator(`[data-tip="${CANARY}"]`).innerText()).toContain('Updated');
      await watched.picture('rollout-approval');
    });

    it('goes on once somebody approves it, with the reason on record', async () => {
      const { page } = watched;
      await act('approve', 'the canary reads well');
      await phase('succeeded');
      for (const name of ROBOTS) await until(`${name} updated`, async () => (await phaseOf(page, name)) === 'updated', LIMIT_MS);
      const entry = page.locator('[data-happened="approved"]');
      expect(await entry.innerText()).toContain('The canary reads well');
      const digests = new Set(await Promise.all(ROBOTS.map(running)));
      expect(digests.size).toBe(1);
    });

    it('is taken back, and every robot reports what it had before', async () => {
      const { page } = watched;
      expect(await offers()).toContain('rollback');
      await act('rollback', 'it was only shown');
      await phase('rolled_back');
      for (const name of ROBOTS) await until(`${name} to report what it had`, async () => (await running(name)) === before.get(name), LIMIT_MS);
      await offers();
      expect((await get<Told>(`rollouts/${id}`)).history.some(({ happened, cause }) => happened === 'rollback_began' && cause.includes('it was only shown'))).toBe(true);
      expect(await page.locator('[data-happened="rollback_began"]').innerText()).toContain('It was only shown.');
      expect(await watched.loadedOnce()).toBe(true);
      expect(watched.problems).toEqual([]);
    });

    it('stands among the rollouts, and with the robots it had', async () => {
      const { page } = watched;
      await page.evaluate(() => (location.hash = '#/rollouts'));
      await page.locator(`article[data-rollout="${id}"][data-phase="rolled_back"]`).waitFor({ timeout: LIMIT_MS });
      await page.evaluate((name) => (location.hash = `#/robots/${name}`), CANARY);
      await page.locator(`li[data-rollout="${id}"]`).waitFor({ timeout: LIMIT_MS });
    });
  });
}
