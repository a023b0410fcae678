/** @file The weights with which models sum the layers of their encoder. */

import { pathExists } from '../../base/index.js';
import { openWeightsFile, readWeight } from '../../checkpoints/index.js';
import { float32Of } from '../../engine/tensor/index.js';
import type { LayerWeight } from '../../report/index.js';
import { LAYER_MIX_KEY, layerShares } from '../../systems/index.js';
import type { ReadRuns } from './evaluated-runs.js';

/** The weight of each layer in each run, in ascending order; none where models read one layer. */
export async function layerWeights(parts: readonly ReadRuns[]): Promise<LayerWeight[]> {
  const { layers, mix } = parts[0]!.recipe.encoder;
  if (layers === 'last' || mix === 'mean') return [];
  const sums: number[][] = [];
  for (const { runs } of parts) {
    for (const { checkpoint } of runs) {
      if (!(await pathExists(checkpoint))) continue; // a report needs the predictions alone
      const parameters = (await openWeightsFile(checkpoint)).weights.get(LAYER_MIX_KEY);
      if (parameters !== undefined) sums.push(layerShares(float32Of(await readWeight(parameters))));
    }
  }
  const [first] = sums;
  if (first === undefined) return [];
  const numbers =
    typeof layers === 'string' ? first.map((_, index) => index) : [...new Set(layers)].sort((a, b) => a - b);
  return numbers.map((layer, index) => ({ layer, shares: sums.map((shares) => shares[index]!) }));
}
