/** @file Where a graph's external data lies. */

import { dirname, relative, sep } from 'node:path';
import type { Graph } from './graph.js';
import { type ModelOptions, serializeModel } from './wire.js';

/** A serialised graph and the folder that its external data locations are relative to, where it has any. */
export interface PlacedModel {
  readonly model: Uint8Array;
  readonly weightsFolder: string | undefined;
}

export interface PlacingOptions extends Pick<ModelOptions, 'description'> {
  /**
   * Folder, links resolved, of the file that the model is written to. Its metadata `weights_folder` then says where the
   * weights are from there, for whoever opens the file later: absolute paths would say whose machine it was made on.
   */
  readonly fileFolder?: string;
}

/** Serialises a graph whose weights stay where they are. */
export function serializeInPlace(graph: Graph, options: PlacingOptions = {}): PlacedModel {
  const { fileFolder, ...others } = options;
  const weightsFolder = externalDataFolder(graph);
  if (weightsFolder === undefined) return { model: serializeModel(graph, others), weightsFolder };
  const metadata: Record<string, string> =
    fileFolder === undefined ? {} : { weights_folder: folderFrom(fileFolder, weightsFolder) };
  return { model: serializeModel(graph, { ...others, weightsFolder, metadata }), weightsFolder };
}

/** The way from one folder to another, with forward slashes. */
function folderFrom(start: string, target: string): string {
  return relative(start, target).split(sep).join('/') || '.';
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
    content?.kind === 'external' ? [content.path] : [],
  );
  const inner = graph.nodes.flatMap((node) =>
    Object.values(node.attributes).flatMap((attribute) =>
      attribute.kind === 'graph' ? externalPaths(attribute.value) : [],
    ),
  );
  return [...own, ...inner];
}
