import { beforeEach, describe, expect, it } from 'vitest';
import { LiveStream, retryDelay, SseParser, type LinkState, type StreamMessage, type Timers } from './stream';
import { throttle } from './throttle';

describe('server-sent events', () => {
  const all = (...chunks: string[]) => {
    const parser = new SseParser();
    return chunks.flatMap((chunk) => parser.push(chunk));
  };

  it('are the same however the bytes are cut', () => {
    const text = ': keep-alive\r\n\r\nevent: target\r\ndata: {"name":\r\ndata: "r"}\r\n\r\nevent:event\ndata:{}\n\n';
    const whole = all(text);
    expect(whole).toEqual([
      { event: 'target', data: '{"name":\n"r"}' },
      { event: 'event', data: '{}' },
    ]);
    expect(all(...text)).toEqual(whole);
  });

  it('without data are none, and an unfinished one waits', () => {
    expect(all('event: target\n\n')).toEqual([]);
    expect(all('data: 1\n')).toEqual([]);
    expect(all('data: 1\n', '\n')).toEqual([{ event: 'message', data: '1' }]);
  });
});

/** A clock that moves when told to. */
class FakeTimers implements Timers {
  time = 0;
  #queue: { at: number; callback: () => void }[] = [];
  now = () => this.time;
  random = () => 0.5;
  setTimeout = (callback: () => void, ms: number) => {
    const entry = { at: this.time + ms, callback };
    this.#queue.push(entry);
    return entry;
  };
  clearTimeout = (handle: unknown) => {
    this.#queue = this.#queue.filter((entry) => entry !== handle);
  };
  async advance(ms: number) {
    const end = this.time + ms;
    for (;;) {
      const next = this.#queue.filter((entry) => entry.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.time = next.at;
      this.clearTimeout(next);
      next.callback();
      await settle();
    }
    this.time = end;
    await settle();
  }
}

/** Lets promises that are ready run to their end. */
async function settle() {
  for (let i = 0; i < 40; i += 1) await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
}

interface Line {
  send(text: string): void;
  end(): void;
}

describe('the live stream', () => {
  let timers: FakeTimers;
  let states: LinkState[];
  let messages: StreamMessage[];
  let lines: Line[];
  let resyncs: { resolve: () => void; reject: (error: Error) => void }[];
  let answers: (number | 'unreachable')[];
  let refused: number;
  let stream: LiveStream;

  const state = () => states.at(-1);

  beforeEach(() => {
    timers = new FakeTimers();
    states = [];
    messages = [];
    lines = [];
    resyncs = [];
    answers = [];
    refused = 0;
    stream = new LiveStream({
      timers,
      silenceMs: 30_000,
      open: () => {
        const answer = answers.shift() ?? 200;
        if (answer === 'unreachable') return Promise.reject(new Error('connection refused'));
        const body = new ReadableStream<Uint8Array>({
          start(controller) {
            lines.push({ send: (text) => controller.enqueue(new TextEncoder().encode(text)), end: () => controller.close() });
          },
        });
        return Promise.resolve(new Response(body, { status: answer }));
      },
      resync: () => new Promise<void>((resolve, reject) => resyncs.push({ resolve, reject })),
      onMessages: (batch) => messages.push(...batch),
      onState: (next) => states.push(next),
      onUnauthorized: () => (refused += 1),
    });
  });

  async function live() {
    stream.start();
    await settle();
    resyncs.at(-1)?.resolve();
    await settle();
  }

  it('is live only once everything was fetched, and loses nothing that came meanwhile', async () => {
    stream.start();
    await settle();
    lines[0]?.send('event: target\ndata: 1\n\n');
    await settle();
    expect(states).toEqual([{ status: 'connecting' }]);
    expect(messages).toEqual([]);
    resyncs[0]?.resolve();
    await settle();
    expect(state()).toEqual({ status: 'live' });
    lines[0]?.send('event: target\ndata: 2\n\n');
    await settle();
    expect(messages.map(({ data }) => data)).toEqual(['1', '2']);
    stream.close();
  });

  it('says since when it is stale: the last word heard, not the moment it gave up', async () => {
    await live();
    await timers.advance(10_000);
    lines[0]?.send(': keep-alive\n\n');
    await settle();
    await timers.advance(5_000);
    lines[0]?.end();
    await settle();
    expect(state()).toMatchObject({ status: 'stale', sinceMs: 10_000 });
    stream.close();
  });

  it('reconnects by itself, fetches everything anew, and is live again', async () => {
    await live();
    lines[0]?.end();
    await settle();
    expect(state()?.status).toBe('stale');
    await timers.advance(500);
    expect(lines).toHaveLength(2);
    expect(resyncs).toHaveLength(2);
    expect(state()?.status).toBe('stale');
    resyncs[1]?.resolve();
    await settle();
    expect(state()).toEqual({ status: 'live' });
    stream.close();
  });

  it('takes silence for a dead line', async () => {
    await live();
    await timers.advance(29_999);
    expect(state()).toEqual({ status: 'live' });
    await timers.advance(1);
    expect(state()).toMatchObject({ status: 'stale', sinceMs: 0, reason: 'no word from the control plane' });
    stream.close();
  });

  it('notices on waking up that the line was silent too long', async () => {
    await live();
    timers.time += 60_000; // asleep: no timer ran
    stream.checkSilence();
    await settle();
    expect(state()).toMatchObject({ status: 'stale', sinceMs: 0 });
    stream.close();
  });

  it('stays stale when the refetch fails, and keeps the first stale moment through failed attempts', async () => {
    await live();
    await timers.advance(1_000);
    lines[0]?.send(':\n\n');
    await settle();
    answers = ['unreachable', 503];
    lines[0]?.end();
    await settle();
    await timers.advance(500);
    expect(state()).toMatchObject({ status: 'stale', sinceMs: 1_000, reason: 'connection refused' });
    await timers.advance(1_000);
    expect(state()).toMatchObject({ status: 'stale', sinceMs: 1_000, reason: 'the control plane answered 503' });
    await timers.advance(2_000);
    resyncs.at(-1)?.reject(new Error('no disk'));
    await settle();
    expect(state()).toMatchObject({ status: 'stale', sinceMs: 1_000, reason: 'no disk' });
    stream.close();
  });

  it('does not call a stream live that ended before its refetch did', async () => {
    stream.start();
    await settle();
    lines[0]?.send('event: target\ndata: 1\n\n');
    lines[0]?.end();
    await settle();
    resyncs[0]?.resolve();
    await settle();
    expect(states.map(({ status }) => status)).toEqual(['connecting', 'stale']);
    expect(messages).toEqual([]);
    stream.close();
  });

  it('ends for good when the token is refused', async () => {
    answers = [401];
    stream.start();
    await settle();
    expect(refused).toBe(1);
    await timers.advance(60_000);
    expect(lines).toHaveLength(1);
    expect(states).toEqual([{ status: 'connecting' }]);
  });

  it('tries at once when asked, and does nothing once closed', async () => {
    await live();
    lines[0]?.end();
    await settle();
    stream.retryNow();
    await settle();
    expect(lines).toHaveLength(2);
    stream.close();
    stream.retryNow();
    await timers.advance(60_000);
    expect(lines).toHaveLength(2);
  });

  it('does not wait for a silence when it is told that the line is dead', async () => {
    await live();
    stream.restart('this computer is offline');
    await settle();
    expect(state()).toMatchObject({ status: 'stale', reason: 'this computer is offline' });
    stream.close();
  });

  it('gives its connection back while nobody looks, and is stale until it has another', async () => {
    await live();
    stream.sleep();
    await settle();
    expect(state()).toMatchObject({ status: 'stale', reason: 'this tab was in the background' });
    await timers.advance(600_000);
    expect(lines).toHaveLength(1);
    stream.wake();
    await settle();
    expect(lines).toHaveLength(2);
    expect(state()?.status).toBe('stale');
    resyncs.at(-1)?.resolve();
    await settle();
    expect(state()).toEqual({ status: 'live' });
    stream.close();
  });

  it('waits longer after every failure, to a limit, never in step with others', () => {
    expect([1, 2, 3, 10].map((n) => retryDelay(n, 0.5))).toEqual([500, 1_000, 2_000, 10_000]);
    expect(retryDelay(1, 0)).toBeLessThan(retryDelay(1, 1));
  });
});

describe('throttled work', () => {
  it('happens at once, then once per interval, and the last call is never forgotten', async () => {
    const timers = new FakeTimers();
    let done = 0;
    const work = throttle(() => (done += 1), 100, timers);
    work();
    work();
    work();
    expect(done).toBe(1);
    await timers.advance(100);
    expect(done).toBe(2);
    await timers.advance(500);
    expect(done).toBe(2);
    work();
    work();
    work.cancel();
    await timers.advance(500);
    expect(done).toBe(3);
  });
});
