/** @file What a family of text encoders is. The Former is the graph: it has the layers and keys of RoBERTa. */

import type { RobertaConfig } from '../../nn/index.js';
import type { BackboneFamily } from '../backbone-family.js';

export interface TextEncoderFamily extends BackboneFamily<RobertaConfig> {
  /** What may stand before the keys of its weights in a checkpoint, the likeliest first. */
  readonly prefixes: readonly string[];
}
