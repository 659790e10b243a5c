// Fields of a robot's topics, as its telemetry policy has them reported: which series belong together.

/** A field of a topic. Its channels are `/topic:path`, with `:mean` and the like behind it for windows, `:STATE` for states. */
export interface TopicField {
  /** `/topic:path`. */
  key: string;
  topic: string;
  path: string;
  /** Single values, amounts over windows, or shares of time in states. */
  kind: 'single' | 'window' | 'state';
  /** What is drawn: channel and label, four at most. */
  series: { channel: string; label: string }[];
}

const MAX_SERIES = 4;
const DRAWN = ['max', 'p95', 'mean', 'min'];

/** The fields that a robot's channels are of, by name. Channels that are no topic's are left out. */
export function topicFields(channels: readonly string[]): TopicField[] {
  const found = new Map<string, string[]>();
  for (const channel of channels) {
    if (!channel.startsWith('/')) continue;
    const [topic = '', path, ...rest] = channel.split(':');
    if (path === undefined) continue;
    const key = `${topic}:${path}`;
    found.set(key, [...(found.get(key) ?? []), rest.join(':')]);
  }
  const fields = [...found].map(([key, labels]): TopicField => {
    const [topic = '', path = ''] = key.split(':');
    const channel = (label: string) => ({ channel: label === '' ? key : `${key}:${label}`, label: label === '' ? path : label });
    if (labels.includes('mean')) {
      return { key, topic, path, kind: 'window', series: DRAWN.filter((label) => labels.includes(label)).map(channel) };
    }
    const states = labels.filter((label) => label !== '').sort();
    if (states.length > 0) return { key, topic, path, kind: 'state', series: states.slice(0, MAX_SERIES).map(channel) };
    return { key, topic, path, kind: 'single', series: [channel('')] };
  });
  return fields.sort((a, b) => (a.key < b.key ? -1 : 1));
}
