// What an operator does about single robots and about the whole fleet, against a control plane of the test's own and robots that are
// only their logs: what they say is what the test needs them to say.

import { afterAll, beforeAll } from 'vitest';
import { launch } from './browser';
import { ControlPlane, type World } from './control-plane';
import { declarations } from './declarations';
import { events } from './events';
import { reconciliation } from './reconciliation';

let world: World | undefined;

beforeAll(async () => {
  const [browser, at] = await Promise.all([launch(), ControlPlane.start()]);
  world = { browser, at, digests: [] };
  for (const bundle of ['v1', 'v2']) world.digests.push(await at.register('label-reader', bundle));
});

afterAll(async () => {
  await world?.browser.close();
  await world?.at.stop();
});

const stage = () => world!;
reconciliation(stage);
declarations(stage);
events(stage);
