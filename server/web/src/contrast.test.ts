// Every pair of text and ground that the design uses reaches WCAG AA, in light and in dark.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const css = readFileSync(new URL('./app.css', import.meta.url), 'utf8');
const [light = '', dark = ''] = css.split('@media (prefers-color-scheme: dark)');

function tokens(text: string): Map<string, string> {
  return new Map([...text.matchAll(/--([a-z0-9-]+):\s*(#[0-9a-f]{6});/g)].map(([, name, value]) => [name!, value!]));
}

function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return channel <= 0.03928 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const grounds = ['bg', 'panel', 'sunken', 'hover'];
const pairs = [
  ...['ink', 'ink-2', 'ink-3'].flatMap((text) => grounds.map((ground) => [text, ground] as const)),
  ...['ok', 'info', 'warn', 'bad', 'idle'].flatMap((tone) => [[tone, `${tone}-soft`], [tone, 'panel'], [tone, 'hover']] as const),
  ['ink-2', 'idle-soft'],
  ['accent', 'panel'],
  ['accent', 'accent-soft'],
  ['accent-ink', 'accent'],
  ['accent-ink', 'accent-hover'],
] as const;

describe.each([
  ['light', tokens(light)],
  ['dark', new Map([...tokens(light), ...tokens(dark)])],
])('%s', (_, colours) => {
  it.each(pairs)('%s on %s', (text, ground) => {
    const [a, b] = [colours.get(text), colours.get(ground)];
    if (a === undefined || b === undefined) throw new Error(`--${a === undefined ? text : ground} is no colour of app.css`);
    expect(contrast(a, b)).toBeGreaterThanOrEqual(4.5);
  });

  // Lines and marks are graphics, for which AA asks 3.
  it.each(Array.from({ length: 8 }, (_, i) => `series-${i + 1}`))('%s on panel', (series) => {
    expect(contrast(colours.get(series)!, colours.get('panel')!)).toBeGreaterThanOrEqual(3);
  });
});
