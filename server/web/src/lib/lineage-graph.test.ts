import { describe, expect, it } from 'vitest';
import { barsOfGraph, changesOf, fromLocalInput, particulars, readTime, robotsOf, spanOf, standing, toLocalInput, type LineageDiff } from './lineage';
import { fewerRobots, kin, layersOf, layOut, type EdgeKind, type GraphEdge, type GraphNode, type LineageGraph } from './lineage-graph';

const dataset = (name: string): GraphNode => ({ id: name, label: name, kind: 'dataset', name, digest: name, source_type: '' });
const run = (id: string): GraphNode => ({ id, label: id, kind: 'run', run_id: id, experiment_id: '1', status: 'FINISHED', user: '', started_at_us: 0, commit: '' });
const logged = (id: string): GraphNode => ({ id, label: id, kind: 'logged_model', model_id: id, name: id, status: 'READY', experiment_id: '1' });
const version = (id: string): GraphNode => ({ id, label: id, kind: 'version', model: 'm', version: id, digest: `sha256:${id}`, deleted: false, created_by: '', created_at_us: 0 });
const deployment = (id: string): GraphNode => ({ id, label: id, kind: 'deployment', deployment: id, model: 'm', version: '1', slot: 'default', created_by: '', created_at_us: 0 });
const robot = (id: string): GraphNode => ({ id, label: id, kind: 'robot', target: id });
const edge = (from: string, to: string, kind: EdgeKind = 'output', more: Partial<GraphEdge> = {}): GraphEdge => ({ from, to, kind, context: '', ...more });

const chain: Pick<LineageGraph, 'nodes' | 'edges'> = {
  nodes: [robot('r1'), version('1'), run('run1'), dataset('d1'), logged('lm1'), run('run2'), dataset('d2'), logged('lm2'), deployment('dep')],
  edges: [
    edge('d1', 'run1', 'trained_on'), edge('run1', 'lm1'), edge('lm1', 'run2', 'input'), edge('d2', 'run2', 'trained_on'), edge('run2', 'lm2'),
    edge('lm2', '1', 'registered'), edge('1', 'dep', 'deployed'), edge('dep', 'r1', 'told'), edge('1', 'r1', 'attested', { now: true, first_us: 10, last_us: 20 }),
  ],
};

describe('layers of the graph', () => {
  it('run from what was first to what came of it, datasets next to the runs they went into', () => {
    const layers = layersOf(chain.nodes, chain.edges);
    expect(['d1', 'run1', 'lm1', 'run2', 'lm2', '1', 'dep', 'r1'].map((id) => layers.get(id))).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(layers.get('d2')).toBe(2);
  });

  it('hold versions, deployments and robots in a column each', () => {
    const nodes = [version('1'), version('2'), run('a'), robot('r'), deployment('d')];
    const layers = layersOf(nodes, [edge('a', '1', 'registered'), edge('1', 'r', 'attested'), edge('2', 'd', 'deployed'), edge('d', 'r', 'told')]);
    expect([layers.get('1'), layers.get('2'), layers.get('d'), layers.get('r')]).toEqual([1, 1, 2, 3]);
  });

  it('end even where a circle is', () => {
    const layers = layersOf([run('a'), logged('m')], [edge('a', 'm'), edge('m', 'a', 'input')]);
    expect(layers.get('m')).toBe(layers.get('a')! + 1);
  });
});

describe('the drawing', () => {
  it('lets no two nodes lie over one another, and every edge have a path of numbers', () => {
    const many: GraphNode[] = Array.from({ length: 40 }, (_, i) => robot(`r${i}`));
    const { nodes, edges, width, height } = layOut({ nodes: [...chain.nodes, ...many], edges: [...chain.edges, ...many.map(({ id }) => edge('1', id, 'attested'))] });
    for (const [i, a] of nodes.entries()) {
      expect(a.x).toBeGreaterThanOrEqual(0);
      expect(a.y + 44).toBeLessThanOrEqual(height);
      for (const b of nodes.slice(i + 1)) expect(a.x === b.x && Math.abs(a.y - b.y) < 44, `${a.node.id} over ${b.node.id}`).toBe(false);
    }
    expect(edges).toHaveLength(chain.edges.length + many.length);
    for (const { d } of edges) expect(d).toMatch(/^M[-\d.]+ [-\d.]+([CL][-\d. ]+)+$/);
    expect(width).toBeGreaterThan(0);
  });

  it('leads long edges around what lies between', () => {
    const { nodes, edges } = layOut(chain);
    const between = nodes.find(({ node }) => node.id === 'dep')!;
    const direct = edges.find((one) => one.edge.kind === 'attested')!;
    const lane = /L([\d.]+) ([\d.]+)/.exec(direct.d)!;
    expect(Number(lane[2]) <= between.y || Number(lane[2]) >= between.y + 44).toBe(true);
  });

  it('fits the room it has as long as names can be read, then scrolls', () => {
    const three = { nodes: [dataset('d'), run('a'), version('1')], edges: [edge('d', 'a', 'trained_on'), edge('a', '1', 'registered')] };
    for (const room of [500, 800, 1600]) expect(layOut(three, room).width).toBeLessThanOrEqual(room);
    expect(layOut(three, 100).node).toBe(118);
  });

  it('leaves edges out whose nodes were cut off', () => {
    expect(layOut({ nodes: [run('a')], edges: [edge('a', 'gone')] }).edges).toEqual([]);
    expect(layOut({ nodes: [], edges: [] })).toMatchObject({ nodes: [], edges: [], width: 0 });
  });
});

describe('a fleet that ran one model', () => {
  const robots = Array.from({ length: 100 }, (_, i) => robot(`r${i}`));
  const fleet: LineageGraph = { center: 'r99', truncated: false, nodes: [...robots, version('1')], edges: robots.map(({ id }, i) => edge('1', id, 'attested', { now: i === 50 })) };

  it('is drawn in part: what was asked about, then who runs it now', () => {
    const { graph, robots: all, drawn } = fewerRobots(fleet, 3);
    expect([all, drawn]).toEqual([100, 3]);
    expect(graph.nodes.map(({ id }) => id)).toEqual(['r0', 'r50', 'r99', '1']);
    expect(graph.edges.map(({ to }) => to)).toEqual(['r0', 'r50', 'r99']);
  });

  it('is drawn whole where it is small', () => {
    expect(fewerRobots(fleet, 100).graph).toBe(fleet);
  });
});

describe('kin of a node', () => {
  it('is what it came from and what came of it, not what stands beside it', () => {
    const edges = [edge('d', 'a'), edge('d', 'b'), edge('a', 'm'), edge('b', 'n')];
    expect([...kin(edges, 'a')].sort()).toEqual(['a', 'd', 'm']);
    expect([...kin([edge('a', 'm'), edge('m', 'a')], 'a')].sort()).toEqual(['a', 'm']);
  });
});

describe('the ground of time', () => {
  const interval = (digest: string, from_us: number, last_us: number, to_us: number | null) => ({ slot: 'default', model: 'm', version: '1', digest, from_us, last_us, to_us });
  const graph: LineageGraph = { ...chain, center: 'd1', truncated: false };

  it('is what a robot said, as far as it is of the graph', () => {
    expect(robotsOf(graph)).toEqual(['r1']);
    const bars = barsOfGraph(graph, 'r1', [interval('sha256:1', 10, 20, 30), interval('sha256:other', 30, 40, null)]);
    expect(bars).toMatchObject([{ lane: 'r1', from_us: 10, said_us: 20, to_us: 30 }]);
    expect(changesOf(bars)).toEqual([10, 30]);
  });

  it('reaches from the first thing known to now, whatever the robot’s clock says', () => {
    const bars = barsOfGraph(graph, 'r1', [interval('sha256:1', 10, 500, null)]);
    expect(spanOf(bars, 100)).toEqual([10, 500]);
    expect(spanOf(bars, 900)).toEqual([10, 900]);
    expect(spanOf([], 5)).toBeNull();
  });

  it('names moments as people enter them, to the second', () => {
    const us = Date.UTC(2026, 2, 3, 14, 3, 7) * 1000;
    expect(fromLocalInput(toLocalInput(us))).toBe(us);
    expect([toLocalInput(null), fromLocalInput(''), fromLocalInput('what')]).toEqual(['', null, null]);
    expect([readTime('12'), readTime(undefined), readTime('x'), readTime('1e9')]).toEqual([12, null, null, null]);
  });
});

describe('what changed between robots', () => {
  const side = (target: string) => ({ target, confirmed: true, acts: [] });
  const none: LineageDiff = { slot: 'default', before: side('a'), after: side('b'), same: false, trained_on: { before: [], after: [], both: [] }, notes: [] };

  it('says beside the versions which data, stage and names differ', () => {
    expect(standing(none)).toEqual([]);
    const found = standing({ ...none, stage: { before: 'None', after: 'Production' }, aliases: { before: ['old', 'x'], after: [] }, trained_on: { before: [{ name: 'd', digest: '1' }], after: [{ name: 'd', digest: '2' }], both: [] } });
    expect(found.map(({ rows }) => rows.map(({ key, before, after }) => [key, before, after]))).toEqual([
      [['d', '1', '2']],
      [['stage', 'None', 'Production'], ['aliases', '@old, @x', null]],
    ]);
  });

  it('shows particulars of anything', () => {
    expect(particulars({ robot_name: 'a', empty: null, list: [1] })).toEqual([['robot name', 'a'], ['list', '[1]']]);
    expect([particulars(null), particulars('x'), particulars([1])]).toEqual([[], [['', '"x"']], [['', '[1]']]]);
  });
});
