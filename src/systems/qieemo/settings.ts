/** @file The keys of a Qieemo recipe, and the rules between them. */

import { z } from 'zod';
import { affectiveLossKeys } from '../affective-loss.js';
import { optimizerKeys, selectionKeys } from '../phase-settings.js';
import {
  below1,
  checkpointKeys,
  clipKeys,
  corpusKeys,
  divisionKeys,
  encoderKeys,
  encoderLayerKeys,
  encoderProblems,
  isSection,
  ours,
  paperKeys,
  type RecipeProblem,
  seedKeys,
  trainsEncoder,
  whole,
} from '../settings.js';

export const qieemoSchema = z.strictObject({
  ...corpusKeys,
  ...divisionKeys,
  backbones: z.strictObject(encoderKeys('facebook/hubert-large-ls960-ft')).prefault({}),
  ...checkpointKeys,
  ...clipKeys,
  encoder: z
    .strictObject({
      ...encoderLayerKeys('middle', 0),
      logits: ours(
        "read the encoder's phonetic posteriorgram (PPG), the softmax of its CTC head",
        z.boolean().default(true),
      ),
    })
    .prefault({}),
  ...seedKeys,
  qieemo: z
    .strictObject({
      width: ours('width of both streams', whole(1).default(256)),
      mmf: ours('the multimodal fusion module (MMF): a gate in each frame', z.boolean().default(true)),
      cma: ours('the cross-modal attention module (CMA), in both directions', z.boolean().default(true)),
      heads: ours('attention heads of the CMA, and of the pooling', whole(1).default(4)),
      feed_forward: ours('hidden width of the feed-forward layers in the CMA', whole(1).default(512)),
      head_hidden: ours('hidden width of the classifier', whole(1).default(256)),
      dropout: ours('dropout of hidden states and attention weights', below1().default(0.1)),
    })
    .prefault({}),
  align: z
    .strictObject({
      targets: ours(
        'what the encoder is fine-tuned on: transcripts, with CTC; or words, also frame by frame, by the times of the words in the manifest',
        z.enum(['transcripts', 'words']).default('transcripts'),
      ),
      ...optimizerKeys({
        ...{ epochs: 10, groups: ['head'], learningRate: 1e-4, declare: ours },
      }),
    })
    .prefault({}),
  emotion: z
    .strictObject({
      from_align: ours(
        'start from an encoder that phase align has fine-tuned on the transcripts with CTC',
        z.boolean().default(false),
      ),
      loss: ours(
        'cross_entropy, or mal: the contrastive and the focal loss of EmoQ',
        z.enum(['cross_entropy', 'mal']).default('cross_entropy'),
      ),
      ...optimizerKeys({
        ...{ epochs: 20, groups: ['fusion', 'head'], batchSize: 16, learningRate: 1e-4, declare: ours },
      }),
      ...affectiveLossKeys(),
      ...selectionKeys(),
    })
    .prefault({}),
  ...paperKeys,
});

/** A resolved Qieemo recipe: every key has its value. */
export type QieemoRecipe = z.output<typeof qieemoSchema>;

/** Problems that involve several values of a recipe. */
export function qieemoProblems(values: Readonly<Record<string, unknown>>): RecipeProblem[] {
  const { encoder, qieemo, emotion, align, augment } = values;
  const { layers, logits = true } = isSection(encoder) ? encoder : {};
  const { width = 256, heads = 4 } = isSection(qieemo) ? qieemo : {};
  const problems = encoderProblems(values);
  if (logits === false && Array.isArray(layers) && layers.length === 0) {
    problems.push({ path: ['encoder', 'layers'], what: 'is empty, and logits is false: nothing is read' });
  }
  if (typeof width === 'number' && typeof heads === 'number' && width % heads !== 0) {
    problems.push({ path: ['qieemo', 'heads'], what: `${heads} does not divide qieemo.width ${width}` });
  }
  if (isSection(emotion) && emotion.from_align === true) {
    if (!trainsEncoder(encoder)) {
      const what = 'needs layers of the encoder to fine-tune; set encoder.train to top:N or all';
      problems.push({ path: ['emotion', 'from_align'], what });
    } else if (logits === false) {
      problems.push({
        path: ['emotion', 'from_align'],
        what: 'needs the CTC head; set encoder.logits to true',
      });
    }
  }
  const { copies = 0, speed = [] } = isSection(augment) ? augment : {};
  if (isSection(align) && align.targets === 'words' && copies !== 0 && speed !== null && speed !== 1) {
    const what = 'changes when words are spoken, which align.targets: words reads; set it to null';
    problems.push({ path: ['augment', 'speed'], what });
  }
  if (
    isSection(emotion) &&
    emotion.loss === 'mal' &&
    emotion.scl_weight === 0 &&
    emotion.focal_weight === 0
  ) {
    problems.push({ path: ['emotion', 'focal_weight'], what: 'with scl_weight 0 too, there is no loss' });
  }
  return problems;
}
