import { describe, expect, it } from 'vitest';
import { amount, DraftError, emptyDraft, GATE_PRESETS, labelsOf, seconds, specOf, STAGE_PRESETS, type RolloutDraft } from './rollout-draft';

const draft = (change: Partial<RolloutDraft> = {}): RolloutDraft => ({ ...emptyDraft(), name: 'label-reader', version: '2', ...change });

describe('what is filled in', () => {
  it('times', () => {
    expect(['90', '90s', '10m', '1.5 h', '1d'].map((text) => seconds(text, 'it'))).toEqual([90, 90, 600, 5_400, 86_400]);
    for (const text of ['', 'soon', '-1', '10y']) expect(() => seconds(text, 'the soak time'), text).toThrow(/the soak time .* is no time/);
  });

  it('amounts', () => {
    expect([amount('3', 'x'), amount(' 25 % ', 'x')]).toEqual([3, '25%']);
    for (const text of ['', '101%', 'many', '-1']) expect(() => amount(text, 'x'), text).toThrow(DraftError);
  });

  it('labels, several values of a key together', () => {
    expect(labelsOf('site=lab, site=dock environment=prod')).toEqual({ site: ['lab', 'dock'], environment: ['prod'] });
    expect(labelsOf('')).toEqual({});
    for (const text of ['site', 'site=', '=lab']) expect(() => labelsOf(text), text).toThrow(DraftError);
  });
});

describe('the document', () => {
  it('of a draft that nobody changed is a canary, half, all with gates', () => {
    const spec = specOf(draft());
    expect(spec.release).toEqual({ kind: 'model', name: 'label-reader', version: '2' });
    expect(spec.strategy?.stages).toEqual([{ name: 'canary', count: 1, soak_s: 600 }, { name: 'half', percent: 50, soak_s: 600 }, { name: 'all', rest: true }]);
    expect(spec.gates?.map(({ name, min_samples }) => [name, min_samples])).toEqual([['accuracy', 200], ['answers', 200]]);
    expect(spec.targets).toEqual({});
    expect('seed' in spec.strategy!).toBe(false);
    expect(spec).toMatchObject({ slot: 'default', on_failure: 'rollback_all', when_taken: 'refuse' });
  });

  it('says everything that was filled in', () => {
    const spec = specOf(draft({ version: '@champion', labels: 'site=lab', groups: 'night', percent: '10 %', exclude: 'robot-9', expression: 'updated.fps.mean > 9.0', gates: [], notWhile: ['mission'], recording: 'c1', description: ' better ', maxFailed: '2%' }));
    expect(spec.release).toEqual({ kind: 'model', name: 'label-reader', alias: 'champion' });
    expect(spec.targets).toEqual({ labels: { site: ['lab'] }, groups: ['night'], percent: 10, exclude: ['robot-9'] });
    expect(spec.gates).toEqual([{ name: 'expression', expression: 'updated.fps.mean > 9.0', min_samples: 200 }]);
    expect(spec).toMatchObject({ strategy: { max_failed: '2%', robots: { not_while: ['mission'] } }, replay: { recording: 'c1' }, description: 'better' });
  });

  it('says the seed where a share is taken', () => {
    expect(specOf(draft({ seed: ' autumn ' }))).toMatchObject({ targets: {}, strategy: { seed: 'autumn' } });
    expect(specOf(draft({ seed: 'autumn' })).targets).toEqual({});
    expect(specOf(draft({ seed: 'autumn', percent: '10' }))).toMatchObject({ targets: { percent: 10, seed: 'autumn' }, strategy: { seed: 'autumn' } });
  });

  it('of a policy carries it, and neither slot nor version', () => {
    const spec = specOf(draft({ kind: 'policy', policy: '{"v":1}', gates: [] }));
    expect(spec.release).toEqual({ kind: 'policy', policy: { v: 1 } });
    expect('slot' in spec || 'gates' in spec).toBe(false);
  });

  it('is not made of what cannot be read, which is named', () => {
    const stage = { name: 'canary', takes: 'count' as const, value: 'few', soak: '', approval: false };
    const table: [Partial<RolloutDraft>, RegExp][] = [
      [{ name: ' ' }, /name is missing/], [{ version: '' }, /which version/], [{ stages: [] }, /at least one stage/], [{ stages: [stage] }, /stage “canary”: .*“few”/],
      [{ stages: [{ ...stage, takes: 'names', value: '' }] }, /names no robot/], [{ stages: [{ ...stage, value: '1', soak: 'a while' }] }, /soak time/],
      [{ percent: '110' }, /no share/], [{ kind: 'policy', policy: '{' }, /no JSON/], [{ minSamples: '-3' }, /samples/], [{ deadline: '' }, /deadline/],
    ];
    for (const [change, words] of table) expect(() => specOf(draft(change)), JSON.stringify(change)).toThrow(words);
  });

  it('can be made of every preset', () => {
    for (const { key, stages } of STAGE_PRESETS) expect(specOf(draft({ stages })).strategy?.stages?.length, key).toBe(stages.length);
    expect(specOf(draft({ gates: GATE_PRESETS.map(({ key }) => key) })).gates).toHaveLength(GATE_PRESETS.length);
    // The control plane takes exactly one of the two, and a margin above 0.
    for (const { gate } of GATE_PRESETS) expect([gate.compare?.margin ?? 0, gate.expression?.length ?? 0].filter((n) => n > 0), gate.name).toHaveLength(1);
    // Presets are copied, so that what is changed in one dialog is not in the next.
    const one = emptyDraft();
    one.stages[0]!.name = 'changed';
    expect(emptyDraft().stages[0]!.name).toBe('canary');
  });
});
