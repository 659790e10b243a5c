// Models, their immutable versions, and what may be uploaded as one.

export interface OnnxTensor {
  name: string;
  elem_type: string;
  shape: (number | null)[];
}

export interface BundleFile {
  path: string;
  size_bytes: number;
  sha256: string;
}

/** What a graph consists of and about what it costs: one run, with every open dimension at 1. */
export interface GraphReport {
  nodes: number;
  parameters: number;
  macs: number;
  operators: Record<string, number>;
  /** Operators whose cost could not be told, to how many. */
  unestimated: Record<string, number>;
}

export type Stage = 'None' | 'Staging' | 'Production' | 'Archived';

export interface ModelVersion {
  model: string;
  version: string;
  /** Whether robots can be told to run it; the note says why not. */
  deployable: boolean;
  note: string;
  digest: string;
  model_digest: string;
  size_bytes: number;
  files: BundleFile[];
  onnx: { inputs: OnnxTensor[]; outputs: OnnxTensor[]; opset: number; producer: string } | null;
  report?: GraphReport | null;
  /** Text of `edgeflow.yaml`. */
  manifest?: string | null;
  labels: string[] | null;
  description: string;
  aliases?: string[];
  stage?: Stage;
  tags?: Record<string, string>;
  /** The run that made it, and the logged model it is. */
  run_id?: string | null;
  model_id?: string | null;
  source?: string;
  created_at_us: number;
  created_by: string;
}

export interface Model {
  name: string;
  description: string;
  created_at_us: number;
  aliases?: Record<string, string>;
  tags?: Record<string, string>;
  versions: ModelVersion[];
}

/** `float32[batch, 64]`: an open dimension is shown as `?`. */
export function tensorType(tensor: OnnxTensor): string {
  return `${tensor.elem_type}[${tensor.shape.map((size) => size ?? '?').join(', ')}]`;
}

const SCALES = ['', 'k', 'M', 'G', 'T'];
/** A large count in three digits: `1.23 M`. */
export function scaled(value: number): string {
  let [size, scale] = [value, 0];
  while (size >= 999.5 && scale < SCALES.length - 1) {
    size /= 1000;
    scale += 1;
  }
  return scale === 0 ? String(value) : `${Number(size.toPrecision(3))}\u202f${SCALES[scale]}`;
}

/** Operators, the most used first. */
export const byUse = (operators: Readonly<Record<string, number>>): [string, number][] => Object.entries(operators).sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));

export const stageTone = (stage: Stage): 'ok' | 'warn' | 'idle' => (stage === 'Production' ? 'ok' : stage === 'Staging' ? 'warn' : 'idle');

export function newestFirst(versions: readonly ModelVersion[]): ModelVersion[] {
  return [...versions].sort((a, b) => Number(b.version) - Number(a.version));
}

/** Adds or replaces one version; a model that was not known yet appears with it. */
export function withVersion(models: ReadonlyMap<string, Model>, version: ModelVersion): Map<string, Model> {
  const next = new Map(models);
  const model = next.get(version.model) ?? { name: version.model, description: '', created_at_us: version.created_at_us, versions: [] };
  const others = model.versions.filter((known) => known.version !== version.version);
  next.set(version.model, { ...model, versions: newestFirst([...others, version]) });
  return next;
}

export const MODEL_NAME = /^(?!\s|\.{1,2}$)[^/:\\\p{Cc}]{1,250}(?<!\s)$/u;

/** The bundle file a chosen file becomes: names are the bundle's own, so a `.onnx` of any name is its `model.onnx`. */
export function bundlePart(fileName: string): 'model.onnx' | 'edgeflow.yaml' | 'baseline.json' | 'golden.json' | null {
  const name = fileName.toLowerCase();
  if (name.endsWith('.onnx')) return 'model.onnx';
  if (name.endsWith('.yaml') || name.endsWith('.yml')) return 'edgeflow.yaml';
  if (name.endsWith('golden.json')) return 'golden.json';
  if (name.endsWith('.json')) return 'baseline.json';
  return null;
}

export interface Chosen<F extends { name: string; size: number }> {
  parts: Map<string, F>;
  problems: string[];
}

/** Sorts chosen files into the bundle's parts and says what cannot be used, and why. */
export function chooseParts<F extends { name: string; size: number }>(files: readonly F[]): Chosen<F> {
  const parts = new Map<string, F>();
  const problems: string[] = [];
  for (const file of files) {
    const part = bundlePart(file.name);
    if (part === null) problems.push(`${file.name} is not part of a bundle: choose a .onnx, and optionally edgeflow.yaml, baseline.json and golden.json.`);
    else if (parts.has(part)) problems.push(`${file.name} and ${parts.get(part)?.name} would both be ${part}: choose one.`);
    else if (file.size === 0) problems.push(`${file.name} is empty.`);
    else parts.set(part, file);
  }
  if (files.length > 0 && !parts.has('model.onnx') && problems.length === 0) problems.push('A version needs a .onnx file.');
  return { parts, problems };
}
