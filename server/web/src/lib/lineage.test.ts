import { describe, expect, it } from 'vitest';
import { trainedOn, type ProvenanceDataset, type ProvenanceRun } from './lineage';

function run(...datasets: ProvenanceDataset[]): ProvenanceRun {
  return { run_id: 'r', name: 'n', user: '', via: 'made', commit: '', params: {}, metrics: [], datasets };
}

const dataset = (digest: string, trained_on = true): ProvenanceDataset => ({ name: 'digits', digest, context: '', trained_on });

describe('provenance', () => {
  it('names what was trained on, over all runs, once, and not what it was judged by', () => {
    const runs = [run(dataset('b'), dataset('held-out', false)), run(dataset('a'), dataset('b'))];
    expect(trainedOn({ digest: 'd', runs })).toEqual(['digits a', 'digits b']);
    expect(trainedOn({ digest: 'd', runs: [] })).toEqual([]);
  });
});
