import { describe, expect, it } from 'vitest';
import { Api, ApiError } from './api';

interface Asked {
  url: URL;
  init: RequestInit;
}

/** An API whose answers are given one after the other. */
function answering(...answers: ({ status?: number; body: unknown } | Error)[]) {
  const asked: Asked[] = [];
  let refused = 0;
  const api = new Api({
    token: 'secret',
    base: 'http://127.0.0.1:5000/prefix/api/v1/',
    onUnauthorized: () => (refused += 1),
    fetch: (url, init) => {
      asked.push({ url: new URL(String(url)), init: init ?? {} });
      const answer = answers.shift() ?? { body: {} };
      if (answer instanceof Error) return Promise.reject(answer);
      return Promise.resolve(new Response(JSON.stringify(answer.body), { status: answer.status ?? 200 }));
    },
  });
  return { api, asked, refused: () => refused };
}

describe('the API client', () => {
  it('follows pages to their end, below whatever address it is served', async () => {
    const { api, asked } = answering({ body: { items: [{ name: 'a' }], next: 'a' } }, { body: { items: [{ name: 'b' }], next: null } });
    expect((await api.targets(2_000)).map(({ name }) => name)).toEqual(['a', 'b']);
    expect(asked.map(({ url }) => url.pathname)).toEqual(['/prefix/api/v1/targets', '/prefix/api/v1/targets']);
    expect(asked.map(({ url }) => url.searchParams.get('after'))).toEqual([null, 'a']);
    expect(Number(asked[0]?.url.searchParams.get('limit'))).toBeLessThanOrEqual(1000);
  });

  it('asks for no more than was wanted', async () => {
    const { api, asked } = answering({ body: { items: [1, 2], next: '2' } });
    expect(await api.targetCaptures('robot-1', 2)).toHaveLength(2);
    expect(asked.map(({ url }) => url.search)).toEqual(['?limit=2']);
  });

  it('does not turn for ever on an empty page that names a next one', async () => {
    const { api, asked } = answering({ body: { items: [], next: 'x' } });
    expect(await api.deployments()).toEqual([]);
    expect(asked).toHaveLength(1);
  });

  it('sends the token in the header, never in the address', async () => {
    const { api, asked } = answering();
    await api.server();
    expect(new Headers(asked[0]?.init.headers).get('authorization')).toBe('Bearer secret');
    expect(asked[0]?.url.href).not.toContain('secret');
  });

  it('fetches the versions of models whose list lacks them', async () => {
    const { api, asked } = answering({ body: { items: [{ name: 'a/b' }, { name: 'c', versions: [] }], next: null } }, { body: { name: 'a/b', versions: [{ version: '1' }] } });
    expect((await api.models()).map(({ versions }) => versions.length)).toEqual([1, 0]);
    expect(asked[1]?.url.pathname).toBe('/prefix/api/v1/models/a%2Fb');
  });

  it('passes on what the control plane says', async () => {
    const { api } = answering({ status: 409, body: { error: { code: 'conflict', message: 'robot-1 is held: release it first' } } });
    await expect(api.deploy({ model: 'm', version: '1', targets: ['robot-1'] })).rejects.toMatchObject({ status: 409, code: 'conflict', message: 'robot-1 is held: release it first' });
  });

  it('tells a refused token from everything else', async () => {
    const { api, refused } = answering({ status: 401, body: {} }, { status: 403, body: {} });
    await expect(api.server()).rejects.toBeInstanceOf(ApiError);
    expect(refused()).toBe(1);
    await expect(api.server()).rejects.toBeInstanceOf(ApiError);
    expect(refused()).toBe(1);
  });

  it('says what to do when nobody answers', async () => {
    const { api } = answering(new TypeError('Failed to fetch'));
    await expect(api.server()).rejects.toThrow('check that edgeflow-server runs');
  });

  it('has no baseline to fetch where the bundle has none', async () => {
    const { api, asked } = answering();
    const version = { files: [{ path: 'model.onnx', size_bytes: 1, sha256: 'aa' }] } as never;
    expect(await api.baseline(version)).toBeNull();
    expect(asked).toHaveLength(0);
  });
});
