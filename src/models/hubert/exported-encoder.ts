/**
 * @file A speech encoder that somebody has exported to ONNX (Hugging Face Optimum, `emoq export encoder`), checked
 * against what emoq feeds and reads.
 */

import { errorMessage, InputError } from '../../base/index.js';
import { type ModelFile, type ModelPort, placeModelFile, readModelFile } from '../../engine/onnx/index.js';
import type { HostedSession, SessionHost, SessionOptions } from '../../engine/runtime/index.js';
import { tensor } from '../../engine/tensor/index.js';
import { describeExport, type ExportDescription } from './export-description.js';
import type { EncoderPorts } from './speech-encoder.js';

/** An exported encoder with what is known of it. */
export interface ExportedEncoder {
  readonly file: ModelFile;
  readonly ports: EncoderPorts;
  readonly description: ExportDescription;
  /** Width of the features; undefined where neither the graph nor a config tells before it runs. */
  readonly width: number | undefined;
}

/** What emoq feeds: name, and the element types that it can give. Both are [batch, samples]. */
const INPUTS: Readonly<Record<string, readonly string[]>> = {
  input_values: ['float32', 'float16'],
  attention_mask: ['int64'],
};

const HIDDEN_STATES = 'last_hidden_state';
/** Of a recogniser: scores of characters, which are no features. */
const SCORES = 'logits';

/**
 * Reads what an exported encoder takes and gives. It takes `input_values` float32 or float16 [N, samples] and perhaps
 * `attention_mask` int64 [N, samples]; the features are `last_hidden_state`, else the first output of three axes,
 * float32 or float16 [N, frames, width]. N may be 1 alone.
 * @param nameOrPath a checkpoint whose configs stand in for those that do not lie beside it
 * @throws InputError when it is missing, no ONNX file, without its weights, or has another interface
 */
export async function readExportedEncoder(path: string, nameOrPath: string | null): Promise<ExportedEncoder> {
  const file = await readModelFile(path, 'encoder');
  const refuse = (why: string): InputError =>
    new InputError(
      `encoder ${path} ${why}; it takes ${described(file.inputs)} and gives ${described(file.outputs)}`,
    );
  for (const port of file.inputs) {
    const types = INPUTS[port.name];
    if (types === undefined) {
      const known = Object.keys(INPUTS).join(' and ');
      throw refuse(
        port.name === 'input_features'
          ? `wants spectrograms (input_features), as Whisper does, and emoq has waveforms alone (${known})`
          : `wants an input that emoq does not have (${known})`,
      );
    }
    if (!types.includes(port.dtype)) throw refuse(`must take ${port.name} as ${types.join(' or ')}`);
    const [batch, samples] = port.shape ?? [];
    const isOpen = (batch === undefined || batch === 1) && samples === undefined;
    if (port.shape !== undefined && (port.shape.length !== 2 || !isOpen)) {
      throw refuse(`must take ${port.name} of any [batch, samples]; export it with dynamic axes`);
    }
  }
  const values = file.inputs.find(({ name }) => name === 'input_values');
  if (values === undefined) throw refuse('has no input input_values');
  const states =
    file.outputs.find(({ name }) => name === HIDDEN_STATES) ??
    file.outputs.find(({ name, shape }) => shape?.length === 3 && name !== SCORES);
  if (states === undefined) {
    const scores = file.outputs.some(({ name }) => name === SCORES)
      ? ` (${SCORES} are scores of a recogniser, no features: export the encoder alone)`
      : '';
    throw refuse(`gives neither ${HIDDEN_STATES} nor another output of three axes${scores}`);
  }
  if (states.dtype !== 'float32' && states.dtype !== 'float16') {
    throw refuse(`must give ${states.name} as float32 or float16`);
  }
  const given = states.shape?.[2];
  const description = await describeExport({ ...file, width: given }, nameOrPath);
  const takesMask = file.inputs.some(({ name }) => name === 'attention_mask');
  const takesOne = file.inputs.some(({ shape }) => shape?.[0] === 1);
  return {
    file,
    ports: {
      valuesDtype: values.dtype as 'float32' | 'float16',
      takesMask,
      hiddenStates: states.name,
      // transformers' group norm runs over the padding, which no mask undoes. Of another model it is not known.
      padding: takesMask && !takesOne && description.config?.featExtractNorm === 'layer' ? 'ignored' : 'felt',
    },
    description,
    width: given ?? description.hiddenSize,
  };
}

/** A clip of 1 s, which is longer than a frame of any encoder sees. */
const TRIAL_SAMPLES = 16_000;

/**
 * Width of the features that an open session gives, by running it once.
 * @throws InputError when it gives no matrix for a clip
 */
export async function trialWidth(
  session: Pick<HostedSession, 'run'>,
  { valuesDtype, takesMask, hiddenStates }: EncoderPorts,
  origin: string,
): Promise<number> {
  const shape = [1, TRIAL_SAMPLES];
  const attention_mask = tensor('int64', shape);
  attention_mask.data.fill(1n);
  const outputs = await session.run({
    input_values: tensor(valuesDtype, shape),
    ...(takesMask && { attention_mask }),
  });
  const { shape: given } = outputs[hiddenStates]!;
  if (given.length === 3 && given[0] === 1) return given[2]!;
  throw new InputError(
    `encoder ${origin} gave ${hiddenStates} [${given.join(', ')}]; features are [batch, frames, width]`,
  );
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
