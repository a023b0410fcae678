/** @file Shared by the tests of exports: opening a model by path as any runtime does, and files of a finished run. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ort from 'onnxruntime-node';
import type { Session } from '../../src/engine/runtime/index.js';
import { type DType, type Tensor, tensor, writeSafetensors } from '../../src/engine/tensor/index.js';
import { storedMetadata } from '../../src/training/runs/metadata.js';
import { runMetadata } from '../training/run-metadata.js';

/** A model opened by path with default options. */
export interface ExportedSession extends Pick<Session, 'run' | 'dispose'> {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Axes of every input and output, numbers or names. */
  readonly shapes: Readonly<Record<string, readonly (number | string)[]>>;
}

export async function openByPath(path: string): Promise<ExportedSession> {
  const native = await ort.InferenceSession.create(path, { logSeverityLevel: 4 });
  const described = [...native.inputMetadata, ...native.outputMetadata];
  return {
    inputNames: native.inputNames,
    outputNames: native.outputNames,
    shapes: Object.fromEntries(described.map((value) => [value.name, value.isTensor ? value.shape : []])),
    async run(feeds) {
      const inputs = Object.entries(feeds).map(([name, { dtype, data, shape }]) => [
        name,
        new ort.Tensor(dtype as ort.Tensor.Type, data as ort.Tensor.DataType, shape),
      ]);
      const results = Object.entries(await native.run(Object.fromEntries(inputs)));
      return Object.fromEntries(
        results.map(([name, { type, dims, data }]) => [
          name,
          tensor(type as DType, dims, data as Tensor['data']) as Tensor,
        ]),
      );
    },
    dispose: () => native.release(),
  };
}

/** Writes the files of a finished run that prediction reads; returns its folder. */
export async function writeRun(
  dir: string,
  stage: 1 | 2,
  recipe: Readonly<Record<string, unknown>>,
  trained: ReadonlyMap<string, Tensor>,
): Promise<string> {
  const folder = join(dir, `stage${stage}`);
  mkdirSync(folder, { recursive: true });
  const metadata = runMetadata({ phase: `stage${stage}`, name: 'small', status: 'finished' });
  writeFileSync(join(folder, 'run.json'), JSON.stringify(storedMetadata(metadata)));
  const whole = { name: 'small', manifest: 'none.csv', labels: ['happy', 'sad'], ...recipe };
  writeFileSync(join(folder, 'recipe.yaml'), JSON.stringify(whole));
  await writeSafetensors(join(folder, 'checkpoint.safetensors'), trained);
  return folder;
}
