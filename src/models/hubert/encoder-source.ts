/** @file Which encoder a recipe means: emoq's own graph over a checkpoint's weights, or an exported one. */

import { join } from 'node:path';
import { pathExists } from '../../base/index.js';
import {
  type Device,
  type SessionHost,
  type SessionOptions,
  startSessionHost,
} from '../../engine/runtime/index.js';
import {
  findCheckpointFolder,
  type HubertConfig,
  openCheckpoint,
  readHubertConfig,
  weightFiles,
} from '../checkpoint/index.js';
import { buildEncoderGraph } from './encoder-graph.js';
import { openExportedEncoder, readExportedEncoder } from './exported-encoder.js';
import {
  createSpeechEncoder,
  type EncoderPorts,
  paddedLength,
  type SpeechEncoder,
} from './speech-encoder.js';

/** An encoder that was found and checked, and is not loaded yet. */
export interface EncoderSource {
  readonly config: HubertConfig;
  /** The files whose content decides the features: configs, then the files of the weights or of the exported graph. */
  readonly files: readonly string[];
  /** {@link SpeechEncoder.paddedSamples}, before there is an encoder. */
  readonly paddedSamples: (samples: number) => number;
  /** Loads it. */
  open(options: SpeechEncoderOptions): Promise<SpeechEncoder>;
}

export interface SpeechEncoderOptions {
  readonly device: Device;
  /** Threads inside one operator; absent: one for each physical core. */
  readonly threads?: number | undefined;
  /** The thread to live in; absent: one of its own. */
  readonly host?: SessionHost;
}

/** emoq's own graph: see buildEncoderGraph. */
const OWN_PORTS: EncoderPorts = {
  valuesDtype: 'float32',
  takesMask: true,
  hiddenStates: 'last_hidden_state',
  padding: 'ignored',
};

/** The part of a graph's session that an encoder uses. */
type OpenSession = (host: SessionHost, options: SessionOptions) => ReturnType<typeof openExportedEncoder>;

/**
 * Finds an encoder.
 * @param nameOrPath a HuBERT checkpoint: a folder, or a model id in the Hugging Face cache
 * @param onnx an exported encoder to run in place of emoq's own graph; the checkpoint then needs no weights, only its
 * config.json, and preprocessor_config.json where there is one
 * @throws InputError when something is missing, broken or no HuBERT
 */
export async function findSpeechEncoder(nameOrPath: string, onnx: string | null): Promise<EncoderSource> {
  const config = await readHubertConfig(nameOrPath);
  const configs = await configFiles(await findCheckpointFolder(nameOrPath));
  if (onnx !== null) {
    const { ports, file } = await readExportedEncoder(onnx, config);
    const files = [...configs, onnx, ...file.dataFiles];
    return encoderSource(config, files, ports, onnx, (host, options) =>
      openExportedEncoder(onnx, host, options),
    );
  }
  const checkpoint = await openCheckpoint(nameOrPath);
  const files = [...configs, ...weightFiles(checkpoint)];
  return encoderSource(config, files, OWN_PORTS, checkpoint.dir, (host, options) => {
    const { model, weightsFolder } = buildEncoderGraph(checkpoint);
    return host.open(model, { ...options, weightsFolder });
  });
}

/** Finds an encoder and loads it. @throws InputError as {@link findSpeechEncoder} */
export async function openSpeechEncoder(
  nameOrPath: string,
  { onnx = null, ...options }: SpeechEncoderOptions & { readonly onnx?: string | null },
): Promise<SpeechEncoder> {
  return (await findSpeechEncoder(nameOrPath, onnx)).open(options);
}

function encoderSource(
  config: HubertConfig,
  files: readonly string[],
  ports: EncoderPorts,
  origin: string,
  openSession: OpenSession,
): EncoderSource {
  return {
    config,
    files,
    paddedSamples: (samples) => paddedLength(config, ports, samples),
    async open({ host: given, ...options }) {
      const host = given ?? startSessionHost();
      const closeHost = async (): Promise<void> => {
        if (given === undefined) await host.close();
      };
      try {
        const session = await openSession(host, options);
        return createSpeechEncoder(session, config, ports, origin, closeHost);
      } catch (error) {
        await closeHost();
        throw error;
      }
    },
  };
}

async function configFiles(dir: string): Promise<string[]> {
  const paths = ['config.json', 'preprocessor_config.json'].map((name) => join(dir, name));
  const present = await Promise.all(paths.map(pathExists));
  return paths.filter((_, place) => present[place]);
}
