/** @file The backbones that a run was trained with, as run.json has them. */

import { identityDifferences, type ModelIdentity } from '../../checkpoints/index.js';

/** Those that a stage computes with, by the recipe's keys. */
export type BackboneIdentities = Readonly<Partial<Record<'encoder' | 'former' | 'llm', ModelIdentity>>>;

/**
 * In what backbones differ from those that a run was trained with, in words; what one side lacks is not compared, as in
 * runs of an emoq that recorded none.
 */
export function backboneDifferences(before: BackboneIdentities = {}, now: BackboneIdentities = {}): string[] {
  const parts = (['encoder', 'former', 'llm'] as const).map((part) => {
    const [was, is] = [before[part], now[part]];
    if (was === undefined || is === undefined) return undefined;
    const differences = identityDifferences(was, is);
    return differences.length === 0 ? undefined : `backbones.${part}: ${differences.join(', ')}`;
  });
  return parts.filter((part) => part !== undefined);
}
