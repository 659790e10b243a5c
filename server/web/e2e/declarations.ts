// The fleet as it is declared: one person proposes, another reviews it on the page, it is applied, and taken back.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until, Watched } from './browser';
import type { World } from './control-plane';
import { Robot } from './robot';

const LIMIT_MS = 20_000;
const NAME = 'robot-2';

export function declarations(world: () => World): void {
  describe('the declared fleet', () => {
    let robot: Robot;
    let ada: Watched;
    let bob: Watched;
    let tokens: Record<string, string>;

    /** A version for everything in Rome, with a review by somebody else. */
    const spec = (version: string) => ({
      review: 'required',
      groups: { rome: { labels: { site: ['rome'] } } },
      labels: { [NAME]: { zone: 'a' } },
      slots: { reader: { release: { name: 'label-reader', version }, targets: { groups: ['rome'] } } },
    });
    const propose = (version: string, message: string, who: string, basedOn: number) =>
      world().at.want<{ revision: number; state: string }>('POST', 'fleet/apply', { spec: spec(version), message, based_on: basedOn }, tokens[who]);
    const declared = async () => (await robot.seen()).desired.slots.default?.version;

    beforeAll(async () => {
      const { browser, at } = world();
      robot = await Robot.enrol(at, NAME, { site: 'rome' });
      tokens = { ada: await at.operator('ada'), bob: await at.operator('bob') };
      [ada, bob] = (await Promise.all(['ada', 'bob'].map((who) => Watched.open(browser, '#/fleet/revisions', at.url, tokens[who])))) as [Watched, Watched];
    });

    afterAll(async () => {
      await Promise.all([ada, bob].map((watched) => watched?.context.close()));
    });

    const open = async (watched: Watched, revision: number) => {
      await watched.page.evaluate((nth) => (location.hash = `#/fleet/revisions/${nth}`), revision);
      await watched.page.locator(`.head[data-revision="${revision}"]`).waitFor({ timeout: LIMIT_MS });
    };
    const act = async ({ page }: Watched, action: string, reason: string) => {
      await page.locator(`.head [data-action="${action}"]`).click({ timeout: LIMIT_MS });
      const dialog = page.getByRole('dialog');
      await dialog.getByRole('textbox').fill(reason);
      await dialog.locator(`[data-action="confirm-${action}"]`).click();
      return dialog;
    };
    const done = async (watched: Watched, action: string, reason: string) => (await act(watched, action, reason)).waitFor({ state: 'detached', timeout: LIMIT_MS });
    const state = (watched: Watched) => watched.page.locator('.head[data-revision]').getAttribute('data-state');
    const becomes = (watched: Watched, wanted: string) => until(`the revision to be ${wanted}`, async () => (await state(watched)) === wanted, LIMIT_MS);

    it('says what to do as long as nothing is declared', async () => {
      await ada.page.getByText('Nothing has been declared yet').waitFor({ timeout: LIMIT_MS });
      expect(await ada.page.locator('main').innerText()).toContain('edgeflow apply');
    });

    it('shows a proposal to whoever has the page open, with its plan robot by robot, and nothing has happened', async () => {
      const made = await propose('1', 'reader 1 for Rome', 'ada', 0);
      expect(made).toMatchObject({ revision: 1, state: 'proposed' });
      // Nobody reloads: the page asks by itself.
      await bob.page.locator('li[data-revision="1"][data-state="proposed"]').waitFor({ timeout: LIMIT_MS });
      await bob.page.locator('li[data-revision="1"] a').click();
      await bob.page.locator(`[data-plan-robot="${NAME}"]`).waitFor({ timeout: LIMIT_MS });
      const plan = await bob.page.locator(`[data-plan-robot="${NAME}"]`).innerText();
      expect(plan).toContain('default: nothing → label-reader/1 (at once)');
      expect(plan).toContain('label zone=a');
      const changes = await bob.page.locator('[data-change]').evaluateAll((rows) => rows.map((row) => (row as HTMLElement).dataset.change ?? ''));
      expect(changes.some((change) => change.startsWith('slots.reader'))).toBe(true);
      await bob.picture('declaration');
      await bob.picture('declaration-dark', 'dark');
      expect(await declared()).toBeUndefined();
    });

    it('is not approved by who proposed it, and the page says why', async () => {
      await open(ada, 1);
      const dialog = await act(ada, 'approve', 'I am sure');
      const words = await dialog.getByRole('alert').innerText();
      expect(words).toMatch(/somebody else|another|proposed/i);
      await dialog.getByRole('button', { name: 'Cancel' }).click();
      await dialog.waitFor({ state: 'detached' });
      expect([await state(ada), await declared()]).toEqual(['proposed', undefined]);
      expect(ada.problems.splice(0).filter((problem) => !/status of 4\d\d/.test(problem))).toEqual([]);
    });

    it('takes effect when a second person approves it', async () => {
      await open(bob, 1);
      await done(bob, 'approve', 'looks right');
      await becomes(bob, 'applied');
      await bob.page.locator('.head').getByText('in force').waitFor({ timeout: LIMIT_MS });
      expect(await bob.page.locator('main').innerText()).toMatch(/Approved by bob/);
      expect(await declared()).toBe('1');
      expect((await robot.seen()).labels.zone).toBe('a');
    });

    it('is rejected with a reason, which stays on record', async () => {
      const { revision } = await propose('2', 'reader 2 for Rome', 'bob', 1);
      await open(ada, revision);
      await done(ada, 'reject', 'not before the audit');
      await becomes(ada, 'rejected');
      expect(await ada.page.locator('main').innerText()).toMatch(/Rejected by ada.*not before the audit/s);
      expect(await ada.page.locator('.head [data-action]').count(), 'what was rejected is done with').toBe(0);
      expect(await declared()).toBe('1');
    });

    it('goes back to an earlier revision as a new one, which somebody else approves', async () => {
      const { revision } = await propose('2', 'reader 2, after the audit', 'bob', 1);
      await open(ada, revision);
      await done(ada, 'approve', 'audited');
      await becomes(ada, 'applied');
      expect(await declared()).toBe('2');

      await open(ada, 1);
      await done(ada, 'revert', '2 was too early');
      const back = revision + 1;
      await ada.page.locator(`.head[data-revision="${back}"][data-state="proposed"]`).waitFor({ timeout: LIMIT_MS });
      expect(await declared(), 'going back is reviewed, too').toBe('2');
      await open(bob, back);
      await done(bob, 'approve', 'agreed');
      await becomes(bob, 'applied');
      expect(await declared()).toBe('1');
    });

    it('lists all of them, the one in force among them, and the group it made filters the fleet', async () => {
      const { page } = bob;
      await page.evaluate(() => (location.hash = '#/fleet/revisions'));
      await page.locator('li[data-revision="4"]').waitFor({ timeout: LIMIT_MS });
      const rows = await page.locator('li[data-revision]').evaluateAll((items) => items.map((item) => `${(item as HTMLElement).dataset.revision} ${(item as HTMLElement).dataset.state}`));
      expect(rows).toEqual(['4 applied', '3 superseded', '2 rejected', '1 superseded']);
      expect(await page.locator('li[data-revision="4"]').innerText()).toContain('in force');
      await bob.picture('declarations');
      await bob.picture('declarations-dark', 'dark');
      await page.getByRole('link', { name: 'rome', exact: true }).click();
      await page.locator(`tr[data-target="${NAME}"], [data-target="${NAME}"]`).first().waitFor({ timeout: LIMIT_MS });
      await until('only robots of the group', async () => (await page.locator('[data-rows="1"]').count()) === 1, LIMIT_MS);
      expect(bob.problems).toEqual([]);
    });
  });
}
