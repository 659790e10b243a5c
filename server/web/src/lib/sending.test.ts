import { describe, expect, it } from 'vitest';
import { Sending } from './sending.svelte';

describe('what a dialog asks', () => {
  it('is on its way until it is answered, and keeps what went wrong until it is asked anew', async () => {
    const sending = new Sending();
    let answer: (refused?: Error) => void = () => {};
    const ask = () => new Promise<void>((resolve, reject) => (answer = (refused) => (refused ? reject(refused) : resolve())));
    const refused = sending.send(ask);
    expect([sending.busy, sending.error]).toEqual([true, null]);
    answer(new Error('it is held'));
    expect(await refused).toBe(false);
    expect([sending.busy, sending.error]).toEqual([false, 'it is held']);
    const done = sending.send(ask);
    expect([sending.busy, sending.error]).toEqual([true, null]);
    answer();
    expect(await done).toBe(true);
    expect([sending.busy, sending.error]).toEqual([false, null]);
  });
});
