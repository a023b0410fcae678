/** @file The keys of a linear probe's recipe. */

import { z } from 'zod';
import { optimizerKeys, selectionKeys } from '../phase-settings.js';
import {
  audioKeys,
  checkpointKeys,
  corpusKeys,
  divisionKeys,
  encoderKeys,
  ours,
  paperKeys,
  seedKeys,
  whole,
} from '../settings.js';

export const probeSchema = z.strictObject({
  ...corpusKeys,
  ...divisionKeys,
  backbones: z.strictObject(encoderKeys()).prefault({}),
  ...checkpointKeys,
  ...audioKeys,
  ...seedKeys,
  probe: z
    .strictObject({
      hidden: ours(
        'hidden width of a layer with ReLU before the mean over time; 0 is a linear probe of the mean',
        whole(0).default(0),
      ),
      standardize: ours(
        'scale and shift each feature channel, from values that standardise it over the training set',
        z.boolean().default(true),
      ),
      ...optimizerKeys({
        epochs: 50,
        groups: ['head'],
        batchSize: 32,
        learningRate: 1e-4,
        warmupFraction: 0,
        weightDecay: 0,
        gradClip: 0,
        declare: ours,
      }),
      ...selectionKeys(),
    })
    .prefault({}),
  ...paperKeys,
});

/** A resolved recipe of a linear probe: every key has its value. */
export type ProbeRecipe = z.output<typeof probeSchema>;
