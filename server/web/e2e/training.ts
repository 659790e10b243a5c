// What a person does with what was trained: finds runs, sorts and filters them, looks at one, compares some, and sees what changed
// between two versions. The runs are logged for it through the API.

import { readFileSync } from 'node:fs';
import type { Browser, Locator } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { environment, until, Watched } from './browser';

const LIMIT_MS = 30_000;
/** More than a page of the table. */
const RUNS = 104;

async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers = { authorization: `Bearer ${environment.token}`, 'content-type': 'application/json' };
  const response = await fetch(`${environment.url}/api/${path}`, { method, headers, ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

interface Logged {
  experiment: string;
  /** Ids of three runs that were trained at length: the first of them met a value that is no number. */
  long: [string, string, string];
}

/** An experiment with a page of runs and more, three of which have curves, files and everything else. */
async function logRuns(): Promise<Logged> {
  const { id: experiment } = await ask<{ id: string }>('POST', 'v1/experiments', { name: 'grasp-quality of a left arm', tags: { team: 'arms' } });
  const begin = (name: string, n: number) => ask<{ id: string; artifact_uri: string }>('POST', 'v1/runs', { experiment, name, user: 'ada', started_at_us: 1_790_000_000_000_000 + n * 1e6 });
  for (let n = 0; n < RUNS - 3; n += 1) {
    const { id } = await begin(`short ${n}`, n);
    await ask('POST', `v1/runs/${id}/log`, { metrics: [{ key: 'loss', value: 2 + n / 100, step: 0 }], params: { lr: '0.5' } });
    await ask('PUT', `v1/runs/${id}`, { status: 'FINISHED', ended_at_us: 1_790_000_100_000_000 });
  }
  const long: string[] = [];
  for (const [n, lr] of [0.3, 0.03, 0.003].entries()) {
    const { id, artifact_uri } = await begin(`long lr=${lr}`, 1000 + n);
    const metrics = Array.from({ length: 50 }, (_, step) => ({ key: 'loss', value: n === 0 && step === 40 ? 'NaN' : Math.exp(-step * lr), step, t_us: 1_790_001_000_000_000 + step * 1e6 }));
    await ask('POST', `v1/runs/${id}/log`, { metrics, params: { lr: String(lr), layers: '64-32' }, tags: { kind: 'long' } });
    await ask('POST', `v1/runs/${id}/log`, { metrics: [{ key: 'score', value: 1 - lr, step: 0 }] });
    await ask('PUT', `2.0/mlflow-artifacts/artifacts/${artifact_uri.replace('mlflow-artifacts:/', '')}/report/notes.txt`, `trained with ${lr}`);
    await ask('PUT', `v1/runs/${id}`, { status: 'FINISHED', ended_at_us: 1_790_001_100_000_000 });
    long.push(id);
  }
  return { experiment, long: long as Logged['long'] };
}

const runsOf = (page: Watched['page']) => page.locator('tr[data-run]');
const firstRun = async (page: Watched['page']) => (await runsOf(page).first().locator('th').innerText()).trim();
const untilCount = (what: string, found: Locator, n: number) => until(`${n} ${what}`, async () => (await found.count()) === n, LIMIT_MS);

export function training(browser: () => Browser): void {
  describe('what was trained', () => {
    let logged: Logged;
    let watched: Watched;

    beforeAll(async () => {
      logged = await logRuns();
      watched = await Watched.open(browser(), '#/experiments');
    });

    afterAll(async () => {
      await watched?.context.close();
    });

    it('is found among the experiments', async () => {
      const { page } = watched;
      await page.getByLabel('Search experiments by name').fill('LEFT ARM');
      await untilCount('experiment', page.locator('tr[data-experiment]'), 1);
      await page.locator('tr[data-experiment] a').click();
      await page.getByRole('heading', { name: 'grasp-quality of a left arm' }).waitFor();
    });

    it('is a table of runs, page by page, sorted by what a person clicks', async () => {
      const { page } = watched;
      await untilCount('runs on the first page', runsOf(page), 100);
      expect(await firstRun(page)).toBe('long lr=0.003');
      await page.locator('[data-action="more"]').click();
      await untilCount('runs', runsOf(page), RUNS);
      expect(await page.locator('[data-action="more"]').count()).toBe(0);
      await page.locator('[data-sort="m.loss"]').click();
      await until('the greatest loss first', async () => (await firstRun(page)) === `short ${RUNS - 4}`, LIMIT_MS);
      await page.locator('[data-sort="m.loss"]').click();
      await until('the least loss first', async () => (await firstRun(page)) === 'long lr=0.3', LIMIT_MS);
      expect(await page.locator('th[aria-sort="ascending"]').innerText()).toContain('loss');
    });

    it('is filtered in the search grammar, and what cannot be read is marked at its place', async () => {
      const { page } = watched;
      const box = page.getByLabel('Filter runs');
      await box.fill('metrics.loss < < 1');
      await box.press('Enter');
      const alert = page.getByRole('alert');
      await alert.waitFor();
      expect(await alert.innerText()).toContain('at character 16');
      expect(await alert.locator('mark').innerText()).toBe('< 1');
      expect(await runsOf(page).count(), 'what was found before stays').toBeGreaterThan(0);
      await box.fill(`params.layers = '64-32' AND metrics.score > 0.9`);
      await box.press('Enter');
      await untilCount('runs', runsOf(page), 2);
      expect(await alert.count()).toBe(0);
      expect(await page.evaluate(() => location.hash)).toContain('filter=');
      await page.getByLabel('Clear the filter').click();
      await until('all runs', async () => (await runsOf(page).count()) >= 100, LIMIT_MS);
      expect(watched.problems.splice(0).filter((problem) => !problem.includes('status of 400'))).toEqual([]);
    });

    it('shows the columns that a person chooses', async () => {
      const { page } = watched;
      await page.locator('[data-action="columns"]').click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('kind').check();
      await dialog.getByLabel('score').uncheck();
      await dialog.getByRole('button', { name: 'Done' }).click();
      await page.locator('[data-sort="t.kind"]').waitFor();
      expect(await page.locator('[data-sort="m.score"]').count()).toBe(0);
    });

    it('is compared: differences marked, curves over one another', async () => {
      const { page } = watched;
      await page.locator('[data-sort="start_time"]').click();
      await until('the last run first', async () => (await firstRun(page)) === 'long lr=0.003', LIMIT_MS);
      for (const id of logged.long) await page.locator(`tr[data-run="${id}"] input`).check();
      await page.locator('a[data-action="compare"]').click();
      await page.getByRole('heading', { name: 'Compare 3 runs' }).waitFor();
      expect(await page.locator('tr[data-compare="lr"]').getAttribute('data-differs')).toBe('true');
      expect(await page.locator('tr[data-compare="layers"]').getAttribute('data-differs')).toBe('false');
      await page.getByRole('button', { name: 'Differences' }).click();
      await untilCount('rows of layers', page.locator('tr[data-compare="layers"]'), 0);
      await untilCount('curves', page.locator('[data-metric-chart="loss"] [data-line]'), 3);
      await watched.picture('compare');
      await watched.picture('compare-dark', 'dark');
    });

    it('is one run, by the address the stock client prints: curves with gaps, files to read and to keep', async () => {
      const { page } = watched;
      const [id] = logged.long;
      await page.evaluate((hash) => (location.hash = hash), `#/experiments/${logged.experiment}/runs/${id}`);
      await page.locator(`[data-run="${id}"]`).waitFor();
      const curve = page.locator(`[data-metric-chart="loss"] [data-line="${id}"] path`);
      await curve.waitFor();
      expect((await curve.getAttribute('d'))?.match(/M/g), 'a value that is no number breaks the line').toHaveLength(2);
      expect(await page.locator('[data-metric-chart="loss"] path.gap').count()).toBe(1);
      expect(await page.locator('[data-latest="score"]').innerText()).toContain('0.7');
      await page.locator('[data-folder="report"]').click();
      await page.locator('[data-file="notes.txt"]').click();
      await page.locator('pre', { hasText: 'trained with 0.3' }).waitFor();
      const [download] = await Promise.all([page.waitForEvent('download', { timeout: LIMIT_MS }), page.getByRole('button', { name: 'Download' }).click()]);
      expect(download.suggestedFilename()).toBe('notes.txt');
      expect(readFileSync(await download.path(), 'utf8')).toBe('trained with 0.3');
      await watched.picture('run');
    });

    it('is said plainly when it is not there', async () => {
      const { page } = watched;
      await page.evaluate(() => (location.hash = '#/runs/00000000000000000000000000000000'));
      await page.locator('[data-error="404"]').waitFor();
      expect(watched.problems.splice(0).filter((problem) => !problem.includes('status of 404'))).toEqual([]);
    });

    it('became versions: what they take, what they cost, and what changed from one to the next', async () => {
      const { page } = watched;
      await page.evaluate(() => (location.hash = '#/models/label-reader/versions/2'));
      await page.locator('[data-version-page="label-reader 2"]').waitFor();
      expect(await page.locator('[data-tensor="X"]').innerText()).toContain('float32');
      expect(await page.locator('[data-operator]').count()).toBeGreaterThan(3);
      await page.locator('[data-baseline="brightness"] rect').first().waitFor();
      await page.locator('[data-action="diff"]').click();
      await page.locator('[data-section="Operators"]').waitFor();
      expect(await page.locator('[data-compatible]').getAttribute('data-compatible')).toBe('true');
      expect(await page.locator('[data-diff="nodes"]').innerText()).toContain('12');
      await watched.picture('model-diff');
    });

    it('is shown without a problem on a narrow screen, too', async () => {
      const { page } = watched;
      await page.setViewportSize({ width: 480, height: 900 });
      for (const hash of ['#/experiments', `#/experiments/${logged.experiment}`, `#/experiments/${logged.experiment}/runs/${logged.long[0]}`, '#/models/label-reader/versions/2']) {
        await page.evaluate((to) => (location.hash = to), hash);
        await page.locator('main .panel').first().waitFor();
        await until(`${hash} to fit`, () => page.evaluate(() => document.querySelector('main')!.scrollWidth <= document.querySelector('main')!.clientWidth), LIMIT_MS);
      }
      expect(watched.problems).toEqual([]);
      expect(await watched.loadedOnce()).toBe(true);
    });
  });
}
