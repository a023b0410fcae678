/** @file The order of test files: the slow ones start first, so that no core has to wait for them at the end. */

import { existsSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take over five seconds on one core, longest first. Files that are not listed follow by size. */
const LONGEST = [
  'e2e/killed-training',
  'e2e/resumed-prediction',
  'e2e/prediction-inputs',
  'e2e/sharded-prediction',
  'e2e/prediction-faults',
  'e2e/several-runs',
  'e2e/resume',
  'e2e/ablate',
  'e2e/full-path',
  'e2e/transcription',
  'cli/doctor',
  'cli/doctor-cuda',
  'data/corpora/meld-killed',
  'data/corpora/killed-preparation',
  'data/corpora/described-corpora',
  'data/corpora/corpus-description',
  'e2e/real-speech',
  'packaging/package',
  'e2e/augmentation',
  'e2e/noise',
  'e2e/noisy-words',
  'e2e/ensemble',
  'e2e/search',
  'e2e/search-phases',
  'e2e/selection',
  'e2e/quantized-model',
  'e2e/cross-validation',
  'e2e/explanation',
  'e2e/validation-draw',
  'e2e/history',
  'e2e/report',
  'e2e/recordings',
  'e2e/long-recordings',
  'data/audio/recording-windows',
  'e2e/search-browser',
  'e2e/timeline-browser',
  'e2e/needs',
  'gpu/check',
  'e2e/learning-settings',
  'e2e/linear-probe',
  'e2e/qieemo',
  'e2e/trained-encoder',
  'e2e/families',
  'e2e/damaged-weights',
  'e2e/stage-order',
  'recipe/overrides-fuzz',
  'engine/training-memory',
  'e2e/cross-corpus',
  'e2e/raw-corpora',
  'systems/emoq/training-steps',
  'systems/emoq/reduced-precision',
  'systems/emoq/activation-checkpointing',
  'data/text/tokenizer-fuzz',
  'backbones/decoders/quantized-answers',
  'data/audio/wav-headers',
  'e2e/webgpu',
  'e2e/report-browser',
  'e2e/exported-encoder',
  'training/run-list-fuzz',
  'training/trainer',
  'checkpoints/torch-fuzz',
  'engine/tensor/safetensors-fuzz',
  'data/corpora/manifest-fuzz',
  'data/corpora/yaml-fuzz',
  'data/corpora/meld-archives',
  'data/audio/decode-files',
  'data/audio/ffmpeg-formats',
  'backbones/config-fuzz',
];

/** Vitest requires a class. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const gone = LONGEST.filter((name) => !existsSync(new URL(`../${name}.test.ts`, import.meta.url)));
    if (gone.length > 0)
      throw new Error(`test/suite/longest-first.ts names tests that are not there: ${gone.join(', ')}`);
    const bySize = await super.sort(files);
    return bySize.toSorted((a, b) => placeOf(a) - placeOf(b));
  }
}

function placeOf({ moduleId }: TestSpecification): number {
  const place = LONGEST.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
  return place < 0 ? LONGEST.length : place;
}
