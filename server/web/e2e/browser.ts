// A browser that watches pages: it remembers what they showed, so that nothing short-lived is missed, and waits for
// conditions instead of for time.

import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'];

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: this test watches a running control plane, see server/web/README.md`);
  return value;
}

export const environment = {
  get url(): string {
    return required('EDGEFLOW_URL').replace(/\/$/, '');
  },
  get token(): string {
    return required('EDGEFLOW_TOKEN');
  },
  /** Where the demo writes its report when the story is told. */
  get storyReport(): string {
    return required('EDGEFLOW_STORY_REPORT');
  },
  screenshots: process.env.EDGEFLOW_SCREENSHOTS,
};

export async function launch(): Promise<Browser> {
  const executablePath = process.env.EDGEFLOW_CHROMIUM ?? CHROMIUM.find(existsSync);
  if (!executablePath) throw new Error(`no browser at ${CHROMIUM.join(', ')}: install chromium (apt-get install chromium) or set EDGEFLOW_CHROMIUM`);
  return chromium.launch({ executablePath, args: FLAGS });
}

/** Waits until the control plane answers. */
export async function reachable(): Promise<void> {
  await until('the control plane to answer', async () => {
    try {
      return (await fetch(`${environment.url}/healthz`)).ok;
    } catch {
      return false;
    }
  }, 110_000);
}

interface Story {
  steps: { name: string; ok: boolean; detail: string }[];
}

/** The demo's report, once the story is told. */
export function story(): Story | null {
  try {
    return JSON.parse(readFileSync(environment.storyReport, 'utf8')) as Story;
  } catch {
    return null; // not there yet, or half written
  }
}

const LOOK_MS = 100;
const PAGE_LIMIT_MS = 20_000;

/** Looks until the condition holds. */
export async function until(what: string, holds: () => Promise<boolean> | boolean, limitMs: number, seen: () => string = () => ''): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited ${Math.round(limitMs / 1000)} s for ${what}. ${seen()}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Looks until the condition holds, as long as the story goes on and a little longer; a story that failed says why. */
export async function duringStory(what: string, holds: () => Promise<boolean> | boolean, seen: () => string = () => ''): Promise<void> {
  let toldAt: number | null = null;
  for (;;) {
    if (await holds()) return;
    const told = story();
    if (told !== null) {
      toldAt ??= Date.now();
      if (Date.now() - toldAt > PAGE_LIMIT_MS) {
        const failed = told.steps.filter((step) => !step.ok).map((step) => `${step.name}: ${step.detail}`);
        throw new Error(`the story is over and the pages never showed ${what}. ${failed.length > 0 ? `It failed: ${failed.join('; ')}. ` : ''}${seen()}`);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** One robot's row, one deployment's card, one version's card: everything its attributes say, joined by what it is. */
export type Row = Record<string, string>;

/** What a page showed: a new entry whenever a row's attributes changed. */
export interface Shown {
  /** What the row is of: `target robot-1`, `version 2`, `deployment 4 robot-3`. */
  key: string;
  row: Row;
}

const MARK = '__edgeflow_loaded_once';

/** A page that is loaded once and then only watched. */
export class Watched {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly shown: Shown[] = [];
  readonly problems: string[] = [];

  private constructor(context: BrowserContext, page: Page) {
    this.context = context;
    this.page = page;
  }

  /** Opens a page in a context of its own (browsers share six connections to a host among the tabs of one). */
  static async open(browser: Browser, hash: string, url?: string, token = process.env.EDGEFLOW_TOKEN ?? 'none'): Promise<Watched> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, deviceScaleFactor: 2, colorScheme: 'light' });
    const page = await context.newPage();
    const watched = new Watched(context, page);
    page.on('pageerror', (error) => watched.problems.push(String(error)));
    // Violations of the content security policy are told on the console.
    page.on('console', (message) => {
      if (message.type() === 'error') watched.problems.push(message.text());
    });
    await page.exposeFunction('edgeflowShown', (entry: Shown) => void watched.shown.push(entry));
    // What is no control plane asks for no token.
    await page.goto(url === undefined ? `${environment.url}/#token=${encodeURIComponent(environment.token)}` : `${url}/#token=${encodeURIComponent(token)}`);
    await page.locator('[data-link="live"]').first().waitFor();
    await page.evaluate((target) => (location.hash = target), hash);
    await page.evaluate(watch, MARK);
    return watched;
  }

  /** Whether the page is still the one that was loaded at first. */
  loadedOnce(): Promise<boolean> {
    return this.page.evaluate((mark) => mark in window, MARK);
  }

  /** The newest of a row, as it was shown. */
  now(key: string): Row | undefined {
    return this.shown.findLast((entry) => entry.key === key)?.row;
  }

  /** All of a row, oldest first. */
  history(key: string): Row[] {
    return this.shown.filter((entry) => entry.key === key).map(({ row }) => row);
  }

  /** What was shown of an attribute, oldest first, each change once. */
  values(key: string, attribute: string): string[] {
    return this.history(key).map((row) => row[attribute] ?? '').filter((value, i, all) => i === 0 || value !== all[i - 1]);
  }

  keys(kind: string): string[] {
    return [...new Set(this.shown.map(({ key }) => key).filter((key) => key.startsWith(`${kind} `)))];
  }

  tell(kind: string): string {
    return `It showed: ${this.keys(kind).map((key) => `${key} ${JSON.stringify(this.history(key).slice(-6))}`).join('\n')}`;
  }

  /** Takes a picture into EDGEFLOW_SCREENSHOTS, if that is set. */
  async picture(name: string, scheme: 'light' | 'dark' = 'light'): Promise<void> {
    if (!environment.screenshots) return;
    mkdirSync(environment.screenshots, { recursive: true });
    await this.page.emulateMedia({ colorScheme: scheme });
    await this.page.screenshot({ path: path.join(environment.screenshots, `${name}.png`), animations: 'disabled' });
    await this.page.emulateMedia({ colorScheme: 'light' });
  }
}

/** Runs in the page: tells each change of a row's data attributes, and marks the window so that a reload shows. */
function watch(mark: string): void {
  const told = new Map<string, string>();
  const tell = (window as unknown as { edgeflowShown(entry: { key: string; row: Record<string, string> }): void }).edgeflowShown;
  (window as unknown as Record<string, unknown>)[mark] = true;
  const keyOf = (element: HTMLElement): string => {
    const { target, deployment, rollout, version, feature } = element.dataset;
    if (rollout) return `rollout ${rollout}`;
    if (deployment) return `deployment ${deployment}`;
    if (target) {
      const card = element.parentElement?.closest<HTMLElement>('[data-deployment]');
      return card ? `deployment ${card.dataset.deployment} ${target}` : `target ${target}`;
    }
    if (version) return `version ${version}`;
    return `feature ${feature}`;
  };
  const look = () => {
    for (const element of document.querySelectorAll<HTMLElement>('[data-target], [data-deployment], [data-rollout], article[data-version], [data-feature]')) {
      const row = Object.fromEntries(Object.entries(element.dataset).map(([name, value]) => [name, value ?? '']));
      const key = keyOf(element);
      const text = JSON.stringify(row);
      if (told.get(key) === text) continue;
      told.set(key, text);
      tell({ key, row });
    }
  };
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
  look();
}
