// A control plane of a test's own: the real program with a folder of its own, and its API as any client has it.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, openAsBlob, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const START_MS = 60_000;
const TOKEN = 'token-of-the-administrator';

/** What the tests of one file share. */
export interface World {
  browser: Browser;
  at: ControlPlane;
  /** Digests of label-reader's versions, from the first. */
  digests: string[];
}

export interface Answer<T> {
  status: number;
  body: T;
}

export class ControlPlane {
  readonly token = TOKEN;
  readonly url: string;
  readonly #process: ChildProcess;
  readonly #folder: string;

  private constructor(process: ChildProcess, folder: string, url: string) {
    this.#process = process;
    this.#folder = folder;
    this.url = url;
  }

  static async start(): Promise<ControlPlane> {
    const bins = process.env.EDGEFLOW_BIN_DIR ?? path.join(ROOT, 'target/debug');
    const program = path.join(bins, 'edgeflow-server');
    if (!existsSync(program)) throw new Error(`${program} is not there: build it (cargo build --workspace --bins), or set EDGEFLOW_BIN_DIR`);
    const folder = mkdtempSync(path.join(tmpdir(), 'edgeflow-e2e-'));
    const child = spawn(program, ['--data-dir', folder, '--listen', '127.0.0.1:0', '--mqtt-listen', '127.0.0.1:0'], {
      env: { ...process.env, EDGEFLOW_ADMIN_TOKEN: TOKEN },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout! });
    const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`edgeflow-server ended with ${code} before it listened`)));
    ended.catch(() => undefined);
    const [line] = (await Promise.race([once(lines, 'line', { signal: AbortSignal.timeout(START_MS) }), ended])) as [string];
    const url = line.split(/\s+/).find((word) => word.startsWith('http://'));
    if (!url) throw new Error(`edgeflow-server says no address: ${line}`);
    return new ControlPlane(child, folder, url.replace(/\/$/, ''));
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null) {
      this.#process.kill('SIGTERM');
      await once(this.#process, 'exit');
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Asks as the administrator, or as whoever has `token`. */
  async ask<T>(method: string, at: string, body?: unknown, token = this.token): Promise<Answer<T>> {
    const form = body instanceof FormData;
    const response = await fetch(`${this.url}/api/v1/${at}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined || form ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: form ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text) as T };
  }

  /** The same, of what must be granted. */
  async want<T>(method: string, at: string, body?: unknown, token = this.token): Promise<T> {
    const { status, body: answer } = await this.ask<T>(method, at, body, token);
    if (status >= 300) throw new Error(`${method} ${at}: ${status} ${JSON.stringify(answer)}`);
    return answer;
  }

  get<T>(at: string): Promise<T> {
    return this.want('GET', at);
  }

  /** Registers one of the demo's bundles and returns its digest. */
  async register(model: string, bundle: string): Promise<string> {
    const form = new FormData();
    for (const file of ['model.onnx', 'edgeflow.yaml', 'baseline.json']) form.append(file, await openAsBlob(path.join(ROOT, 'sim/models', bundle, file)), file);
    return (await this.want<{ digest: string }>('POST', `models/${model}/versions`, form)).digest;
  }

  /** A token of a person's own. */
  async operator(name: string): Promise<string> {
    return (await this.want<{ token: string }>('POST', 'operators', { name })).token;
  }

  deploy(version: string, slot: string, targets: string[]): Promise<unknown> {
    return this.want('POST', 'deployments', { model: 'label-reader', version, slot, targets });
  }
}
