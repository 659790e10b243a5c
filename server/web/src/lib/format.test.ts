import { describe, expect, it } from 'vitest';
import { person, absolute, ago, axisTime, bytes, compact, count, duration, fixed, NOTHING, percent, plural, shortDigest, toNumber, timeSpan } from './format';

const MINUTE = 60_000;

describe('numbers of the wire', () => {
  it('reads what JSON cannot hold', () => {
    expect(toNumber('NaN')).toBeNaN();
    expect(toNumber('Infinity')).toBe(Number.POSITIVE_INFINITY);
    expect(toNumber('12')).toBe(12);
    expect(toNumber(null)).toBeNaN();
    expect(toNumber('')).toBeNaN();
  });

  it('never prints NaN', () => {
    for (const write of [percent, compact, (v: 'NaN') => fixed(v, 2)]) expect(write('NaN')).toBe(NOTHING);
    expect(percent(null)).toBe(NOTHING);
    expect(compact('Infinity')).toBe('∞');
  });

  it('keeps about three digits whatever the scale', () => {
    expect([0, 0.00004, 0.0456, 1.234, 45.67, 12345].map(compact)).toEqual(['0.00', '<0.001', '0.046', '1.23', '45.7', '12\u202f345']);
  });

  it('groups thousands and agrees with its noun', () => {
    expect(count('1234567')).toBe('1\u202f234\u202f567');
    expect([plural(1, 'robot'), plural(2, 'robot'), plural(0, 'class', 'classes')]).toEqual(['1 robot', '2 robots', '0 classes']);
  });

  it('writes sizes by decimal units, without jumping to "1000 kB"', () => {
    expect([0, 999, 1_000, 84_211, 999_600, 1_500_000_000].map(bytes)).toEqual(['0 B', '999 B', '1.0 kB', '84.2 kB', '1.0 MB', '1.5 GB']);
  });
});

describe('identities', () => {
  it('shortens digests and says when there is none', () => {
    expect(shortDigest(`sha256:${'0123456789abcdef'.repeat(4)}`)).toBe('01234567');
    expect(shortDigest('')).toBe(NOTHING);
  });
});

describe('times', () => {
  const now = Date.UTC(2026, 0, 2, 12);
  const before = (ms: number) => (now - ms) * 1000;

  it('tells ages in the unit that fits', () => {
    expect([0, 5_000, 59_999, MINUTE, 59 * MINUTE, 60 * MINUTE, 47 * 60 * MINUTE, 49 * 60 * MINUTE].map((ms) => ago(before(ms), now))).toEqual(['now', '5 s ago', '59 s ago', '1 min ago', '59 min ago', '1 h ago', '47 h ago', '2 d ago']);
    expect(ago(null, now)).toBe('never');
  });

  it('calls a time ahead of the clock now, never minus something', () => {
    expect(ago(before(-30_000), now)).toBe('now');
  });

  it('gives the absolute time with its zone and in UTC', () => {
    expect(absolute(before(0))).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.000 \(UTC[+−]\d\d:\d\d\)\n2026-01-02T12:00:00\.000Z$/);
  });

  it('writes durations from microseconds to days', () => {
    expect([840, 1_540, 23_400, 250_000, 3_200_000, 90_000_000, 3 * 3_600_000_000 + 60_000_000].map((us) => duration(us))).toEqual(['840 µs', '1.54 ms', '23.4 ms', '250 ms', '3.2 s', '1 min', '3 h 1 min']);
    expect(duration(null)).toBe(NOTHING);
  });
});

describe('a span of time', () => {
  it('says the day once where it is the same', () => {
    const at = (hour: number, day = 21) => new Date(2026, 10, day, hour, 5, 9).getTime() * 1000;
    expect(timeSpan(at(8), at(11))).toBe('2026-11-21 08:05:09 – 11:05:09');
    expect(timeSpan(at(8), at(11, 22))).toBe('2026-11-21 08:05:09 – 2026-11-22 11:05:09');
    expect(timeSpan(at(8), at(8))).toBe('2026-11-21 08:05:09');
    expect(timeSpan(null, at(8))).toBe('–');
  });
});

describe('a time axis', () => {
  it('says as much as its span needs', () => {
    const at = new Date(2026, 10, 21, 8, 5, 9).getTime() * 1000;
    const hour = 3_600_000_000;
    expect([hour / 12, hour, 24 * hour].map((span) => axisTime(at, span))).toEqual(['08:05:09', '08:05', '08:05']);
    expect([48 * hour, 60 * 24 * hour].map((span) => axisTime(at, span))).toEqual(['11-21 08:05', '11-21']);
  });
});

it('people are called by their names', () => {
  expect([person('operator:ada'), person('administrator'), person('robot:r1')]).toEqual(['ada', 'administrator', 'robot:r1']);
});
