import { describe, expect, it } from 'vitest';
import { content, fileName, unavailable, type Capture } from './captures';

const stored: Capture = {
  id: '17-ab', target: 'robot-1', place: 'stored', reason: 'trigger weak', triggered_us: 2, start_us: 1_000_000, end_us: 13_000_000, messages: 1_204,
  missed: 0, topics: { '/scan': 1_200, '/odom': 4 }, size_bytes: 4_000_000, received_bytes: 4_000_000, sha256: 'a', gone_us: null, gone_why: null,
};

describe('captures', () => {
  it('say what is in them', () => {
    expect(content(stored)).toBe('1\u202f204 messages of 2 topics, 12.0 s');
    expect(content({ ...stored, messages: 1, topics: { '/scan': 1 }, end_us: 1_000_000 })).toBe('1 message of 1 topic');
    expect(fileName(stored)).toBe('robot-1_17-ab.mcap');
  });

  it('can be fetched when they are whole and here, and else say why not', () => {
    expect(unavailable(stored)).toBeNull();
    expect(unavailable({ ...stored, place: 'uploading', received_bytes: 1_010_000 })).toBe('on its way: 25 % of 4.0 MB');
    expect(unavailable({ ...stored, place: 'gone', gone_why: 'space' })).toContain('make room');
    expect(unavailable({ ...stored, place: 'gone', gone_why: 'mismatch' })).toContain('not what the robot offered');
  });
});
