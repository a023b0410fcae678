/**
 * @file What is known of an exported encoder beside its ports: how waveforms are prepared for it, and its geometry where
 * it is a HuBERT's. Nothing of this has to be there: width and frames are the graph's own.
 */

import { basename, dirname, join } from 'node:path';
import { InputError, pathExists } from '../../base/index.js';
import type { ModelFile } from '../../engine/onnx/index.js';
import {
  findCheckpointFolder,
  type HubertConfig,
  parseHubertConfig,
  readConfig,
  readNormalization,
} from '../checkpoint/index.js';

export interface ExportDescription {
  /** The files that say so; with the graph they decide the features. */
  readonly files: readonly string[];
  /** A HuBERT's config that fits the graph: its frames are known beforehand. */
  readonly config: HubertConfig | undefined;
  /** Width of the features as a config has it. */
  readonly hiddenSize: number | undefined;
  /** Waveforms are brought to zero mean and unit variance first. */
  readonly normalize: boolean;
  /** What a user should know of how this was found out. */
  readonly warning: string | undefined;
}

/** The graph as far as its description goes; `width` is undefined where its output leaves that open. */
type DescribedGraph = Pick<ModelFile, 'path' | 'metadata'> & { readonly width: number | undefined };

/** The configs of a folder. */
interface FoundConfigs extends Pick<ExportDescription, 'files' | 'config' | 'hiddenSize'> {
  /** What preprocessor_config.json says of the waveforms. */
  readonly prepared: boolean | undefined;
  /** Widths that its features may have: of the hidden states, and behind an adapter. */
  readonly widths: readonly number[];
}

/**
 * Describes an exported encoder: by config.json and preprocessor_config.json in its folder (or in the one around a folder
 * `onnx`, as on the Hugging Face hub), by the metadata that `emoq export encoder` writes, else by the configs of the
 * checkpoint `nameOrPath` where that is here and as wide as the graph. Where nothing says how waveforms are prepared,
 * they are brought to zero mean and unit variance, as transformers does by default.
 * @throws InputError for a broken config, or one beside the graph that is of another model
 */
export async function describeExport(
  graph: DescribedGraph,
  nameOrPath: string | null,
): Promise<ExportDescription> {
  const { path, width } = graph;
  const warnings: string[] = [];
  const beside = await configsBeside(path);
  if (beside !== undefined && !isOfWidth(beside, width)) {
    throw new InputError(
      `encoder ${path} gives features of width ${width}, where the config.json beside it has hidden_size ${beside.widths[0]}; put the files of one model into one folder`,
    );
  }
  const noted = notedNormalization(graph);
  let configs = beside;
  if (beside === undefined && nameOrPath !== null) {
    const named = await configsOf(nameOrPath);
    if (named === undefined || isOfWidth(named, width)) configs = named;
    else {
      warnings.push(
        `it gives features of width ${width}, and backbones.encoder (${nameOrPath}) has hidden_size ${named.widths[0]}: another model, whose configs are not used`,
      );
    }
  }
  const known = beside?.prepared ?? noted ?? configs?.prepared ?? configs?.config?.doNormalize;
  if (known === undefined) {
    warnings.push(
      'nothing says how it wants its waveforms, so they are brought to zero mean and unit variance; a preprocessor_config.json beside it with {"do_normalize": true} or false decides that',
    );
  }
  return {
    files: configs?.files ?? [],
    config: configs?.config,
    hiddenSize: configs?.hiddenSize,
    normalize: known ?? true,
    warning: warnings.length === 0 ? undefined : `encoder ${path}: ${warnings.join('; ')}`,
  };
}

function isOfWidth({ widths }: FoundConfigs, width: number | undefined): boolean {
  return width === undefined || widths.length === 0 || widths.includes(width);
}

/** The configs in the graph's folder. */
async function configsBeside(path: string): Promise<FoundConfigs | undefined> {
  const own = dirname(path);
  return (await configsIn(own)) ?? (basename(own) === 'onnx' ? configsIn(dirname(own)) : undefined);
}

/** The configs of a checkpoint, where it is here. */
async function configsOf(nameOrPath: string): Promise<FoundConfigs | undefined> {
  const dir = await findCheckpointFolder(nameOrPath).catch(() => undefined);
  return dir === undefined ? undefined : configsIn(dir);
}

/** undefined where a folder has no model's config. @throws InputError for one that is broken */
async function configsIn(dir: string): Promise<FoundConfigs | undefined> {
  const raw = await modelConfig(dir);
  const prepared = await readNormalization(dir);
  if (raw === undefined && prepared === undefined) return undefined;
  const widths = ['hidden_size', 'output_hidden_size']
    .map((key) => raw?.[key])
    .filter((value) => typeof value === 'number');
  const config = raw && hubertConfig(raw, dir, prepared);
  return {
    files: [
      ...(raw === undefined ? [] : [join(dir, 'config.json')]),
      ...(prepared === undefined ? [] : [join(dir, 'preprocessor_config.json')]),
    ],
    config,
    hiddenSize: widths[0],
    prepared,
    widths,
  };
}

/** config.json where it is a model's: a file of this name may be anything. */
async function modelConfig(dir: string): Promise<Record<string, unknown> | undefined> {
  if (!(await pathExists(join(dir, 'config.json')))) return undefined;
  const raw = await readConfig(dir);
  return typeof raw.model_type === 'string' ? raw : undefined;
}

/** undefined for another model, and for a HuBERT that emoq has no graph of: exported, it runs all the same. */
function hubertConfig(
  raw: Readonly<Record<string, unknown>>,
  dir: string,
  prepared: boolean | undefined,
): HubertConfig | undefined {
  const preprocessor = prepared === undefined ? {} : { do_normalize: prepared };
  try {
    return parseHubertConfig(raw, join(dir, 'config.json'), {
      raw: preprocessor,
      path: join(dir, 'preprocessor_config.json'),
    });
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** What `emoq export encoder` notes in the file. @throws InputError for audio at another rate */
function notedNormalization({ path, metadata }: DescribedGraph): boolean | undefined {
  const { sampling_rate_hz: rate = '16000', do_normalize: normalized = '' } = metadata;
  if (rate !== '16000') {
    throw new InputError(`encoder ${path} is for audio at ${rate} Hz; emoq gives it 16,000 Hz`);
  }
  return normalized === '' ? undefined : normalized === 'true';
}
