/** @file ONNX files from elsewhere: what they take and give, and their weights found wherever they lie. */

import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
  TensorProto_DataLocation,
  type ValueInfoProto,
} from 'onnx-buf';
import { errorMessage, InputError } from '../../base/index.js';
import { dtypeInfo, dtypes } from '../tensor/index.js';
import { commonFolder, type PlacedModel } from './external-data.js';

/** An input or output of a model. */
export interface ModelPort {
  readonly name: string;
  /** Element type, such as `float32`; `unknown` for one that emoq does not handle, or a value that is no tensor. */
  readonly dtype: string;
  /** Sizes, undefined where they are open; undefined itself where the file does not give the rank. */
  readonly shape: readonly (number | undefined)[] | undefined;
}

/** What an ONNX file says of itself. */
export interface ModelFile {
  readonly path: string;
  /** Inputs that must be fed. */
  readonly inputs: readonly ModelPort[];
  readonly outputs: readonly ModelPort[];
  /** Files beside it that hold its weights: absolute, links resolved, each once, sorted. */
  readonly dataFiles: readonly string[];
  /** What its maker has noted in it, by key. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Protobuf's limit, and Node's for one read. */
const MAX_FILE_BYTES = 2 ** 31 - 1;

const dtypeOfCode = new Map<number, string>(dtypes.map((dtype) => [dtypeInfo[dtype].onnx, dtype]));

/**
 * Reads what an ONNX file takes and gives.
 * @param what it is called in errors
 * @throws InputError when it is missing or no ONNX file, or a file with its weights is missing
 */
export async function readModelFile(path: string, what = 'model'): Promise<ModelFile> {
  const { model } = await parseModel(`${what} ${path}`, path);
  const { input, output, initializer } = model.graph!;
  const given = new Set(initializer.map(({ name }) => name)); // before IR 4 weights were listed as inputs too
  const dataFiles = (await externalTensors(model, `${what} ${path}`, path)).map(({ file }) => file);
  return {
    path,
    inputs: input.filter(({ name }) => !given.has(name)).map(portOf),
    outputs: output.map(portOf),
    dataFiles: [...new Set(dataFiles)].sort(),
    metadata: Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value])),
  };
}

/**
 * The bytes of an ONNX file for a session, with the folder that its external data are relative to. Links are resolved
 * and locations rewritten to where they lead: in a Hugging Face cache the weights are links into another folder, which
 * onnxruntime would not follow.
 * @throws InputError as {@link readModelFile}
 */
export async function placeModelFile(path: string, what = 'model'): Promise<PlacedModel> {
  const { bytes, model } = await parseModel(`${what} ${path}`, path);
  const external = await externalTensors(model, `${what} ${path}`, path);
  if (external.length === 0) return { model: bytes, weightsFolder: undefined };
  const weightsFolder = commonFolder(external.map(({ file }) => file));
  for (const { location, file } of external) {
    location.value = relative(weightsFolder!, file).split(sep).join('/');
  }
  return { model: toBinary(ModelProtoSchema, model), weightsFolder };
}

/** The bytes of a file, and the model in them, which has a graph. */
async function parseModel(name: string, path: string): Promise<{ bytes: Uint8Array; model: ModelProto }> {
  const present = await stat(path).catch(() => undefined);
  if (present === undefined) throw new InputError(`${name} does not exist`);
  if (!present.isFile()) throw new InputError(`${name} is not a file`);
  if (present.size > MAX_FILE_BYTES) {
    throw new InputError(`${name} is over 2 GiB; save its weights as external data beside it`);
  }
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new InputError(`${name} cannot be read: ${errorMessage(error)}`);
  });
  let model: ModelProto | undefined;
  try {
    model = fromBinary(ModelProtoSchema, bytes);
  } catch {
    // What protobuf says of bytes that are something else helps nobody.
  }
  if (model?.graph === undefined) throw new InputError(`${name} is not an ONNX file, or is cut short`);
  return { bytes, model };
}

function portOf({ name, type }: ValueInfoProto): ModelPort {
  if (type?.value.case !== 'tensorType') return { name, dtype: 'unknown', shape: undefined };
  const { elemType, shape } = type.value.value;
  return {
    name,
    dtype: dtypeOfCode.get(elemType) ?? 'unknown',
    shape: shape?.dim.map(({ value }) => (value.case === 'dimValue' ? Number(value.value) : undefined)),
  };
}

/** A tensor whose content lies in another file: the entry that names it, and the file with links resolved. */
interface ExternalTensor {
  readonly location: { value: string };
  readonly file: string;
}

async function externalTensors(model: ModelProto, name: string, path: string): Promise<ExternalTensor[]> {
  const found = new Map<string, string>(); // by location: thousands of tensors lie in one file
  const external: ExternalTensor[] = [];
  for (const tensor of tensorsOf(model)) {
    if (tensor.dataLocation !== TensorProto_DataLocation.EXTERNAL) continue;
    const location = tensor.externalData.find(({ key }) => key === 'location');
    if (location === undefined)
      throw new InputError(`${name} does not say where its weight ${tensor.name} lies`);
    const file = found.get(location.value) ?? (await findDataFile(name, path, location.value));
    found.set(location.value, file);
    external.push({ location, file });
  }
  return external;
}

async function findDataFile(name: string, path: string, location: string): Promise<string> {
  // As onnxruntime has it: a model may not read files from anywhere.
  if (isAbsolute(location) || location.split(/[/\\]/).includes('..')) {
    throw new InputError(`${name} has its weights in ${location}, outside its own folder; that is refused`);
  }
  return realpath(join(dirname(path), location)).catch(() => {
    throw new InputError(`${name} has its weights in ${location}, which is not beside it; put it there`);
  });
}

function tensorsOf({ graph, functions }: ModelProto): TensorProto[] {
  return [...tensorsOfGraph(graph!), ...functions.flatMap(({ node }) => node.flatMap(tensorsOfNode))];
}

function tensorsOfGraph({ initializer, sparseInitializer, node }: GraphProto): TensorProto[] {
  const sparse = sparseInitializer.flatMap(({ values, indices }) => [values, indices].filter(isPresent));
  return [...initializer, ...sparse, ...node.flatMap(tensorsOfNode)];
}

function tensorsOfNode({ attribute }: NodeProto): TensorProto[] {
  return attribute.flatMap(({ t, tensors, g, graphs }) => [
    ...[t, ...tensors].filter(isPresent),
    ...[g, ...graphs].filter(isPresent).flatMap(tensorsOfGraph),
  ]);
}

function isPresent<T>(value: T | undefined): value is T {
  return value !== undefined;
}
