/** @file Where a graph's external data lies. */

import { dirname, relative, sep } from 'node:path';
import type { Graph } from './graph.js';

/**
 * The deepest folder that holds all files which the graph (subgraphs included) reads its weights from; undefined where
 * it reads none. Locations are written relative to it, and onnxruntime is told of it.
 */
export function externalDataFolder(graph: Graph): string | undefined {
  const folders = new Set(externalPaths(graph).map(dirname));
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
