import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The story first: it is watched while it is told. */
class StoryFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((a, b) => Number(b.moduleId.includes('story')) - Number(a.moduleId.includes('story')));
  }
}

const junit = process.env.EDGEFLOW_JUNIT;

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  test: {
    include: ['*.test.ts'],
    reporters: junit ? ['default', 'junit'] : ['default'],
    ...(junit ? { outputFile: { junit } } : {}),
    // The story takes minutes, and its tests are its chapters: one after the other.
    testTimeout: 480_000,
    hookTimeout: 120_000,
    fileParallelism: false,
    sequence: { concurrent: false, sequencer: StoryFirst },
  },
});
