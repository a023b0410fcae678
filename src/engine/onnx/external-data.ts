/** @file Locations of a graph's external data. */

import { dirname, relative, sep } from 'node:path';
import type { Graph } from './graph.js';
import { type ModelOptions, serializeModel } from './wire.js';

/** A serialised graph and, if it has external data, the folder that the locations are relative to. */
export interface SerializedModel {
  readonly model: Uint8Array;
  readonly weightsFolder: string | undefined;
}

export interface InPlaceOptions extends Pick<ModelOptions, 'description'> {
  /**
   * Folder, links resolved, that the model file is written to. The metadata key `weights_folder` then records where the
   * weights are relative to it. Absolute paths would reveal the machine that made the file.
   */
  readonly fileFolder?: string;
}

/** Serialises a graph whose weights stay in their own files. */
export function serializeInPlace(graph: Graph, options: InPlaceOptions = {}): SerializedModel {
  const { fileFolder, ...others } = options;
  const weightsFolder = externalDataFolder(graph);
  if (weightsFolder === undefined) return { model: serializeModel(graph, others), weightsFolder };
  const metadata: Record<string, string> =
    fileFolder === undefined ? {} : { weights_folder: folderFrom(fileFolder, weightsFolder) };
  return { model: serializeModel(graph, { ...others, weightsFolder, metadata }), weightsFolder };
}

/** Relative path from one folder to another, with forward slashes. */
function folderFrom(start: string, target: string): string {
  return relative(start, target).split(sep).join('/') || '.';
}

/**
 * The deepest folder that holds all weight files of the graph, subgraphs included; undefined if there are none.
 * Locations are written relative to it, and onnxruntime is given it.
 */
export function externalDataFolder(graph: Graph): string | undefined {
  return commonFolder(externalPaths(graph));
}

/** The deepest folder that holds all the files; undefined for an empty list. */
export function commonFolder(paths: readonly string[]): string | undefined {
  const folders = new Set(paths.map(dirname));
  if (folders.size === 0) return undefined;
  return [...folders].reduce((folder, other) => {
    let common = folder;
    while (relative(common, other).split(sep)[0] === '..') common = dirname(common);
    return common;
  });
}

function externalPaths(graph: Graph): string[] {
  const own = graph.initializers.flatMap(({ content }) =>
    content?.kind === 'external' ? [content.path] : [],
  );
  const inner = graph.nodes.flatMap((node) =>
    Object.values(node.attributes).flatMap((attribute) =>
      attribute.kind === 'graph' ? externalPaths(attribute.value) : [],
    ),
  );
  return [...own, ...inner];
}
