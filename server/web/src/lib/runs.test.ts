import { describe, expect, it } from 'vitest';
import { artifactRoot, inOrder, readable } from './artifacts';
import { columnNames, counted } from './datasets';
import {
  cell, columnsOf, compareRows, defaultColumns, errorPlace, metricText, nameFilter, nextOrder, orderBy, ownTags, readColumns, readOrder, runDuration, writeColumns, writeOrder,
  type Column, type Run,
} from './runs';

const run = (id: string, metrics: Record<string, Run['metrics'][number]['value']>, params: Record<string, string> = {}, tags: Record<string, string> = {}): Run => ({
  id, experiment: '1', name: id, user: 'u', status: 'FINISHED', lifecycle: 'active', started_at_us: 0, artifact_uri: '', datasets: [], model_inputs: [], model_outputs: [],
  metrics: Object.entries(metrics).map(([key, value]) => ({ key, value, step: 0, t_us: 0 })),
  params: Object.entries(params).map(([key, value]) => ({ key, value })),
  tags: Object.entries(tags).map(([key, value]) => ({ key, value })),
});

describe('columns of a runs table', () => {
  it('are written into an address and read back, whatever the keys', () => {
    const columns: Column[] = [{ kind: 'metric', key: 'val/loss, last' }, { kind: 'param', key: 'a.b=50%' }, { kind: 'tag', key: 'm.x' }];
    expect(readColumns(writeColumns(columns))).toEqual(columns);
  });

  it('that are none are left out', () => {
    expect(readColumns('x.a,m.,m,,p.lr,m.%zz')).toEqual([{ kind: 'param', key: 'lr' }, { kind: 'metric', key: '%zz' }]);
  });

  it('are all that any run has, without what clients note for themselves', () => {
    const runs = [run('a', { loss: 1 }, { lr: '1' }, { 'mlflow.user': 'u', team: 't' }), run('b', { acc10: 1, acc9: 1 })];
    expect(columnsOf(runs).map(({ kind, key }) => `${kind} ${key}`)).toEqual(['metric acc9', 'metric acc10', 'metric loss', 'param lr', 'tag team']);
  });

  it('begin with parameters that differ and without the figures of the machine', () => {
    const runs = [run('a', { loss: 1, 'system/cpu': 1 }, { same: '1', lr: '0.1' }), run('b', { loss: 2, 'system/cpu': 2 }, { same: '1', lr: '0.2' })];
    expect(defaultColumns(runs, 4, 1).map(({ key }) => key)).toEqual(['loss', 'lr']);
    expect(defaultColumns([])).toEqual([]);
  });

  it('show what a run has, and nothing where it has none', () => {
    const one = run('a', { loss: 'NaN' }, { lr: '' });
    expect([cell(one, { kind: 'metric', key: 'loss' }), cell(one, { kind: 'param', key: 'lr' }), cell(one, { kind: 'tag', key: 'x' })]).toEqual(['NaN', '', null]);
  });
});

describe('orders and filters', () => {
  it('are in the words of the search grammar, keys quoted', () => {
    expect(orderBy({ by: 'start_time', descending: true })).toBe('attributes.start_time DESC');
    expect(orderBy({ by: 'm.val "best", loss', descending: false })).toBe('metrics."val ""best"", loss" ASC');
    expect(orderBy({ by: 'p.lr', descending: true })).toBe('params."lr" DESC');
  });

  it('turn around at the second click; figures begin with the greatest, names with the first', () => {
    const first = nextOrder({ by: 'start_time', descending: true }, 'm.loss');
    expect(first).toEqual({ by: 'm.loss', descending: true });
    expect(nextOrder(first, 'm.loss').descending).toBe(false);
    expect(nextOrder(first, 'run_name').descending).toBe(false);
  });

  it('survive the address', () => {
    for (const order of [{ by: 'm.-x', descending: true }, { by: 'run_name', descending: false }]) expect(readOrder(writeOrder(order))).toEqual(order);
    expect(readOrder(undefined)).toEqual({ by: 'start_time', descending: true });
  });

  it('find the place an error names, counted as the control plane counts', () => {
    expect(errorPlace('bad filter, at character 9 ("<< 1"): a value belongs here')).toBe(8);
    expect(errorPlace('bad order_by, at character 9 ("x"): no')).toBeNull();
    expect(errorPlace('the control plane failed')).toBeNull();
  });

  it('look for part of a name, whatever is in it', () => {
    expect(nameFilter("  joe's ")).toBe("name ILIKE '%joe''s%'");
    expect(nameFilter('  ')).toBeUndefined();
  });
});

describe('comparing runs', () => {
  it('marks the rows in which they differ, a missing value too', () => {
    expect(compareRows([[{ key: 'lr', value: '1' }, { key: 'b', value: '2' }], [{ key: 'lr', value: '1' }]])).toEqual([
      { key: 'b', values: ['2', null], differs: true },
      { key: 'lr', values: ['1', '1'], differs: false },
    ]);
  });

  it('takes two NaN for the same', () => {
    expect(compareRows([[{ key: 'x', value: 'NaN' }], [{ key: 'x', value: 'NaN' }]])[0]?.differs).toBe(false);
  });
});

describe('figures', () => {
  it('are written short, and what is no number by its name', () => {
    expect([0, 1, 0.1 + 0.2, 1234567, 123456789, 1e-9, -0.5, 'NaN', 'Infinity', '-Infinity', null].map((value) => metricText(value as never))).toEqual(['0', '1', '0.3', '1234567', '1.235e8', '1e−9', '−0.5', 'NaN', '∞', '−∞', '–']);
  });

  it('tell how long a run took, and of one that is lost nothing', () => {
    expect(runDuration({ started_at_us: 10, ended_at_us: 30, status: 'FINISHED' }, 0)).toBe(20);
    expect(runDuration({ started_at_us: 0, ended_at_us: null, status: 'RUNNING' }, 5)).toBe(5000);
    expect(runDuration({ started_at_us: 0, ended_at_us: null, status: 'FAILED' }, 5)).toBeNull();
  });

  it('leave the clients’ own tags out', () => {
    expect(ownTags([{ key: 'mlflow.user', value: 'u' }, { key: 'mlflowish', value: 'v' }])).toEqual([{ key: 'mlflowish', value: 'v' }]);
  });
});

describe('artifacts', () => {
  it('are on this control plane or elsewhere', () => {
    expect(artifactRoot('mlflow-artifacts:/1/ab/artifacts')).toBe('1/ab/artifacts');
    expect(artifactRoot('mlflow-artifacts://host:5000/1/ab/artifacts/')).toBe('1/ab/artifacts');
    expect(artifactRoot('mlflow-artifacts:/1/a%20b')).toBe('1/a b');
    expect(artifactRoot('s3://bucket/1')).toBeNull();
    expect(artifactRoot('/tmp/mlruns')).toBeNull();
  });

  it('are listed as people look for them', () => {
    expect(inOrder([{ path: 'b10', is_dir: false }, { path: 'b9', is_dir: false }, { path: 'z', is_dir: true }]).map(({ path }) => path)).toEqual(['z', 'b9', 'b10']);
  });

  it('are shown only where they are short texts', () => {
    expect(readable({ path: 'MLmodel', is_dir: false, file_size: 10 })).toBe(true);
    expect(readable({ path: 'a.json', is_dir: false, file_size: 1e9 })).toBe(false);
    expect(readable({ path: 'model.onnx', is_dir: false, file_size: 10 })).toBe(false);
    expect(readable({ path: 'x.txt', is_dir: true })).toBe(false);
  });
});

describe('datasets', () => {
  it('tell their size and columns as the stock client notes them', () => {
    expect(counted('{"num_rows": 1797, "num_elements": 8985}')).toBe('1797 rows, 8985 elements');
    expect(counted('{"features_shape": [150, 4], "more": {"x": 1}}')).toBe('[150, 4] features shape');
    expect(columnNames('{"mlflow_colspec": [{"type": "long", "name": "p0"}, {"type": "long"}]}')).toEqual(['p0', '1']);
  });

  it('say nothing where the texts are something else', () => {
    for (const text of [null, undefined, '', 'not json', '[]', 'null', '3']) expect([counted(text), columnNames(text)]).toEqual(['', []]);
  });
});
