/** @file The weights with which models sum the layers of their encoder. */

import { chosenLayers } from '../../backbones/index.js';
import { pathExists } from '../../base/index.js';
import { openWeightsFile, readWeight } from '../../checkpoints/index.js';
import { float32Of } from '../../engine/tensor/index.js';
import type { LayerWeight } from '../../report/index.js';
import { LAYER_MIX_KEY, layerShares } from '../../systems/index.js';
import type { ReadRuns } from './evaluated-runs.js';

/** The weight of each layer in each run, in ascending order; none where models read one layer. */
export async function layerWeights(parts: readonly ReadRuns[]): Promise<LayerWeight[]> {
  const [{ recipe, metadata }] = parts as [ReadRuns];
  const { layers, mix } = recipe.encoder;
  const depth = metadata[0]?.backbones?.encoder?.config?.numHiddenLayers;
  // Of an encoder of unknown depth, only layers that are given by number are known.
  if (mix === 'mean' || (typeof depth !== 'number' && typeof layers === 'string')) return [];
  const numHiddenLayers = typeof depth === 'number' ? depth : Number.POSITIVE_INFINITY;
  const numbers = chosenLayers(recipe.encoder, { numHiddenLayers });
  const sums: number[][] = [];
  for (const { runs } of parts) {
    for (const { checkpoint } of runs) {
      if (!(await pathExists(checkpoint))) continue; // a report needs the predictions alone
      const parameters = (await openWeightsFile(checkpoint)).weights.get(LAYER_MIX_KEY);
      if (parameters !== undefined) sums.push(layerShares(float32Of(await readWeight(parameters))));
    }
  }
  if (sums.length === 0) return [];
  return numbers.map((layer, index) => ({ layer, shares: sums.map((shares) => shares[index]!) }));
}
