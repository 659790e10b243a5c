// How figures, times and identities are written, in one place so that every page says them alike.

/** A number of the wire: JSON has no NaN or infinities, so they come spelled out. */
export type WireNumber = number | 'NaN' | 'Infinity' | '-Infinity';

/** An unsigned 64-bit number of the wire: a decimal string, or a number where it fits. */
export type WireCount = number | string;

/** What stands where there is nothing to show. */
export const NOTHING = '–';

export function toNumber(value: WireNumber | WireCount | null | undefined): number {
  return value === null || value === undefined || value === '' ? Number.NaN : Number(value);
}

/** `sha256:0123abcd…` to its first hex digits. */
export function shortDigest(digest: string | null | undefined, digits = 8): string {
  if (!digest) return NOTHING;
  return digest.replace(/^sha256:/, '').slice(0, digits);
}

export function percent(value: WireNumber | null | undefined, decimals = 1): string {
  const number = toNumber(value);
  return Number.isFinite(number) ? `${(number * 100).toFixed(decimals)} %` : NOTHING;
}

export function fixed(value: WireNumber | null | undefined, decimals: number): string {
  const number = toNumber(value);
  if (number === Number.POSITIVE_INFINITY) return '∞';
  return Number.isFinite(number) ? number.toFixed(decimals) : NOTHING;
}

/** About three significant digits without an exponent, for statistics of any scale. */
export function compact(value: WireNumber | null | undefined): string {
  const number = toNumber(value);
  if (number === Number.POSITIVE_INFINITY) return '∞';
  if (!Number.isFinite(number)) return NOTHING;
  const size = Math.abs(number);
  if (size >= 100) return groupThousands(number.toFixed(0));
  if (size >= 10) return number.toFixed(1);
  if (size >= 1 || size === 0) return number.toFixed(2);
  if (size >= 0.001) return number.toFixed(3);
  return '<0.001';
}

export function count(value: WireCount | null | undefined): string {
  const number = toNumber(value);
  return Number.isFinite(number) ? groupThousands(String(Math.trunc(number))) : NOTHING;
}

function groupThousands(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** Who did something, as people say it: `operator:ada` is Ada's name. */
export function person(who: string): string {
  return who.replace(/^operator:/, '');
}

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let size = value;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? size.toFixed(0) : size.toFixed(1)} ${units[unit]}`;
}

/** A duration given in microseconds. */
export function duration(us: number | null | undefined): string {
  if (us === null || us === undefined || !Number.isFinite(us)) return NOTHING;
  if (us < 1_000) return `${us.toFixed(0)} µs`;
  if (us < 10_000) return `${(us / 1_000).toFixed(2)} ms`;
  if (us < 1_000_000) return `${(us / 1_000).toFixed(us < 100_000 ? 1 : 0)} ms`;
  if (us < 60_000_000) return `${(us / 1_000_000).toFixed(1)} s`;
  const minutes = Math.floor(us / 60_000_000);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d`;
}

/** How long ago, in words short enough for a table. Times ahead of the clock (skew) are "now". */
export function ago(tUs: number | null | undefined, nowMs: number): string {
  if (tUs === null || tUs === undefined) return 'never';
  return nowMs - tUs / 1000 < 2000 ? 'now' : `${lasting(tUs, nowMs)} ago`;
}

/** For how long it has lasted, to the same grain. */
export function lasting(tUs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - tUs / 1000) / 1000));
  if (seconds < 2) return 'a moment';
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

const pad = (value: number, width = 2) => String(value).padStart(width, '0');

/** Local time of day, for axes and lists. */
export function clockTime(tUs: number): string {
  const date = new Date(tUs / 1000);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** A moment as an axis over `spanUs` says it: with seconds, without, or the day. */
export function axisTime(tUs: number, spanUs: number): string {
  if (spanUs <= 1_200_000_000) return clockTime(tUs);
  if (spanUs <= 86_400_000_000) return clockTime(tUs).slice(0, 5);
  const date = new Date(tUs / 1000);
  const day = `${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return spanUs <= 5 * 86_400_000_000 ? `${day} ${clockTime(tUs).slice(0, 5)}` : day;
}

/** From when to when, in local time; the day is said once where both are on the same. */
export function timeSpan(firstUs: number | null | undefined, lastUs: number | null | undefined): string {
  if (firstUs === null || firstUs === undefined || lastUs === null || lastUs === undefined) return NOTHING;
  const day = (tUs: number) => {
    const date = new Date(tUs / 1000);
    return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  };
  const [first, last] = [`${day(firstUs)} ${clockTime(firstUs)}`, `${day(lastUs)} ${clockTime(lastUs)}`];
  if (first === last) return first;
  return day(firstUs) === day(lastUs) ? `${first} – ${clockTime(lastUs)}` : `${first} – ${last}`;
}

/** The whole truth about a moment: local time, its zone, and UTC. */
export function absolute(tUs: number | null | undefined): string {
  if (tUs === null || tUs === undefined) return 'never';
  const date = new Date(tUs / 1000);
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const offset = -date.getTimezoneOffset();
  const zone = `UTC${offset < 0 ? '−' : '+'}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`;
  return `${day} ${clockTime(tUs)}.${pad(date.getMilliseconds(), 3)} (${zone})\n${date.toISOString()}`;
}

/** What went wrong, in the words of whoever noticed. */
export function problem(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
