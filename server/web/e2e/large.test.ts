// Ten thousand robots on a laptop's screen. Runs against the fixture, not against a control plane: what is shown here is that pages
// draw no more than what is in sight, that the last robot is in reach, and that they keep up.

import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch, until, Watched } from './browser';
import { Fixture } from './fixture';

const ROBOTS = 10_000;
const LIMIT_MS = 30_000;
/** Elements of a whole page, whatever the fleet: the rest of the page is a few hundred. */
const MOST_NODES = 6_000;
const nodes = (page: Page) => page.evaluate(() => document.querySelectorAll('*').length);

/** Scrolls a box through in steps, one a frame, and tells how long frames took, milliseconds. */
const frames = (page: Page, box: string) =>
  page.locator(box).evaluate(async (element) => {
    const times: number[] = [];
    const steps = 120;
    const frame = () => new Promise<number>((resolve) => requestAnimationFrame(resolve));
    let last = await frame();
    for (let i = 1; i <= steps; i += 1) {
      element.scrollTop = ((element.scrollHeight - element.clientHeight) * i) / steps;
      const now = await frame();
      times.push(now - last);
      last = now;
    }
    times.sort((a, b) => a - b);
    return { p50: times[Math.floor(steps * 0.5)]!, p95: times[Math.floor(steps * 0.95)]!, max: times.at(-1)! };
  });
const told = (what: string, measured: { p50: number; p95: number; max: number }) => console.log(`${what}: frame p50 ${measured.p50.toFixed(1)} ms, p95 ${measured.p95.toFixed(1)} ms, max ${measured.max.toFixed(1)} ms`);

let browser: Browser;
let fixture: Fixture;

beforeAll(async () => {
  [browser, fixture] = await Promise.all([launch(), Fixture.start(ROBOTS)]);
});

afterAll(async () => {
  await browser?.close();
  fixture?.close();
});

describe('a rollout over ten thousand robots', () => {
  let watched: Watched;
  beforeAll(async () => {
    fixture.advance(3_000);
    watched = await Watched.open(browser, '#/rollouts/7', fixture.url);
    await watched.page.locator('[data-cell]').first().waitFor();
  });
  afterAll(() => watched?.context.close());

  it('draws what is in sight, and reaches the last robot', async () => {
    const { page } = watched;
    expect(await nodes(page)).toBeLessThan(MOST_NODES);
    expect(await page.locator('[data-cell="robot-10000"]').count()).toBe(0);
    told('cells of a rollout', await frames(page, '[role=grid]'));
    await page.locator('[data-cell="robot-10000"]').waitFor({ timeout: LIMIT_MS });
    expect(await nodes(page)).toBeLessThan(MOST_NODES);
    await watched.picture('rollout-10000');
    await watched.picture('rollout-10000-dark', 'dark');
  });

  it('is walked through by keyboard, and tells of the robot it is at', async () => {
    const { page } = watched;
    await page.locator('[role=grid]').evaluate((grid) => (grid.scrollTop = 0));
    await page.locator('[data-cell="robot-00001"]').focus();
    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowLeft']) await page.keyboard.press(key);
    await page.locator('[data-tip="robot-00002"]').waitFor();
    await page.keyboard.press('Control+End');
    await page.locator('[data-tip="robot-10000"]').waitFor();
    expect(await page.locator('[data-tip]').innerText()).toContain('its turn has not come');
    await page.keyboard.press('Control+Home');
    await page.locator('[data-tip="robot-00001"]').waitFor();
    const focused = await page.evaluate(() => document.activeElement?.getAttribute('data-cell'));
    expect(focused).toBe('robot-00001');
    await page.keyboard.press('ArrowRight');
    await page.locator('[data-tip="robot-00002"]').waitFor();
    await watched.picture('rollout-10000-tip');
  });

  it('follows the stream, and asks only for robots that changed', async () => {
    const { page } = watched;
    const before = fixture.asked.filter((path) => path.endsWith('/robots')).length;
    fixture.advance(500);
    const updated = () => page.locator('[data-phase-count="updated"] strong').innerText();
    const want = fixture.summary().robots.updated!;
    await until('the count of updated robots', async () => Number((await updated()).replace(/\D/g, '')) === want, LIMIT_MS, () => `want ${want}`);
    const cell = fixture.cells.findIndex(({ phase }) => phase === 'updating');
    const name = fixture.cells[cell]!.target;
    await page.getByLabel('Find a robot of this rollout').fill(name);
    await page.locator(`[data-cell="${name}"][data-phase="updating"]`).waitFor({ timeout: LIMIT_MS });
    await page.getByLabel('Find a robot of this rollout').fill('');
    // All robots are ten pages; those that changed are one.
    expect(fixture.asked.filter((path) => path.endsWith('/robots')).length - before).toBeLessThan(5);
  });

  it('lists the robots that failed, with their reasons', async () => {
    const { page } = watched;
    await page.locator('[data-phase-count="failed"]').click();
    await page.getByRole('button', { name: 'Show reasons' }).click();
    await until('rows of failed robots only', async () => (await page.locator('[data-cell]').count()) > 0 && (await page.locator('[data-cell]:not([data-phase="failed"])').count()) === 0, LIMIT_MS);
    expect(await page.locator('[data-cell]').first().innerText()).toContain('no answer within 15 min');
    await watched.picture('rollout-10000-failed');
    await page.getByRole('button', { name: 'Show as cells' }).click();
    await page.locator('[data-phase-count="failed"]').click();
  });

  it('offers exactly what the control plane offers, asks before it acts, and shows what came of it', async () => {
    const { page } = watched;
    const group = page.getByRole('group', { name: 'Actions' });
    expect(await group.locator('button').evaluateAll((buttons) => buttons.map((button) => (button as HTMLElement).dataset.action))).toEqual(['pause', 'promote', 'rollback', 'abort']);
    await group.locator('[data-action="rollback"]').click();
    await watched.picture('rollout-confirm');
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    expect(fixture.asked.some((path) => path.endsWith('/rollback'))).toBe(false);
    await group.locator('[data-action="pause"]').click();
    await page.locator('[data-action="confirm-pause"]').click();
    await page.locator('[data-phase="paused"]').first().waitFor({ timeout: LIMIT_MS });
    expect(await page.locator('[data-told]').innerText()).toBe('Paused by ada.');
    fixture.phase = 'progressing';
    fixture.holds = '';
    fixture.tell();
  });

  it('draws what gates look at, with their bounds', async () => {
    const { page } = watched;
    await page.locator('[data-gate-chart="accuracy"]').scrollIntoViewIfNeeded();
    await page.locator('[data-gate-chart="accuracy"] [data-threshold]').waitFor({ timeout: LIMIT_MS });
    await page.locator('[data-stage-name="canary"]').click();
    expect(await page.locator('[data-evidence="canary"] [data-verdict="pass"]').count()).toBe(2);
    await page.locator('#gates-title').scrollIntoViewIfNeeded();
    await page.locator('main').evaluate((main) => (main.scrollTop = main.scrollHeight));
    await watched.picture('rollout-gates');
    await watched.picture('rollout-gates-dark', 'dark');
  });

  it('had no problem', () => expect(watched.problems).toEqual([]));
});

describe('a fleet of ten thousand robots', () => {
  let watched: Watched;
  beforeAll(async () => {
    watched = await Watched.open(browser, '#/fleet', fixture.url);
    await watched.page.locator('tr[data-target]').first().waitFor();
  });
  afterAll(() => watched?.context.close());
  const rows = () => watched.page.locator('section[data-rows]').getAttribute('data-rows').then(Number);

  it('is counted by the control plane, and drawn as far as it is in sight', async () => {
    const { page } = watched;
    await until('the count of all', async () => (await rows()) === ROBOTS, LIMIT_MS);
    expect(await nodes(page)).toBeLessThan(MOST_NODES);
    expect(await page.locator('tr[data-target]').count()).toBeLessThan(60);
    await watched.picture('fleet-10000');
    await watched.picture('fleet-10000-dark', 'dark');
  });

  it('is read on as somebody scrolls, to the last robot', async () => {
    const { page } = watched;
    told('table of robots', await frames(page, '.scroll.boxed'));
    await page.locator('tr[data-target="robot-10000"]').waitFor({ timeout: LIMIT_MS });
    expect(await nodes(page)).toBeLessThan(MOST_NODES);
    expect(watched.problems).toEqual([]);
  });

  it('shows the rows of robots that speak all at once without falling behind', async () => {
    const { page } = watched;
    for (let n = 0; n < ROBOTS; n += 5) fixture.tellTarget(n);
    fixture.tellTarget(ROBOTS - 1, 77.7);
    await until('the newest word of the last robot', async () => (await page.locator('tr[data-target="robot-10000"]').innerText()).includes('77.7'), LIMIT_MS);
  });

  it('is narrowed by the control plane: by name, label, condition', async () => {
    const { page } = watched;
    const words = page.getByRole('searchbox', { name: 'Filter robots' });
    await words.fill('robot-0012');
    await until('ten robots', async () => (await rows()) === 10, LIMIT_MS);
    await words.fill('');
    await page.locator('[data-filter="label"]').selectOption('site:bremen');
    const bremen = fixture.robots.filter(({ labels }) => labels.site === 'bremen');
    await until('the robots of a site', async () => (await rows()) === bremen.length, LIMIT_MS);
    await page.locator('[data-filter="condition"]').selectOption('offline');
    await until('those of them that are offline', async () => (await rows()) === bremen.filter(({ online }) => !online).length, LIMIT_MS);
    expect(page.url()).toContain('label=site%3Abremen&condition=offline');
    await page.locator('tr[data-target][data-online="false"]').first().waitFor();
    expect(await page.locator('tr[data-target][data-online="true"]').count()).toBe(0);
    await page.getByRole('button', { name: 'Clear' }).click();
    await until('all of them', async () => (await rows()) === ROBOTS, LIMIT_MS);
  });

  it('leads to a robot that was never in sight', async () => {
    const { page } = watched;
    await page.evaluate(() => (location.hash = '#/robots/robot-04805'));
    await page.locator('[data-differences="1"]').waitFor({ timeout: LIMIT_MS });
    expect(await page.locator('[data-difference="config:nav"]').innerText()).toContain('nav version 2');
    await watched.picture('robot-standing');
    expect(watched.problems.filter((problem) => !problem.includes('404'))).toEqual([]);
  });
});

describe('a new rollout', () => {
  it('is planned robot by robot before it starts', async () => {
    const watched = await Watched.open(browser, '#/rollouts', fixture.url);
    const { page } = watched;
    await page.locator('[data-rollout="7"]').waitFor();
    await watched.picture('rollouts');
    await page.locator('[data-action="new-rollout"]').click();
    await watched.picture('rollout-new');
    await watched.picture('rollout-new-dark', 'dark');
    await page.locator('[data-action="plan-rollout"]').click();
    await page.locator(`[data-planned="${ROBOTS}"]`).waitFor({ timeout: LIMIT_MS });
    expect(await nodes(page)).toBeLessThan(MOST_NODES);
    await watched.picture('rollout-plan');
    await page.locator('[data-planned] [role=group]').evaluate((box) => (box.scrollTop = box.scrollHeight));
    await page.locator('[data-plan-robot="robot-10000"]').waitFor({ timeout: LIMIT_MS });
    expect(watched.problems).toEqual([]);
    await watched.context.close();
  });
});
