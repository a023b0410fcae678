/** @file The keys of the multi-objective affective loss (paper section 2.2), and its options from them. */

import { z } from 'zod';
import { InputError } from '../base/index.js';
import { type AffectiveLossOptions, classWeights } from '../nn/index.js';
import { microBatchSize, type PhaseSettings } from './phase-settings.js';
import { atLeast, below1, ours, paper } from './settings.js';

/** Keys of a loss that is the contrastive one of the paper, the focal one, or both. */
export const affectiveLossKeys = () => ({
  scl_weight: paper(
    'weight of the contrastive loss (eq. 6); 0 leaves it out (table 5)',
    atLeast(0).default(1),
  ),
  scl_temperature: paper('tau of the contrastive loss (eq. 4)', z.number().gt(0).default(0.07)),
  focal_weight: paper(
    'lambda, weight of the focal loss (eq. 6); 0 leaves it out (table 5)',
    atLeast(0).default(1),
  ),
  focal_gamma: paper('gamma of the focal loss (eq. 5)', atLeast(0).default(2)),
  focal_alpha: ours(
    'class weights of the focal loss, from the training counts: inverse frequency, or effective number',
    z.enum(['inverse', 'effective']).default('inverse'),
  ),
  focal_alpha_beta: ours(
    'beta of the effective number (Cui et al., 2019): 0 weighs classes alike, near 1 inversely',
    below1().default(0.999),
  ),
});

const affectiveSchema = z.object(affectiveLossKeys());

/** The options of {@link affectiveLoss} from a phase's keys and the utterances of each label in training. */
export function affectiveLossOptions(
  keys: z.output<typeof affectiveSchema>,
  trainingCounts: readonly number[],
): AffectiveLossOptions {
  const { scl_temperature, focal_gamma, scl_weight, focal_weight, focal_alpha, focal_alpha_beta } = keys;
  return {
    temperature: scl_temperature,
    gamma: focal_gamma,
    alpha: classWeights(trainingCounts, focal_alpha === 'effective' ? focal_alpha_beta : undefined),
    contrastiveWeight: scl_weight,
    focalWeight: focal_weight,
  };
}

/**
 * A warning if gradient accumulation changes more than memory and time in a phase; undefined otherwise.
 * @param section the phase's section in recipes
 * @throws InputError if it leaves the contrastive loss nothing to compare
 */
export function accumulationWarning(
  section: string,
  settings: Pick<PhaseSettings, 'accumulate' | 'batch_size'> & {
    readonly scl_weight: number;
    readonly scl_queue?: number;
  },
): string | undefined {
  const { accumulate, batch_size, scl_weight, scl_queue = 0 } = settings;
  const size = microBatchSize(settings);
  if (scl_weight === 0 || size === batch_size) return undefined;
  if (scl_queue > 0)
    return `${section}.accumulate ${accumulate}: the contrastive loss compares the ${size} utterances of a micro-batch with each other and with scl_queue, not with the others of the batch of ${batch_size}`;
  if (size === 1)
    throw new InputError(
      `${section}.accumulate ${accumulate} leaves one utterance in each micro-batch of batch_size ${batch_size}, but the contrastive loss compares utterances; choose a smaller value, or scl_weight 0`,
    );
  return `${section}.accumulate ${accumulate}: the contrastive loss compares the ${size} utterances of a micro-batch, not the ${batch_size} of the batch`;
}
