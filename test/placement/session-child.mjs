/**
 * @file The process that opens a model on the stub as emoq does and runs it: with emoq's compiled code, in which
 * onnxruntime-node is replaced by the stub's copy of it.
 */

import { existsSync, symlinkSync, writeFileSync } from 'node:fs';
import Module, { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { stubFolder } from '../cuda-stub/build.mjs';
import { beginSection, taskOfThisProcess } from './on-stub.mjs';

/** The session that was opened last. */
let native;

/**
 * Makes every `require('onnxruntime-node')` of this process the stub's copy, and adds to each session what shows where
 * its nodes are: onnxruntime's log and the optimised graph. Returns onnxruntime's class of tensors.
 */
export function useStub(folder, { placement = true } = {}) {
  const entry = join(stubFolder, 'node_modules', 'onnxruntime-node', 'dist', 'index.js');
  const original = Module._resolveFilename;
  Module._resolveFilename = (request, ...rest) =>
    request === 'onnxruntime-node' ? entry : original(request, ...rest);
  const { InferenceSession, Tensor } = createRequire(import.meta.url)(entry);
  const create = InferenceSession.create.bind(InferenceSession);
  InferenceSession.create = async (model, options) => {
    if (placement) writeFileSync(join(folder, ORIGINAL), model);
    native = await create(model, placement ? withPlacement(options, folder) : options);
    const run = native.run.bind(native);
    native.run = (...given) => run(...given, { logSeverityLevel: 4 }); // the log of a run is of no use
    return native;
  };
  return Tensor;
}

/** Files that a session leaves: the model as it was given, and as onnxruntime runs it. */
export const ORIGINAL = 'original.onnx';
export const OPTIMIZED = 'optimized.onnx';
const WEIGHTS = 'optimized.weights';

/** Weights of the optimised graph go to /dev/null: its types and nodes are what is wanted. */
function withPlacement(options, folder) {
  if (!existsSync(join(folder, WEIGHTS))) symlinkSync('/dev/null', join(folder, WEIGHTS));
  return {
    ...options,
    logSeverityLevel: 0,
    logVerbosityLevel: 0,
    optimizedModelFilePath: join(folder, OPTIMIZED),
    extra: {
      ...options.extra,
      session: {
        ...options.extra.session,
        'session.optimized_model_external_initializers_file_name': WEIGHTS,
        'session.optimized_model_external_initializers_min_size_in_bytes': '1024',
      },
    },
  };
}

export const nativeSession = () => native;

/** A session worker that computes in this thread, whose environment names the sections. */
export async function workerHere(checkout) {
  const { createSession } = await emoqModule(checkout, 'engine/runtime/index.js');
  const { createResidentState } = await emoqModule(checkout, 'engine/runtime/resident-state.js');
  return {
    async open(model, options, slots = []) {
      beginSection('session');
      const session = await createSession(model, options);
      const state = createResidentState(slots);
      return {
        ...session,
        run: (feeds, outputs) => state.run(session, feeds, outputs),
        evaluate: (feeds, outputs) => state.evaluate(session, feeds, outputs),
      };
    },
  };
}

/** emoq's compiled modules, by path below dist. */
export async function emoqModule(checkout, path) {
  return import(pathToFileURL(resolve(checkout, 'dist', path)).href);
}

export { beginSection, taskOfThisProcess };
