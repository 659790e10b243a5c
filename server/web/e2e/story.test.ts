// The demo's story as a person at the dashboard sees it: four kinds of pages, loaded once, while three robots get a
// model, then a better one, one camera drifts and one robot loses its uplink. At the end the person deploys.

import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Network } from './network';
import { duringStory, environment, launch, reachable, story, until, Watched } from './browser';
import { lineage } from './lineage';
import { rollouts, storyRollouts } from './rollouts';
import { training } from './training';

const ROBOTS = ['robot-1', 'robot-2', 'robot-3'];
const DRIFTING = 'robot-2';
const OFFLINE = 'robot-3';
const CANARY = 'robot-1';
/** No bundle of the story's: without the baseline it is another one. */
const BUNDLE = ['model.onnx', 'edgeflow.yaml'];
const PAGE_LIMIT_MS = 60_000;

let browser: Browser;
let fleet: Watched;
let robot: Watched;
let models: Watched;
let deployments: Watched;

const row = (name: string) => fleet.now(`target ${name}`);
const digests = (name: string) => fleet.values(`target ${name}`, 'runningDigest').filter(Boolean);
const every = (holds: (name: string) => boolean) => ROBOTS.every(holds);
/** Deployments in the order they appeared. */
const deploymentIds = () => deployments.keys('deployment').filter((key) => key.split(' ').length === 2);

beforeAll(async () => {
  // The browser starts while the control plane does, so that little of the story is missed.
  [browser] = await Promise.all([launch(), reachable()]);
  [fleet, robot, models, deployments] = (await Promise.all(['#/fleet', `#/robots/${DRIFTING}`, '#/models', '#/deployments'].map((hash) => Watched.open(browser, hash)))) as [Watched, Watched, Watched, Watched];
});

afterAll(async () => {
  await browser?.close();
});

describe('while the story goes', () => {
  it('robots come online on the fleet page', async () => {
    await duringStory('three robots online', () => every((name) => row(name)?.online === 'true'), () => fleet.tell('target'));
  });

  it('v1 appears on the models page and reaches every robot', async () => {
    await duringStory('version 1', () => models.now('version 1') !== undefined);
    const digest = models.now('version 1')?.digest;
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    await duringStory('the digest of v1 on every robot', () => every((name) => digests(name).includes(digest!)), () => fleet.tell('target'));
    await duringStory('a deployment that succeeded', () => deployments.now(deploymentIds()[0] ?? '')?.state === 'succeeded', () => deployments.tell('deployment'));
  });

  it('v2 appears beside it, and the running digest changes from v1 to v2 on every robot', async () => {
    await duringStory('version 2', () => models.now('version 2') !== undefined);
    const [v1, v2] = [models.now('version 1')?.digest, models.now('version 2')?.digest];
    expect(v2).not.toBe(v1);
    const changed = (name: string) => digests(name).some((digest, i, all) => digest === v2 && all[i - 1] === v1);
    await duringStory('v1, then v2 on every robot', () => every(changed), () => fleet.tell('target'));
  });

  it('a deployment is seen on its way, robot by robot, before it succeeds', async () => {
    const seenWhole = (id: string) =>
      deployments.values(id, 'state').join() === 'progressing,succeeded' &&
      every((name) => {
        const statuses = deployments.values(`${id} ${name}`, 'status');
        return statuses.length > 1 && statuses.at(-1) === 'active';
      });
    await duringStory('a deployment from its beginning to active on every robot', () => deploymentIds().some(seenWhole), () => deployments.tell('deployment'));
  });

  it("robot-2's drift badge comes up, and only its", async () => {
    await duringStory('robot-2 drifting', () => row(DRIFTING)?.drift === 'flagged', () => fleet.tell('target'));
    expect(fleet.values(`target ${DRIFTING}`, 'drift')).toContain('stable');
    await models.picture('models');
    await models.picture('models-dark', 'dark');
    await fleet.picture('fleet');
    await fleet.picture('fleet-dark', 'dark');
    await duringStory('a flagged feature on its own page', () => robot.keys('feature').some((key) => robot.now(key)?.flagged === 'true'), () => robot.tell('feature'));
    await robot.picture('robot');
    await robot.picture('robot-dark', 'dark');
  });

  it('robot-3 goes offline during a deployment, the page says it is waited for, and it comes back', async () => {
    await duringStory('robot-3 offline', () => fleet.values(`target ${OFFLINE}`, 'online').includes('false'), () => fleet.tell('target'));
    await duringStory('robot-3 waited for', () => fleet.history(`target ${OFFLINE}`).some((seen) => seen.online === 'false' && seen.convergence === 'waiting'), () => fleet.tell('target'));
    await fleet.picture('fleet-offline');
    await deployments.picture('deployments');
    await deployments.picture('deployments-dark', 'dark');
    await duringStory('robot-3 online again', () => fleet.values(`target ${OFFLINE}`, 'online').slice(-3).join() === 'true,false,true', () => fleet.tell('target'));
    await duringStory('robot-3 converged', () => row(OFFLINE)?.convergence === 'converged', () => fleet.tell('target'));
  });

  it('ends well: every deployment succeeded, every robot converged, and no other robot was ever flagged', async () => {
    // A file, not a page, says that nothing more comes.
    await until('the story to be told', () => story() !== null, 400_000);
    expect(story()?.steps.filter((step) => !step.ok)).toEqual([]);
    await duringStory('all deployments to have succeeded', () => deploymentIds().every((id) => ['succeeded', 'superseded'].includes(deployments.now(id)?.state ?? '')), () => deployments.tell('deployment'));
    await duringStory('every robot converged', () => every((name) => row(name)?.convergence === 'converged'), () => fleet.tell('target'));
    expect(fleet.values(`target ${OFFLINE}`, 'drift')).not.toContain('flagged');
    // The canary of a bad version is flagged for it, and for nothing before.
    const canary = fleet.history(`target ${CANARY}`);
    const before = canary.slice(0, canary.findIndex(({ runningVersion }) => runningVersion === '3') >>> 0);
    expect(before.map(({ drift }) => drift)).not.toContain('flagged');
  });

  it("robot-2's page followed all of it: charts, timeline, and a log without gaps", async () => {
    const { page } = robot;
    expect(robot.values(`target ${DRIFTING}`, 'runningDigest').length).toBeGreaterThan(2);
    for (const chart of await page.locator('svg[aria-label$="over time"] path.line').all()) expect((await chart.getAttribute('d'))?.length).toBeGreaterThan(20);
    expect(await page.locator('section:has(#timeline-title) li').count()).toBeGreaterThan(3);
    await until('a log that misses nothing', async () => (await page.locator('[data-missing]').getAttribute('data-missing')) === '0', PAGE_LIMIT_MS);
    expect(Number(await page.locator('[data-stored]').getAttribute('data-stored'))).toBeGreaterThan(20);
    expect(await page.locator('[data-observed]').getAttribute('data-observed')).toBe(await page.locator('[data-desired]').getAttribute('data-desired'));
  });
});

describe('at the end', () => {
  it('a person deploys v1 to robot-1 from the page, and only robot-1 changes', async () => {
    const { page } = deployments;
    const before = new Map(ROBOTS.map((name) => [name, row(name)?.runningDigest]));
    const v1 = models.now('version 1')!.digest!;
    const known = deploymentIds();
    await page.locator('[data-action="deploy"]').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Version').selectOption('1');
    await dialog.getByRole('button', { name: 'All' }).click();
    expect(await dialog.getByRole('checkbox', { checked: true }).count()).toBe(ROBOTS.length);
    await dialog.getByRole('button', { name: 'None' }).click();
    await dialog.getByRole('checkbox', { name: /robot-1/ }).check();
    await deployments.picture('deploy-dialog');
    await dialog.locator('[data-action="review-deploy"]').click();
    expect(await dialog.innerText()).toContain('to 1 robot: robot-1');
    await dialog.locator('[data-action="confirm-deploy"]').click();
    await dialog.waitFor({ state: 'detached' });
    await until('the new deployment to succeed', () => deployments.now(deploymentIds().find((id) => !known.includes(id)) ?? '')?.state === 'succeeded', PAGE_LIMIT_MS, () => deployments.tell('deployment'));
    await until('robot-1 to run v1 on the fleet page', () => row('robot-1')?.runningDigest === v1, PAGE_LIMIT_MS, () => fleet.tell('target'));
    for (const name of ROBOTS.slice(1)) expect(row(name)?.runningDigest, name).toBe(before.get(name));
  });

  it('a file that is no model is refused with the words of the control plane, and a dialog stays for another try', async () => {
    const { page } = models;
    await page.getByRole('button', { name: 'Upload a version' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Model').fill('broken-model');
    await dialog.locator('input[type=file]').setInputFiles({ name: 'broken.onnx', mimeType: 'application/octet-stream', buffer: Buffer.from('this is not a model') });
    await dialog.locator('[data-action="upload"]').click();
    const words = await dialog.getByRole('alert').innerText();
    expect(words.length).toBeGreaterThan(20);
    expect(words).not.toContain('the control plane answered');
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await dialog.waitFor({ state: 'detached' });
    expect(models.problems.splice(0).filter((problem) => !problem.includes('status of 4'))).toEqual([]);
  });

  it('a new version is uploaded from the page, and the page that was watched all along shows it', async () => {
    const { page } = models;
    const next = String(models.keys('version').length + 1);
    expect(models.now(`version ${next}`)).toBeUndefined();
    await page.getByRole('button', { name: 'New version' }).click();
    const dialog = page.getByRole('dialog');
    expect(await dialog.getByLabel('Model').inputValue()).toBe('label-reader');
    await dialog.locator('input[type=file]').setInputFiles(BUNDLE.map((file) => fileURLToPath(new URL(`../../../sim/models/v3/${file}`, import.meta.url))));
    await dialog.getByLabel('Description').fill('Uploaded by hand');
    await models.picture('upload-dialog');
    await dialog.locator('[data-action="upload"]').click();
    await dialog.waitFor({ state: 'detached' });
    await until(`version ${next} on the page`, () => models.now(`version ${next}`) !== undefined, PAGE_LIMIT_MS);
    expect(await page.locator(`article[data-version="${next}"]`).innerText()).toContain('Uploaded by hand');
  });

  it('nothing was ever reloaded, and no page had a problem', async () => {
    for (const watched of [fleet, robot, models, deployments]) {
      expect(await watched.loadedOnce()).toBe(true);
      expect(watched.problems).toEqual([]);
    }
  });

  it('a lost connection makes the page stale at once, and it recovers by itself', async () => {
    const network = await Network.to(environment.url);
    const far = await Watched.open(browser, '#/fleet', network.url);
    const banner = far.page.getByRole('alert');
    expect(await banner.count()).toBe(0);
    network.cut();
    await banner.waitFor({ timeout: PAGE_LIMIT_MS });
    expect(await banner.innerText()).toMatch(/Stale since \d\d:\d\d:\d\d/);
    expect(await far.page.title()).toContain('stale');
    await far.picture('fleet-stale');
    network.restore();
    await far.page.locator('main[data-link="live"]').waitFor({ timeout: PAGE_LIMIT_MS });
    expect(await banner.count()).toBe(0);
    expect(await far.loadedOnce()).toBe(true);
    await far.context.close();
    network.close();
  });

  it('a token that is refused leads to the sign-in page, which says so; the right one leads in', async () => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    const page = await context.newPage();
    await page.goto(`${environment.url}/#token=wrong`);
    await page.getByRole('alert').waitFor();
    expect(await page.getByRole('alert').innerText()).toContain('does not accept this token');
    expect(page.url()).not.toContain('wrong');
    await page.getByLabel('Administrator token').fill(environment.token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Fleet' }).waitFor();
    expect(await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie])).toEqual([1, 0, '']);
    await context.close();
  });
});

storyRollouts(() => browser);
rollouts(() => browser);
lineage(() => browser);
training(() => browser);
