import { describe, expect, it } from 'vitest';
import { delta, lineDiff, sections, type ModelDiff } from './model-diff';
import { byUse, scaled } from './models';

const side = (version: string, size_bytes: number) => ({ model: 'm', version, digest: 'd', model_digest: 'd', size_bytes, created_at_us: 0, created_by: 'a' });
const nothing: ModelDiff = { before: side('1', 1000), after: side('2', 1000), compatible: true, inputs: {}, outputs: {}, graph: {}, operators: {}, files: {}, metrics: {}, params: {}, datasets: {}, baseline: {}, tags: {} };

describe('what changed between two versions', () => {
  it('is nothing where nothing did', () => {
    expect(sections(nothing)).toEqual([]);
  });

  it('is told section by section, with what is new, gone and by how much', () => {
    const diff: ModelDiff = {
      ...nothing,
      after: side('2', 2000),
      inputs: { X: { before: { name: 'X', elem_type: 'float32', shape: [null, 64] }, after: null } },
      metrics: { accuracy: { before: 0.5, after: 0.75 }, loss: { before: 'NaN', after: 1 } },
      graph: { parameters: { before: '1000000', after: '2000000' } },
      baseline: { brightness: { before: { mean: 10, std: 1 }, after: { mean: 12, std: 1 } } },
      manifest: { before: 'a\nb', after: 'a\nc' },
    };
    const found = sections(diff);
    expect(found.map(({ title }) => title)).toEqual(['Inputs', 'Metrics', 'Graph', 'Drift reference', 'Manifest']);
    expect(found[0]?.rows).toEqual([{ key: 'X', before: 'float32[?, 64]', after: null, delta: null }]);
    expect(found[1]?.rows).toEqual([{ key: 'accuracy', before: '0.5', after: '0.75', delta: '+0.25 (+50 %)' }, { key: 'loss', before: 'NaN', after: '1', delta: null }]);
    expect(found[2]?.rows[0]).toEqual({ key: 'size', before: '1.0 kB', after: '2.0 kB', delta: '+100 %' });
    expect(found[3]?.rows[0]?.delta).toBe('+2 (+20 %)');
    expect(found[4]?.text).toBe(true);
  });

  it('gives no share of nothing', () => {
    expect([delta(0, 5), delta(1, 1), delta(null, 1), delta('Infinity', 1), delta(2, 1)]).toEqual(['+5', null, null, null, '−1 (−50 %)']);
  });

  it('is told line by line of a text', () => {
    expect(lineDiff('a\nb\nc', 'a\nc\nd').map(({ kind, text }) => `${kind} ${text}`)).toEqual(['same a', 'gone b', 'same c', 'new d']);
    expect(lineDiff('x', 'x')).toEqual([{ text: 'x', kind: 'same' }]);
    expect(lineDiff(Array(600).fill('a').join('\n'), Array(600).fill('b').join('\n'))).toHaveLength(1200);
  });
});

describe('a graph', () => {
  it('is told in figures people read', () => {
    expect([0, 999, 4821, 25_600_000, 4.1e9].map(scaled)).toEqual(['0', '999', '4.82\u202fk', '25.6\u202fM', '4.1\u202fG']);
    expect(byUse({ Add: 1, MatMul: 3, Abs: 1 })).toEqual([['MatMul', 3], ['Abs', 1], ['Add', 1]]);
  });
});
