import { describe, expect, it } from 'vitest';
import { decisionOf, partText, shortened, sideText, type Conflict, type ConflictSide } from './reconciliation';

const side = (version: string): ConflictSide => ({ model: 'nav', version, digest: `sha256:${version}`, changes: 1, generation: 2 });
const conflict = (slot: string): Conflict => ({ slot, kind: 'model', standing: 'conflict', what: '', since_us: 0, robot: side('1'), control: side('2') });
const CONFLICTS = [conflict('default'), conflict('arm'), conflict('nav')];

describe('what is decided about slots that both sides changed', () => {
  it('says nothing as long as nothing is chosen', () => {
    expect(decisionOf(CONFLICTS, {})).toBeNull();
    expect(decisionOf(CONFLICTS, { arm: undefined, gone: 'robot' })).toBeNull();
  });

  it('takes one side of one slot', () => {
    expect(decisionOf(CONFLICTS, { arm: 'robot' })).toEqual({ slot: 'arm', decision: { take: 'robot' } });
  });

  it('merges several, the slot that is asked about among them, and leaves the others', () => {
    expect(decisionOf(CONFLICTS, { nav: 'control', arm: 'robot' })).toEqual({ slot: 'arm', decision: { merge: { arm: 'robot', nav: 'control' } } });
  });
});

describe('sides and parts in words', () => {
  it('names what each side has', () => {
    expect(sideText(side('3'))).toBe('nav v3');
    expect(sideText({ ...side(''), model: '', digest: '' })).toBe('nothing');
    expect(sideText({ ...side(''), model: '' })).toBe('something that is not registered');
  });

  it('shortens digests, and nothing that only looks like one', () => {
    expect(shortened(`nav version 3 (sha256:${'ab'.repeat(32)})`)).toBe('nav version 3 (abababab)');
    expect(shortened('nav version 3 (sha256:abc)')).toBe('nav version 3 (sha256:abc)');
  });

  it('names the part of a robot', () => {
    expect(['slot:default', 'config:nav', 'policy', 'other:x'].map(partText)).toEqual(['Slot default', 'Configuration nav', 'Policy', 'other x']);
  });
});
