/** @file A whole Whisper (Radford et al., 2022), encoder and decoder, as a speech recogniser. */

import { join } from 'node:path';
import { InputError, pathExists, sha256OfFile } from '../../../base/index.js';
import {
  type Checkpoint,
  openCheckpoint,
  requireWeight,
  weightFiles,
  weightsUnder,
} from '../../../checkpoints/index.js';
import { loadTokenizer, type TextTokenizer } from '../../../data/text/index.js';
import {
  addInput,
  addOutput,
  checkCudaKernels,
  concat,
  createGraph,
  type Graph,
  int64Vector,
  multiplyDims,
  reshapeTo,
  serializeInPlace,
  sizeOf,
  unsqueeze,
  withScope,
} from '../../../engine/onnx/index.js';
import { checkpointWeights, type Precision, under } from '../../../nn/index.js';
import { configFiles, encoderSource, OWN_IO } from '../encoder-source.js';
import { readPreprocessor } from '../preprocessor.js';
import type { FindRecogniser, RecognisedText } from '../recognised-text.js';
import type { ClipFeatures } from '../speech-encoder.js';
import { parseWhisperConfig, windowSamples } from './config.js';
import { whisperEncoder, whisperFraming } from './encoder.js';
import { whisper } from './family.js';
import { type DecodingRules, decodingTable, readDecodingRules } from './generation.js';
import { type DecodingTable, greedyDecoding } from './token-decoder.js';
import { parseWhisperDecoderConfig } from './token-decoder-config.js';

/** What may come before the keys of the decoder's weights. */
const PREFIXES = ['model.decoder.', 'decoder.'];

/** The name of the graph's output. */
const SAID = 'said';

/** A token and how likely it was. */
const SAID_WIDTH = 2;

/** @throws InputError also for a beam or word times, which it does not have */
export const findWhisperRecogniser: FindRecogniser = async (nameOrPath, { beam, language, words }) => {
  if (beam > 1) throw unsupported(`--beam ${beam}`, nameOrPath, 'is decoded greedily');
  if (words === true) throw unsupported('--words', nameOrPath, 'does not say when its words are said');
  const checkpoint = await openCheckpoint(nameOrPath);
  const { dir } = checkpoint;
  const path = join(dir, 'config.json');
  const config = parseWhisperConfig(checkpoint.config, path, await readPreprocessor(dir));
  if (!PREFIXES.some((prefix) => checkpoint.weights.has(`${prefix}embed_tokens.weight`))) {
    throw new InputError(
      `checkpoint ${dir} has no ${PREFIXES[0]}embed_tokens.weight: it is a Whisper without its decoder, which recognises nothing; name a whole one, such as openai/whisper-small`,
    );
  }
  const decoderConfig = parseWhisperDecoderConfig(checkpoint.config, path);
  const rules = await readDecodingRules(dir, checkpoint.config, decoderConfig, language);
  const tokenizer = await loadTokenizer(dir);
  checkTokenizer(tokenizer, rules, decoderConfig.vocabSize);
  const table = decodingTable(rules, decoderConfig.vocabSize);
  const steps = table.maxTokens - 1;
  const framing = whisperFraming(config);
  const texts = ['generation_config.json', 'tokenizer.json'].map((name) => join(dir, name));
  const present = await Promise.all(texts.map(pathExists));
  const encoder = encoderSource({
    files: [
      ...(await configFiles(dir)),
      ...texts.filter((_, index) => present[index]),
      ...weightFiles(checkpoint),
    ],
    config: { ...config, decoder: decoderConfig },
    ...{ warning: undefined, checkpoint, selection: SAID, origin: dir },
    properties: {
      width: SAID_WIDTH,
      framing: { ...framing, frames: (samples) => Math.ceil(samples / windowSamples(config)) * steps },
      normalize: config.doNormalize,
    },
    io: { ...OWN_IO, hiddenStates: SAID },
    openSession: (worker, options, precision) => {
      const graph = whisperRecogniserGraph(checkpoint, table, precision);
      if (options.device.kind === 'cuda') checkCudaKernels(graph);
      const description = 'Whisper: 16 kHz waveforms to the tokens that are said';
      const { model, weightsFolder } = serializeInPlace(graph, { description });
      return worker.open(model, { ...options, weightsFolder });
    },
  });
  return {
    ...{ encoder, language: rules.language },
    vocabulary: { tokenizer: await sha256OfFile(tokenizer.source), rules: rules.settings },
    textOf: (features) => saidText(features, steps, rules, tokenizer),
  };
};

function unsupported(option: string, name: string, why: string): InputError {
  return new InputError(
    `${option}: ${name} is a Whisper, which ${why}; leave ${option.split(' ')[0]} out, or name a model with a CTC head`,
  );
}

/** @throws InputError if the tokenizer is that of another model */
function checkTokenizer(tokenizer: TextTokenizer, { start }: DecodingRules, vocabSize: number): void {
  const begin = tokenizer.tokenId('<|startoftranscript|>');
  if (tokenizer.vocabSize <= vocabSize && (begin === undefined || begin === start[0])) return;
  const what =
    tokenizer.vocabSize > vocabSize
      ? `has ${tokenizer.vocabSize} tokens, but vocab_size in config.json is ${vocabSize}`
      : `has <|startoftranscript|> as token ${begin}, but decoder_start_token_id is ${start[0]}`;
  throw new InputError(`tokenizer ${tokenizer.source} ${what}; put the files of one model into one folder`);
}

/**
 * Encoder and decoder as one graph: inputs `input_values` float32 [batch, samples] and `attention_mask` int64 [batch,
 * samples], output `said` float32 [batch, windows * (maxTokens - 1), 2], as of {@link greedyDecoding}, one window after
 * the other. The decoder attends to all of a window, silence included, as in training.
 * @param precision of linear layers; the convolutions, attention, norms and the choice of tokens are float32
 * @throws InputError when a weight is missing or has another shape
 */
export function whisperRecogniserGraph(
  checkpoint: Checkpoint,
  table: DecodingTable,
  precision: Precision = 'float32',
): Graph {
  const path = join(checkpoint.dir, 'config.json');
  const config = parseWhisperConfig(checkpoint.config, path);
  const graph = createGraph('whisper');
  const inputValues = addInput(graph, 'input_values', 'float32', ['batch', 'samples']);
  const attentionMask = addInput(graph, 'attention_mask', 'int64', ['batch', 'samples']);
  const weightsOf = (prefixes: readonly string[], names: string) => {
    const stored = weightsUnder(checkpoint, prefixes);
    // The two have keys in common, and initializers have names of their own.
    return checkpointWeights(
      graph,
      (key, shape) => requireWeight(stored, key.slice(names.length), shape),
      () => precision,
    );
  };
  const encoderWeights = weightsOf(whisper.prefixes, 'encoder.');
  const decoderWeights = weightsOf(PREFIXES, 'decoder.');
  const states = withScope(graph, 'encoder', () => {
    const weights = under(encoderWeights, 'encoder.');
    return whisperEncoder(weights, config, { inputValues, attentionMask }).hiddenStates.at(-1)!;
  });
  const said = withScope(graph, 'decoder', () => {
    const weights = under(decoderWeights, 'decoder.');
    const decoderConfig = parseWhisperDecoderConfig(checkpoint.config, path);
    return greedyDecoding(weights, decoderConfig, states, table);
  });
  const sizes = concat([unsqueeze(sizeOf(inputValues, 0), [0]), int64Vector(graph, [-1, SAID_WIDTH])], 0);
  const shape = ['batch', multiplyDims('windows', table.maxTokens - 1), SAID_WIDTH];
  addOutput(graph, reshapeTo(said, sizes, shape), SAID);
  return graph;
}

/** Timestamps are tokens of no text, though not all tokenizers mark them as special. */
const TIMESTAMP = /<\|\d+\.\d+\|>/g;

/**
 * The text of a clip: of its windows, joined by spaces. As `batch_decode(skip_special_tokens=True)` of transformers,
 * without spaces around it.
 */
export function saidText(
  { data }: Pick<ClipFeatures, 'data'>,
  steps: number,
  { start, ends }: DecodingRules,
  tokenizer: TextTokenizer,
): RecognisedText {
  const texts: string[] = [];
  const likelihoods: number[] = [];
  let isCut = false;
  for (let window = 0; window < data.length; window += steps * SAID_WIDTH) {
    const ids: number[] = [];
    let hasEnded = false;
    for (let step = start.length - 1; step < steps; step++) {
      const at = window + step * SAID_WIDTH;
      const [id, likelihood] = [data[at]!, data[at + 1]!];
      hasEnded = ends.includes(id);
      if (hasEnded) break;
      // The model has more tokens than some tokenizers, which say nothing of the others.
      if (id >= tokenizer.vocabSize || tokenizer.isSpecial(id)) continue;
      ids.push(id);
      likelihoods.push(likelihood);
    }
    isCut ||= !hasEnded;
    texts.push(tokenizer.decode(ids).replaceAll(TIMESTAMP, '').trim());
  }
  const text = texts.filter((each) => each !== '').join(' ');
  const symbols = text === '' ? 0 : likelihoods.length;
  const sum = likelihoods.reduce((total, each) => total + each, 0);
  return { text, words: [], confidence: symbols === 0 ? undefined : sum / symbols, symbols, isCut };
}
