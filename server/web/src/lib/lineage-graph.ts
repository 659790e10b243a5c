// The lineage graph from dataset to robot: its shapes as the control plane answers them, where its nodes are drawn, and what of it
// belongs to one node. Pure. Layers by longest path, lanes for long edges, order by the mean of neighbours (Sugiyama's method in the small).

export type NodeKind = 'dataset' | 'run' | 'logged_model' | 'version' | 'deployment' | 'robot';

interface Common {
  id: string;
  label: string;
}

export type GraphNode = Common &
  (
    | { kind: 'dataset'; name: string; digest: string; source_type: string }
    | { kind: 'run'; run_id: string; experiment_id: string; status: string; user: string; started_at_us: number; ended_at_us?: number | null; commit: string }
    | { kind: 'logged_model'; model_id: string; name: string; status: string; experiment_id: string }
    | { kind: 'version'; model: string; version: string; digest?: string | null; deleted: boolean; created_by: string; created_at_us: number }
    | { kind: 'deployment'; deployment: string; model: string; version: string; slot: string; created_by: string; created_at_us: number }
    | { kind: 'robot'; target: string }
  );

export type EdgeKind = 'trained_on' | 'judged_by' | 'parent' | 'input' | 'output' | 'registered' | 'deployed' | 'told' | 'attested';

export interface GraphEdge {
  from: string;
  to: string;
  kind: EdgeKind;
  context: string;
  first_us?: number | null;
  last_us?: number | null;
  now?: boolean | null;
  intervals?: number | null;
}

export interface LineageGraph {
  center?: string | null;
  nodes: GraphNode[];
  edges: GraphEdge[];
  truncated: boolean;
}

export const KIND_LABEL: Record<NodeKind, string> = { dataset: 'Dataset', run: 'Run', logged_model: 'Logged model', version: 'Version', deployment: 'Deployment', robot: 'Robot' };

/** An edge in words: what the second node is to the first. */
export const EDGE_WORDS: Record<EdgeKind, string> = {
  trained_on: 'trained',
  judged_by: 'judged',
  parent: 'is the parent of',
  input: 'went into',
  output: 'gave',
  registered: 'was registered as',
  deployed: 'was deployed by',
  told: 'told',
  attested: 'was run by',
};

export interface PlacedNode {
  node: GraphNode;
  x: number;
  y: number;
}

export interface PlacedEdge {
  edge: GraphEdge;
  /** Path of an SVG. */
  d: string;
}

export interface Layout {
  /** Width of every node. */
  node: number;
  nodes: PlacedNode[];
  edges: PlacedEdge[];
  width: number;
  height: number;
  /** What stands above each column. */
  columns: { x: number; title: string }[];
}

export const NODE = { least: 118, most: 190, height: 44 } as const;
/** Between columns at least, between nodes, and the height of a lane. */
const GAP = { x: 24, y: 14, lane: 8 } as const;
const TOP = 26;
const SWEEPS = 6;

/** Which layer each node stands in: after everything it came from; versions, deployments and robots each in one, datasets next to their runs. */
export function layersOf(nodes: readonly GraphNode[], edges: readonly GraphEdge[]): Map<string, number> {
  const kinds = new Map(nodes.map((node) => [node.id, node.kind]));
  const out = new Map<string, string[]>(nodes.map(({ id }) => [id, []]));
  for (const { from, to } of edges) if (kinds.has(from) && kinds.has(to) && from !== to) out.get(from)!.push(to);
  // An edge that closes a circle (a run that took in and gave out one model) pushes nothing on.
  const state = new Map<string, 'open' | 'done'>();
  const forward = new Map<string, string[]>();
  const order: string[] = [];
  for (const { id } of nodes) {
    if (state.has(id)) continue;
    const stack: { id: string; next: number }[] = [{ id, next: 0 }];
    state.set(id, 'open');
    forward.set(id, []);
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      const to = out.get(top.id)![top.next];
      if (to === undefined) {
        state.set(top.id, 'done');
        order.push(top.id);
        stack.pop();
        continue;
      }
      top.next += 1;
      if (state.get(to) === 'open') continue;
      forward.get(top.id)!.push(to);
      if (!state.has(to)) {
        state.set(to, 'open');
        forward.set(to, []);
        stack.push({ id: to, next: 0 });
      }
    }
  }
  const layer = new Map(nodes.map(({ id }) => [id, 0]));
  order.reverse();
  for (const id of order) for (const to of forward.get(id)!) layer.set(to, Math.max(layer.get(to)!, layer.get(id)! + 1));
  // The kinds at the end stand below one another, whatever led there.
  let last = Math.max(-1, ...nodes.filter(({ kind }) => kind === 'dataset' || kind === 'run' || kind === 'logged_model').map(({ id }) => layer.get(id)!));
  for (const kind of ['version', 'deployment', 'robot'] as const) {
    const of = nodes.filter((node) => node.kind === kind);
    if (of.length === 0) continue;
    last += 1;
    for (const { id } of of) layer.set(id, last);
  }
  for (const node of nodes) {
    if (node.kind !== 'dataset') continue;
    const next = forward.get(node.id)!.map((to) => layer.get(to)!);
    if (next.length > 0) layer.set(node.id, Math.max(0, Math.min(...next) - 1));
  }
  return layer;
}

interface Place {
  id: string;
  layer: number;
  /** Null of a lane that an edge takes through a layer. */
  node: GraphNode | null;
  y: number;
}

/** Where everything is drawn, within `room` where that is possible. */
export function layOut(graph: Pick<LineageGraph, 'nodes' | 'edges'>, room = 1200): Layout {
  const known = new Set(graph.nodes.map(({ id }) => id));
  const edges = graph.edges.filter(({ from, to }) => known.has(from) && known.has(to) && from !== to);
  const layer = layersOf(graph.nodes, edges);
  const layers: Place[][] = Array.from({ length: Math.max(0, ...[...layer.values()].map((n) => n + 1)) }, () => []);
  const places = new Map<string, Place>();
  const add = (id: string, at: number, node: GraphNode | null) => {
    const place: Place = { id, layer: at, node, y: 0 };
    places.set(id, place);
    layers[at]!.push(place);
  };
  for (const node of graph.nodes) add(node.id, layer.get(node.id)!, node);

  // An edge over several layers gets a lane through each between.
  const chains = edges.map((edge, i) => {
    const [a, b] = [layer.get(edge.from)!, layer.get(edge.to)!];
    const lanes: string[] = [];
    for (let at = Math.min(a, b) + 1; at < Math.max(a, b); at += 1) {
      lanes.push(`lane ${i} ${at}`);
      add(lanes[lanes.length - 1]!, at, null);
    }
    return { edge, through: [edge.from, ...(a <= b ? lanes : lanes.reverse()), edge.to] };
  });
  const neighbours = new Map<string, string[]>([...places.keys()].map((id) => [id, []]));
  for (const { through } of chains) {
    for (let i = 1; i < through.length; i += 1) {
      neighbours.get(through[i - 1]!)!.push(through[i]!);
      neighbours.get(through[i]!)!.push(through[i - 1]!);
    }
  }
  const place = (column: Place[]) => {
    let y = 0;
    for (const one of column) {
      one.y = y + (one.node ? NODE.height / 2 : GAP.lane / 2);
      y += (one.node ? NODE.height : GAP.lane) + GAP.y;
    }
    return y - GAP.y;
  };
  layers.forEach(place);
  const mean = (one: Place, side: -1 | 1) => {
    const ys = neighbours.get(one.id)!.map((id) => places.get(id)!).filter((other) => (other.layer - one.layer) * side > 0).map(({ y }) => y);
    return ys.length === 0 ? one.y : ys.reduce((sum, y) => sum + y, 0) / ys.length;
  };
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const side = sweep % 2 === 0 ? -1 : 1;
    for (const column of side === -1 ? layers : [...layers].reverse()) {
      const wanted = new Map(column.map((one) => [one.id, mean(one, side)]));
      column.sort((a, b) => wanted.get(a.id)! - wanted.get(b.id)! || a.id.localeCompare(b.id, 'en', { numeric: true }));
      place(column);
    }
  }
  // Shorter columns stand at the middle of the tallest.
  const heights = layers.map(place);
  const height = Math.max(0, ...heights);
  layers.forEach((column, i) => column.forEach((one) => (one.y += TOP + (height - heights[i]!) / 2)));

  // Columns share the room; nodes take four fifths of theirs.
  const pitch = room / Math.max(1, layers.length - 0.2);
  const width = Math.round(Math.min(NODE.most, Math.max(NODE.least, pitch * 0.8)));
  const gap = Math.floor(Math.max(GAP.x, Math.min(width * 0.5, (room - layers.length * width) / Math.max(1, layers.length - 1))));
  const x = (at: number) => at * (width + gap);
  const ends = (id: string, side: 'left' | 'right') => {
    const one = places.get(id)!;
    return [x(one.layer) + (side === 'right' ? width : 0), one.y] as const;
  };
  const drawn = chains.map(({ edge, through }): PlacedEdge => {
    const back = layer.get(edge.to)! <= layer.get(edge.from)!;
    let [px, py] = ends(through[0]!, back ? 'left' : 'right');
    let d = `M${px} ${py.toFixed(1)}`;
    for (const id of through.slice(1)) {
      const [qx, qy] = ends(id, back ? 'right' : 'left');
      // Within one layer the edge goes around the side.
      const bend = px === qx || (back && qx > px) ? -gap / 1.6 : (qx - px) / 2;
      d += `C${(px + bend).toFixed(1)} ${py.toFixed(1)} ${(qx - (px === qx ? -bend : bend)).toFixed(1)} ${qy.toFixed(1)} ${qx} ${qy.toFixed(1)}`;
      [px, py] = places.get(id)!.node === null ? ends(id, back ? 'left' : 'right') : [qx, qy];
      if (places.get(id)!.node === null) d += `L${px} ${py.toFixed(1)}`;
    }
    return { edge, d };
  });
  const columns = layers.map((column, i) => {
    // A column of several kinds is called after the one it has most of: the rest say it themselves.
    const count = new Map<string, number>();
    for (const { node } of column) if (node) count.set(KIND_LABEL[node.kind], (count.get(KIND_LABEL[node.kind]) ?? 0) + 1);
    const most = [...count].sort((one, other) => other[1] - one[1])[0];
    return { x: x(i), title: most ? `${most[0]}s` : '' };
  });
  return {
    node: width,
    nodes: layers.flatMap((column, i) => column.flatMap((one) => (one.node ? [{ node: one.node, x: x(i), y: one.y - NODE.height / 2 }] : []))),
    edges: drawn,
    width: Math.max(0, layers.length * (width + gap) - gap),
    height: height + TOP,
    columns,
  };
}

/** The graph with at most so many robots: what it is around, then those that run it now. How many there are is told. */
export function fewerRobots(graph: LineageGraph, most: number): { graph: LineageGraph; robots: number; drawn: number } {
  const robots = graph.nodes.filter(({ kind }) => kind === 'robot');
  if (robots.length <= most) return { graph, robots: robots.length, drawn: robots.length };
  const now = new Set(graph.edges.filter((edge) => edge.kind === 'attested' && edge.now).map(({ to }) => to));
  const rank = ({ id }: GraphNode) => (id === graph.center ? 0 : now.has(id) ? 1 : 2);
  const kept = new Set([...robots].sort((a, b) => rank(a) - rank(b)).slice(0, most).map(({ id }) => id));
  const nodes = graph.nodes.filter(({ kind, id }) => kind !== 'robot' || kept.has(id));
  const ids = new Set(nodes.map(({ id }) => id));
  return { graph: { ...graph, nodes, edges: graph.edges.filter(({ from, to }) => ids.has(from) && ids.has(to)) }, robots: robots.length, drawn: most };
}

/** Everything a node came from and all that came of it, itself included. */
export function kin(edges: readonly GraphEdge[], id: string): Set<string> {
  const found = new Set([id]);
  for (const [from, to] of [['from', 'to'], ['to', 'from']] as const) {
    const open = [id];
    const seen = new Set([id]);
    while (open.length > 0) {
      const at = open.pop()!;
      for (const edge of edges) {
        if (edge[from] !== at || seen.has(edge[to])) continue;
        seen.add(edge[to]);
        found.add(edge[to]);
        open.push(edge[to]);
      }
    }
  }
  return found;
}
