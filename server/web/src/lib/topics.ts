// What a robot reports beside its models: fields of topics, as its telemetry policy says, and the channels that other software on
// it named by itself. Which series belong together.

import type { Channels } from './telemetry';

/**
 * A field of a topic. Its channels are `/topic:path`, with `:mean` and the like behind it for windows, `:STATE` for states. A
 * channel that software named itself is one without a topic.
 */
export interface TopicField {
  /** `/topic:path`, or the channel's name. */
  key: string;
  topic: string;
  path: string;
  /** Empty when it has none or it is not known. */
  unit: string;
  /** Single values, amounts over windows, or shares of time in states. */
  kind: 'single' | 'window' | 'state';
  /** What is drawn: channel and label, four at most. */
  series: { channel: string; label: string }[];
}

const MAX_SERIES = 4;
const DRAWN = ['max', 'p95', 'mean', 'min'];

/** What a robot's channels show, by name. What its models say is left out: it has its own charts. */
export function topicFields({ channels, units }: Channels): TopicField[] {
  const named = channels
    .filter((channel) => channel in units)
    .map((channel): TopicField => ({ key: channel, topic: '', path: channel, unit: units[channel] ?? '', kind: 'single', series: [{ channel, label: channel }] }));
  const found = new Map<string, string[]>();
  for (const channel of channels) {
    if (!channel.startsWith('/') || channel in units) continue;
    const [topic = '', path, ...rest] = channel.split(':');
    if (path === undefined) continue;
    const key = `${topic}:${path}`;
    found.set(key, [...(found.get(key) ?? []), rest.join(':')]);
  }
  const fields = [...found].map(([key, labels]): TopicField => {
    const [topic = '', path = ''] = key.split(':');
    const channel = (label: string) => ({ channel: label === '' ? key : `${key}:${label}`, label: label === '' ? path : label });
    if (labels.includes('mean')) {
      return { key, topic, path, unit: '', kind: 'window', series: DRAWN.filter((label) => labels.includes(label)).map(channel) };
    }
    const states = labels.filter((label) => label !== '').sort();
    if (states.length > 0) return { key, topic, path, unit: '', kind: 'state', series: states.slice(0, MAX_SERIES).map(channel) };
    return { key, topic, path, unit: '', kind: 'single', series: [channel('')] };
  });
  return [...fields, ...named].sort((a, b) => (a.key < b.key ? -1 : 1));
}
