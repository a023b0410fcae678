/** @file Where a graph's external data lies. */

import { dirname, relative, sep } from 'node:path';
import type { Graph } from './graph.js';
import { type ModelOptions, serializeModel } from './wire.js';

/** A serialised graph and the folder that its external data locations are relative to, where it has any. */
export interface PlacedModel {
  readonly model: Uint8Array;
  readonly weightsFolder: string | undefined;
}

/**
 * Serialises a graph whose weights stay where they are. The model's metadata `weights_folder` says relative to which
 * folder, for whoever opens the file later.
 */
export function serializeInPlace(graph: Graph, options: Pick<ModelOptions, 'description'> = {}): PlacedModel {
  const weightsFolder = externalDataFolder(graph);
  if (weightsFolder === undefined) return { model: serializeModel(graph, options), weightsFolder };
  const metadata = { weights_folder: weightsFolder };
  return { model: serializeModel(graph, { ...options, weightsFolder, metadata }), weightsFolder };
}

/**
 * The deepest folder that holds all files which the graph (subgraphs included) reads its weights from; undefined where
 * it reads none. Locations are written relative to it, and onnxruntime is told of it.
 */
export function externalDataFolder(graph: Graph): string | undefined {
  return commonFolder(externalPaths(graph));
}

/** The deepest folder that holds all of some files; undefined where there are none. */
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
    content !== undefined && 'path' in content ? [content.path] : [],
  );
  const inner = graph.nodes.flatMap((node) =>
    Object.values(node.attributes).flatMap((attribute) =>
      attribute.kind === 'graph' ? externalPaths(attribute.value) : [],
    ),
  );
  return [...own, ...inner];
}
