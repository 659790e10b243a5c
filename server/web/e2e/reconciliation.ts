// A robot that is held, and slots that both sides changed: an operator decides on the robot's page, and the control plane does it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until, Watched } from './browser';
import type { World } from './control-plane';
import { Robot, type Slot } from './robot';

const LIMIT_MS = 20_000;
const NAME = 'robot-1';

export function reconciliation(world: () => World): void {
  describe('a robot that is changed by hand', () => {
    let robot: Robot;
    let watched: Watched;

    beforeAll(async () => {
      const { browser, at, digests } = world();
      robot = await Robot.enrol(at, NAME, { site: 'berlin' });
      await at.deploy('1', 'default', [NAME]);
      await at.deploy('1', 'arm', [NAME]);
      const slot = (followed: number): Slot => ({ digest: digests[0]!, version: '1', followed });
      await robot.report({ default: slot(1), arm: slot(2) });
      watched = await Watched.open(browser, `#/robots/${NAME}`, at.url, at.token);
      await watched.page.locator('[data-differences="0"]').waitFor({ timeout: LIMIT_MS });
    });

    afterAll(async () => {
      await watched?.context.close();
    });

    const standing = () => watched.page.locator('section:has(#standing-title)');
    const dialog = () => watched.page.getByRole('dialog');
    const conflict = (slot: string) => watched.page.locator(`[data-conflict="${slot}"]`);
    const seen = async () => `It says: ${await standing().innerText()}`;
    const confirm = async (action: string) => {
      await dialog().locator(`[data-action="${action}"]`).click();
      await dialog().waitFor({ state: 'detached', timeout: LIMIT_MS });
    };
    /** Refusals are in the console, too; all else there is a defect. */
    const noProblems = () => expect(watched.problems.splice(0).filter((problem) => !problem.includes('status of 409'))).toEqual([]);

    it('is held with a reason, which the page shows at once, and nothing can be deployed to it', async () => {
      const { at } = world();
      await standing().locator('[data-action="hold"]').click();
      const button = dialog().locator('[data-action="confirm-standing"]');
      expect(await button.isDisabled(), 'a hold says why').toBe(true);
      await dialog().getByLabel('Why').fill('audit in hall 3');
      await watched.picture('hold-dialog');
      await confirm('confirm-standing');
      await watched.page.locator('[data-held="true"]').waitFor({ timeout: LIMIT_MS });
      expect(await standing().innerText()).toMatch(/Held by (the )?administrator.*audit in hall 3/s);
      expect((await robot.seen()).held).toMatchObject({ reason: 'audit in hall 3', by: 'administrator' });
      const refused = await at.ask<{ error: { message: string } }>('POST', 'deployments', { model: 'label-reader', version: '2', targets: [NAME] });
      expect(refused.status).toBe(409);
      expect(refused.body.error.message).toContain('audit in hall 3');
      await watched.picture('robot-held');
    });

    it('is let go again, by keyboard', async () => {
      const { page } = watched;
      await standing().locator('[data-action="release"]').focus();
      await page.keyboard.press('Enter');
      await dialog().waitFor();
      await dialog().locator('[data-action="confirm-standing"]').focus();
      await page.keyboard.press('Enter');
      await page.locator('[data-held="false"]').waitFor({ timeout: LIMIT_MS });
      expect((await robot.seen()).held).toBeNull();
    });

    it('that somebody holds at the robot cannot be let go from here', async () => {
      const { digests } = world();
      const slots = { default: { digest: digests[0]!, version: '1', followed: 1 }, arm: { digest: digests[0]!, version: '1', followed: 2 } };
      await robot.report(slots, 'gripper is off');
      await watched.page.locator('[data-held="true"]').waitFor({ timeout: LIMIT_MS });
      expect(await standing().innerText()).toContain('gripper is off');
      expect(await standing().locator('[data-action="release"], [data-action="hold"]').count()).toBe(0);
      await robot.report(slots);
      await watched.page.locator('[data-held="false"]').waitFor({ timeout: LIMIT_MS });
      noProblems();
    });

    it('shows a change that was made on it, and one that something was declared against as a conflict', async () => {
      const { at, digests } = world();
      const own = { digest: `sha256:${'ab'.repeat(32)}`, version: '?', changes: 1, followed: 1, what: 'loaded by ~/load_model' };
      const arm = { digest: digests[0]!, version: '1', followed: 2 };
      await robot.report({ default: own, arm });
      await conflict('default').waitFor({ timeout: LIMIT_MS });
      expect(await conflict('default').getAttribute('data-standing')).toBe('local');
      await robot.report({ default: { digest: digests[0]!, version: '1', followed: 1 }, arm });
      await conflict('default').waitFor({ state: 'detached', timeout: LIMIT_MS });
      await at.deploy('2', 'default', [NAME]);
      await robot.report({ default: own, arm });
      await until('a conflict', async () => (await conflict('default').count()) === 1 && (await conflict('default').getAttribute('data-standing')) === 'conflict', LIMIT_MS, () => '');
      expect(await conflict('default').innerText()).toContain('loaded by ~/load_model');
      expect((await robot.seen()).conflicts).toBe(1);
      expect(await watched.page.locator('[data-action="merge"]').count(), 'one slot has nothing to merge').toBe(0);
      await watched.picture('robot-conflict');
      await watched.picture('robot-conflict-dark', 'dark');
    });

    it("cannot keep what is registered nowhere: the control plane's words say what to do, and what is declared can be taken instead", async () => {
      const { digests } = world();
      const before = (await robot.seen()).desired.generation;
      await conflict('default').locator('[data-action="take-robot"]').click();
      await dialog().locator('[data-action="confirm-settle"]').click();
      expect(await dialog().getByRole('alert').innerText()).toContain('edgeflow model push');
      await dialog().getByRole('button', { name: 'Cancel' }).click();
      await dialog().waitFor({ state: 'detached' });
      expect((await robot.seen()).desired.generation, 'a refusal changes nothing').toBe(before);

      await conflict('default').locator('[data-action="take-control"]').click();
      expect(await dialog().innerText()).toContain('label-reader v2');
      await confirm('confirm-settle');
      await conflict('default').waitFor({ state: 'detached', timeout: LIMIT_MS });
      const { conflicts, desired } = await robot.seen();
      expect([conflicts, Number(desired.generation) - Number(before), desired.slots.default?.digest]).toEqual([0, 1, digests[1]]);
      await robot.report({ default: { digest: digests[1]!, version: '2', changes: 1, followed: Number(desired.generation) }, arm: { digest: digests[0]!, version: '1', followed: 2 } });
      await watched.page.locator('[data-differences="0"]').waitFor({ timeout: LIMIT_MS }).catch(async (error: Error) => Promise.reject(new Error(`${error.message} ${await seen()}`)));
      noProblems();
    });

    it("keeps what was loaded there once an operator takes the robot's side", async () => {
      const { digests } = world();
      const followed = Number((await robot.seen()).desired.generation);
      const loaded = { digest: digests[0]!, version: '1', changes: 2, followed, what: 'loaded by ~/load_model' };
      await robot.report({ default: loaded, arm: { digest: digests[0]!, version: '1', followed: 2 } });
      await conflict('default').locator('[data-action="take-robot"]').click({ timeout: LIMIT_MS });
      expect(await dialog().innerText()).toMatch(/label-reader v1.*becomes what is declared/s);
      await confirm('confirm-settle');
      await conflict('default').waitFor({ state: 'detached', timeout: LIMIT_MS });
      expect((await robot.seen()).desired.slots.default?.digest).toBe(digests[0]);
      await watched.page.locator('[data-differences="0"]').waitFor({ timeout: LIMIT_MS });
    });

    it('is merged slot by slot, by keyboard, in one generation', async () => {
      const { at, digests } = world();
      const { page } = watched;
      const followed = Number((await robot.seen()).desired.generation);
      // Both slots were changed there, and declared anew here.
      await at.deploy('2', 'default', [NAME]);
      await at.deploy('2', 'arm', [NAME]);
      const own = { digest: `sha256:${'cd'.repeat(32)}`, version: '?', changes: 3, what: 'loaded by ~/load_model' };
      await robot.report({ default: { ...own, followed }, arm: { digest: digests[0]!, version: '1', changes: 1, followed: 2, what: 'files of it were edited' } });
      for (const slot of ['default', 'arm']) await conflict(slot).waitFor({ timeout: LIMIT_MS });
      const before = Number((await robot.seen()).desired.generation);

      await page.locator('[data-action="merge"]').focus();
      await page.keyboard.press('Enter');
      const confirmed = dialog().locator('[data-action="confirm-settle"]');
      await confirmed.waitFor();
      expect(await confirmed.isDisabled(), 'nothing is chosen yet').toBe(true);
      const slots = await dialog().locator('[data-merge]').evaluateAll((fields) => fields.map((field) => (field as HTMLElement).dataset.merge));
      expect(slots.toSorted()).toEqual(['arm', 'default']);
      // From "Decide later" the arrows lead on to the robot's, and back to what is declared.
      for (const slot of slots) {
        await page.keyboard.press('Tab');
        expect(await dialog().locator(`[data-merge="${slot}"] input:focus`).count(), `${slot} is reached by Tab`).toBe(1);
        await page.keyboard.press(slot === 'arm' ? 'ArrowDown' : 'ArrowUp');
        expect(await dialog().locator(`[data-merge="${slot}"] input:checked`).getAttribute('value')).toBe(slot === 'arm' ? 'robot' : 'control');
      }
      await watched.picture('merge-dialog');
      await watched.picture('merge-dialog-dark', 'dark');
      await page.keyboard.press('Tab');
      await page.keyboard.press('Tab');
      expect(await page.evaluate(() => (document.activeElement as HTMLElement).dataset.action)).toBe('confirm-settle');
      await page.keyboard.press('Enter');
      await dialog().waitFor({ state: 'detached', timeout: LIMIT_MS });
      for (const slot of ['default', 'arm']) await conflict(slot).waitFor({ state: 'detached', timeout: LIMIT_MS });
      const { desired, conflicts } = await robot.seen();
      expect([desired.slots.default?.digest, desired.slots.arm?.digest]).toEqual([digests[1], digests[0]]);
      expect([Number(desired.generation) - before, conflicts]).toEqual([1, 0]);
      expect(await watched.loadedOnce()).toBe(true);
      noProblems();
    });
  });
}
