import { render } from 'svelte/server';
import { describe, expect, it } from 'vitest';
import type { Loss } from '../lib/targets';
import LossTable from './LossTable.svelte';

const NOW_US = 1_763_740_800_000_000;
const evicted: Loss = {
  epoch: 'e1', class: 'detail', first_seq: '1', last_seq: '12040', count: '12040', cause: 'evicted', bytes: 4_812_345,
  first_t_us: NOW_US - 3 * 3_600_000_000, last_t_us: NOW_US - 600_000_000, recorded_us: NOW_US - 60_000_000,
};
const rewound: Loss = { ...evicted, class: 'event', first_seq: 7, last_seq: 7, count: 1, cause: 'server_rewound', bytes: 0, first_t_us: null, last_t_us: null };

/** What a person reads. */
function text(losses: Loss[]): string[] {
  const html = render(LossTable, { props: { losses, nowMs: NOW_US / 1000 } }).body;
  return html.split('<li').slice(1).map((row) => row.replace(/^[^>]*>/, '').replace(/<!--.*?-->/g, '').replace(/<[^>]+>/g, ' ').replace(/\s+/g, ' ').trim());
}

describe('losses on record', () => {
  it('say class, count, range, bytes and time span, and why', () => {
    const [row] = text([evicted]);
    for (const part of ['detail', '12 040 entries', '1–12 040', '4.8 MB', '2 h 50 min', 'evicted before it could be sent', 'heard of 1 min ago']) {
      expect(row).toContain(part);
    }
    expect(row).toMatch(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d – /);
  });

  it('say what is not known as such', () => {
    const [row] = text([rewound]);
    expect(row).toMatch(/^event 1 entry 7 – forgotten when the control plane was restored/);
    expect(row).not.toContain('0 B');
  });

  it('tell what a disk did not keep, and where only a bound is known', () => {
    const damaged: Loss = { ...rewound, cause: 'log_damaged', first_t_us: NOW_US - 60_000_000, last_t_us: NOW_US };
    const [sure, perhaps] = text([damaged, { ...damaged, first_seq: 8, last_seq: 30, count: 23, cause: 'log_damaged_at_most' }]);
    expect(sure).toContain('not kept by the robot');
    expect(perhaps).toContain('at most these');
  });

  it('are shown one by one, in the order given', () => {
    const html = render(LossTable, { props: { losses: [evicted, rewound], nowMs: NOW_US / 1000 } }).body;
    expect([...html.matchAll(/data-loss="(\w+)"/g)].map((match) => match[1])).toEqual(['detail', 'event']);
  });
});
