/** @file Reads third-party ONNX files: their inputs, outputs and metadata, and where their weights are. */

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
import { commonFolder, type SerializedModel } from './external-data.js';

/** An input or output of a model. */
export interface ModelValue {
  readonly name: string;
  /** Element type, such as `float32`; `unknown` if emoq does not support it or the value is not a tensor. */
  readonly dtype: string;
  /** Sizes, undefined for dynamic axes; undefined as a whole if the file does not give the rank. */
  readonly shape: readonly (number | undefined)[] | undefined;
}

/** The interface and metadata of an ONNX file. */
export interface ModelFile {
  readonly path: string;
  /** Inputs that must be fed. */
  readonly inputs: readonly ModelValue[];
  readonly outputs: readonly ModelValue[];
  /** External data files with its weights: absolute, links resolved, unique, sorted. */
  readonly dataFiles: readonly string[];
  /** Metadata by key. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The limit of protobuf, and of a single read in Node. */
const MAX_FILE_BYTES = 2 ** 31 - 1;

const dtypeOfCode = new Map<number, string>(dtypes.map((dtype) => [dtypeInfo[dtype].onnx, dtype]));

/**
 * Reads the inputs, outputs and metadata of an ONNX file.
 * @param what what to call the file in errors
 * @throws InputError when it is missing or not an ONNX file, or when one of its weight files is missing
 */
export async function readModelFile(path: string, what = 'model'): Promise<ModelFile> {
  const { model } = await parseModel(`${what} ${path}`, path);
  const { input, output, initializer } = model.graph!;
  const given = new Set(initializer.map(({ name }) => name)); // before IR 4, weights were also listed as inputs
  const dataFiles = (await externalTensors(model, `${what} ${path}`, path)).map(({ file }) => file);
  return {
    path,
    inputs: input.filter(({ name }) => !given.has(name)).map(modelValueOf),
    outputs: output.map(modelValueOf),
    dataFiles: [...new Set(dataFiles)].sort(),
    metadata: Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value])),
  };
}

/**
 * Returns the bytes of an ONNX file for a session, with the folder that its external data is relative to. Links are
 * resolved and locations rewritten accordingly: in a Hugging Face cache the weights are links into another folder, and
 * onnxruntime does not follow them.
 * @throws InputError as {@link readModelFile}
 */
export async function loadModelFile(path: string, what = 'model'): Promise<SerializedModel> {
  const { bytes, model } = await parseModel(`${what} ${path}`, path);
  const external = await externalTensors(model, `${what} ${path}`, path);
  if (external.length === 0) return { model: bytes, weightsFolder: undefined };
  const weightsFolder = commonFolder(external.map(({ file }) => file));
  for (const { location, file } of external) {
    location.value = relative(weightsFolder!, file).split(sep).join('/');
  }
  return { model: toBinary(ModelProtoSchema, model), weightsFolder };
}

/** The bytes of a file and the parsed model, which must have a graph. */
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
    // Protobuf's message about bytes that are not a model is of no help.
  }
  if (model?.graph === undefined) throw new InputError(`${name} is not an ONNX file, or is cut short`);
  return { bytes, model };
}

function modelValueOf({ name, type }: ValueInfoProto): ModelValue {
  if (type?.value.case !== 'tensorType') return { name, dtype: 'unknown', shape: undefined };
  const { elemType, shape } = type.value.value;
  return {
    name,
    dtype: dtypeOfCode.get(elemType) ?? 'unknown',
    shape: shape?.dim.map(({ value }) => (value.case === 'dimValue' ? Number(value.value) : undefined)),
  };
}

/** A tensor with external data: the entry that names the file, and the file with links resolved. */
interface ExternalTensor {
  readonly location: { value: string };
  readonly file: string;
}

async function externalTensors(model: ModelProto, name: string, path: string): Promise<ExternalTensor[]> {
  const found = new Map<string, string>(); // by location: one file holds thousands of tensors
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
  // Same rule as onnxruntime: a model may not read arbitrary files.
  if (isAbsolute(location) || location.split(/[/\\]/).includes('..')) {
    throw new InputError(
      `${name} has its weights in ${location}, outside its own folder, which is not allowed`,
    );
  }
  return realpath(join(dirname(path), location)).catch(() => {
    throw new InputError(`${name} has its weights in ${location}, which is missing beside it; put it there`);
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
