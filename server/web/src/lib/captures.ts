// Recordings that a robot made of its topics, and where they are.

import { bytes, duration, plural } from './format';

export interface Capture {
  id: string;
  target: string;
  place: 'uploading' | 'stored' | 'gone';
  /** Why it was made. */
  reason: string;
  triggered_us: number;
  start_us: number;
  end_us: number;
  messages: number;
  missed: number;
  topics: Record<string, number>;
  size_bytes: number;
  received_bytes: number;
  sha256: string;
  gone_us: number | null;
  gone_why: 'age' | 'space' | 'unfinished' | 'mismatch' | null;
}

/** What a file of it is called. */
export function fileName(capture: Capture): string {
  return `${capture.target}_${capture.id}.mcap`;
}

/** How much is in it. */
export function content(capture: Capture): string {
  const topics = plural(Object.keys(capture.topics).length, 'topic');
  const span = capture.end_us > capture.start_us ? `, ${duration(capture.end_us - capture.start_us)}` : '';
  return `${plural(capture.messages, 'message')} of ${topics}${span}`;
}

/** Why it cannot be fetched; `null` when it can. */
export function unavailable(capture: Capture): string | null {
  if (capture.place === 'uploading') {
    const percent = capture.size_bytes > 0 ? Math.floor((100 * capture.received_bytes) / capture.size_bytes) : 0;
    return `on its way: ${percent} % of ${bytes(capture.size_bytes)}`;
  }
  if (capture.place === 'stored') return null;
  switch (capture.gone_why) {
    case 'age': return 'removed: kept for as long as is configured';
    case 'space': return 'removed to make room for newer ones';
    case 'unfinished': return 'given up: the robot ceased to send it';
    default: return 'removed: what came was not what the robot offered';
  }
}
