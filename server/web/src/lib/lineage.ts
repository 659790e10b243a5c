// What ran on a robot, by its own word, and which run made it of which dataset.

import type { WireNumber } from './format';

/** A time over which a robot said that one bundle served in one slot. */
export interface Interval {
  slot: string;
  model: string;
  version: string;
  digest: string;
  from_us: number;
  last_us: number;
  to_us: number | null;
}

export interface ProvenanceDataset {
  name: string;
  digest: string;
  context: string;
  trained_on: boolean;
}

export interface ProvenanceRun {
  run_id: string;
  name: string;
  user: string;
  via: 'made' | 'model' | 'parent';
  commit: string;
  params: Record<string, string>;
  metrics: { key: string; value: WireNumber; step: number }[];
  datasets: ProvenanceDataset[];
}

export interface Provenance {
  digest: string;
  runs: ProvenanceRun[];
}

/** What a bundle was trained on, over all runs that led to it, each dataset once. */
export function trainedOn(provenance: Provenance): string[] {
  const trained = provenance.runs.flatMap((run) => run.datasets).filter((dataset) => dataset.trained_on);
  return [...new Set(trained.map((dataset) => `${dataset.name} ${dataset.digest}`))].sort();
}
