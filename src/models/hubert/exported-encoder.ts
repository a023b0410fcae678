/**
 * @file A HuBERT that somebody has exported to ONNX (Hugging Face Optimum, `emoq export encoder`), checked against what
 * emoq feeds and reads.
 */

import { errorMessage, InputError } from '../../base/index.js';
import { type ModelFile, type ModelPort, placeModelFile, readModelFile } from '../../engine/onnx/index.js';
import type { HostedSession, SessionHost, SessionOptions } from '../../engine/runtime/index.js';
import type { HubertConfig } from '../checkpoint/index.js';
import type { EncoderPorts } from './speech-encoder.js';

/** An exported encoder that fits its config. */
export interface ExportedEncoder {
  readonly file: ModelFile;
  readonly ports: EncoderPorts;
}

/** What emoq feeds: name, and the element types that it can give. Both are [batch, samples]. */
const INPUTS: Readonly<Record<string, readonly string[]>> = {
  input_values: ['float32', 'float16'],
  attention_mask: ['int64'],
};

const HIDDEN_STATES = 'last_hidden_state';

/**
 * Reads what an exported encoder takes and gives. It takes `input_values` float32 or float16 [N, samples] and perhaps
 * `attention_mask` int64 [N, samples]; the features are `last_hidden_state`, else the first output of three axes,
 * float32 or float16 [N, frames, hidden_size].
 * @throws InputError when it is missing, no ONNX file, without its weights, or has another interface or width
 */
export async function readExportedEncoder(
  path: string,
  { hiddenSize, featExtractNorm }: Pick<HubertConfig, 'hiddenSize' | 'featExtractNorm'>,
): Promise<ExportedEncoder> {
  const file = await readModelFile(path, 'encoder');
  const refuse = (why: string): InputError =>
    new InputError(
      `encoder ${path} ${why}; it takes ${described(file.inputs)} and gives ${described(file.outputs)}`,
    );
  for (const port of file.inputs) {
    const types = INPUTS[port.name];
    if (types === undefined) {
      throw refuse(`wants an input that emoq does not have (${Object.keys(INPUTS).join(' and ')})`);
    }
    if (!types.includes(port.dtype)) throw refuse(`must take ${port.name} as ${types.join(' or ')}`);
    if (
      port.shape !== undefined &&
      (port.shape.length !== 2 || port.shape.some((size) => size !== undefined))
    ) {
      throw refuse(`must take ${port.name} of any [batch, samples]; export it with dynamic axes`);
    }
  }
  const values = file.inputs.find(({ name }) => name === 'input_values');
  if (values === undefined) throw refuse('has no input input_values');
  const states =
    file.outputs.find(({ name }) => name === HIDDEN_STATES) ??
    file.outputs.find(({ shape }) => shape?.length === 3);
  if (states === undefined) throw refuse(`gives neither ${HIDDEN_STATES} nor another output of three axes`);
  if (states.dtype !== 'float32' && states.dtype !== 'float16') {
    throw refuse(`must give ${states.name} as float32 or float16`);
  }
  const width = states.shape?.[2];
  if (width !== undefined && width !== hiddenSize) {
    throw refuse(
      `gives ${states.name} of width ${width}, where its config.json has hidden_size ${hiddenSize}`,
    );
  }
  const takesMask = file.inputs.some(({ name }) => name === 'attention_mask');
  return {
    file,
    ports: {
      valuesDtype: values.dtype as 'float32' | 'float16',
      takesMask,
      hiddenStates: states.name,
      // transformers' group norm runs over the padding, which no mask undoes.
      padding: takesMask && featExtractNorm === 'layer' ? 'ignored' : 'felt',
    },
  };
}

/** Opens an exported encoder in a session's thread. @throws InputError with onnxruntime's reason when it cannot run */
export async function openExportedEncoder(
  path: string,
  host: SessionHost,
  options: SessionOptions,
): Promise<Pick<HostedSession, 'run' | 'dispose'>> {
  const failing =
    (what: string) =>
    (error: unknown): never => {
      const [reason] = errorMessage(error).split('\n');
      throw error instanceof InputError ? error : new InputError(`encoder ${path} ${what}: ${reason}`);
    };
  const { model, weightsFolder } = await placeModelFile(path, 'encoder');
  const session = await host.open(model, { ...options, weightsFolder }).catch(failing('cannot be loaded'));
  return {
    run: (feeds) => session.run(feeds).catch(failing('failed')),
    dispose: () => session.dispose(),
  };
}

/** "input_values float32 [?, ?], ..." */
function described(ports: readonly ModelPort[]): string {
  if (ports.length === 0) return 'nothing';
  return ports
    .map(({ name, dtype, shape }) => {
      const sizes = shape === undefined ? '' : ` [${shape.map((size) => size ?? '?').join(', ')}]`;
      return `${name} ${dtype}${sizes}`;
    })
    .join(', ');
}
