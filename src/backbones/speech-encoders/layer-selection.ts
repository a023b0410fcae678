/**
 * @file Which hidden states of a speech encoder are its features, of the last layer or of several, and whether the
 * logits of its CTC head follow them.
 */

import { InputError } from '../../base/index.js';

/** A third of an encoder's layers, its input not counted. */
export type LayerThird = 'lower' | 'middle' | 'upper';

/** The layers of an encoder that a model reads, and how they become one. */
export interface LayerSelection {
  /**
   * Numbers as in transformers' `hidden_states`: 0 is the input of the first layer, n the output of the n-th. The last is
   * `last_hidden_state`, which large models normalise.
   */
  readonly layers: 'last' | 'all' | LayerThird | readonly number[];
  /**
   * `learned`: the features hold all of them, one after the other, and the model sums them with trained weights, as in
   * SUPERB (Yang et al., 2021). `mean`: the features are their mean.
   */
  readonly mix: 'learned' | 'mean';
  /**
   * With it, the logits [vocabulary] of the checkpoint's CTC head over the last layer follow the hidden states in each
   * frame, whatever layers are chosen. `layers` may then be empty: frames hold logits alone. Default: none.
   */
  readonly logits?: boolean;
}

export const LAST_LAYER: LayerSelection = { layers: 'last', mix: 'learned' };

/** Frames hold logits alone. */
export const CTC_LOGITS: LayerSelection = { layers: [], mix: 'learned', logits: true };

/** The chosen layers of a config in ascending order. @throws InputError for one that the encoder does not have */
export function chosenLayers(
  { layers }: Pick<LayerSelection, 'layers'>,
  { numHiddenLayers: last }: { readonly numHiddenLayers: number },
): readonly number[] {
  if (layers === 'last') return [last];
  if (layers === 'all') return [...Array(last + 1).keys()];
  if (typeof layers === 'string') return third(layers, last);
  const missing = layers.find((layer) => layer > last);
  if (missing === undefined) return [...new Set(layers)].sort((a, b) => a - b);
  throw new InputError(`encoder.layers has ${missing}, but the encoder's layers are 0 to ${last}`);
}

/** A third of layers 1 to `last`; what does not divide belongs to the middle one, which of two layers is the last. */
function third(name: LayerThird, last: number): number[] {
  const outer = Math.max(1, Math.floor(last / 3));
  const middle = last < 3 ? { from: last, to: last } : { from: outer + 1, to: last - outer };
  const { from, to } = {
    lower: { from: 1, to: outer },
    middle,
    upper: { from: last - outer + 1, to: last },
  }[name];
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** Hidden states that a frame of the features holds, of a number of chosen layers. */
export function heldLayers({ mix }: Pick<LayerSelection, 'mix'>, chosen: number): number {
  return mix === 'learned' ? chosen : Math.min(chosen, 1);
}

/** True if the features are the output of the last layer, and nothing else. */
export function isLastLayer(
  selection: LayerSelection,
  config: { readonly numHiddenLayers: number } | undefined,
): boolean {
  if (selection.logits) return false;
  if (selection.layers === 'last' || config === undefined) return selection.layers === 'last';
  return chosenLayers(selection, config).join() === String(config.numHiddenLayers);
}

/**
 * Tells features from those of other layers of the same encoder: `layers-9-12`, `layers-all-mean`; '' for the last. With
 * logits `layers-9-12-ctc`; `last-ctc` for the last layer, `ctc` for logits alone.
 */
export function selectionName(
  selection: LayerSelection,
  config: { readonly numHiddenLayers: number } | undefined,
): string {
  if (isLastLayer(selection, config)) return '';
  if (selection.logits) {
    const states = { ...selection, logits: false };
    if (states.layers.length === 0) return 'ctc';
    return `${selectionName(states, config) || 'last'}-ctc`;
  }
  const { layers, mix } = selection;
  // Numbers mean the same whatever the config.
  const isNamed = typeof layers === 'string' && config === undefined;
  const chosen = isNamed ? undefined : chosenLayers(selection, config ?? ANY_DEPTH);
  const isAll = chosen !== undefined && chosen.length - 1 === config?.numHiddenLayers;
  return `layers-${isAll ? 'all' : (chosen?.join('-') ?? layers)}${mix === 'mean' && chosen?.length !== 1 ? '-mean' : ''}`;
}

const ANY_DEPTH = { numHiddenLayers: Number.POSITIVE_INFINITY };

/** What an exported encoder notes of the features that it gives, `9-12`, `9-12-mean` or `9-12-ctc`. */
export function selectionNote(
  selection: LayerSelection,
  config: { readonly numHiddenLayers: number } = ANY_DEPTH,
): string {
  const chosen = chosenLayers(selection, config);
  const mean = selection.mix === 'mean' && chosen.length > 1 ? ['mean'] : [];
  return [...chosen, ...mean, ...(selection.logits ? ['ctc'] : [])].join('-');
}

/** The same selection by numbers, or `last`: it means the same without the config. */
export function resolvedSelection(
  selection: LayerSelection,
  config: { readonly numHiddenLayers: number },
): LayerSelection {
  if (isLastLayer(selection, config)) return LAST_LAYER;
  return { ...selection, layers: chosenLayers(selection, config) };
}

/** Which transformer layers are trained with the model: none, the last N, or all. */
export type TrainedLayers = 'frozen' | 'all' | `top:${number}`;

/**
 * The hidden state that the first trained layer reads, which is the highest that can be cached.
 * @returns undefined if no layer is trained
 * @throws InputError if the encoder has fewer layers, or the selection reads none of those that would be trained
 */
export function trainedFrom(
  train: TrainedLayers,
  selection: Pick<LayerSelection, 'layers' | 'logits'>,
  config: { readonly numHiddenLayers: number },
): number | undefined {
  if (train === 'frozen') return undefined;
  const { numHiddenLayers: last } = config;
  const trained = train === 'all' ? last : Number(train.slice('top:'.length));
  if (trained > last) {
    throw new InputError(`encoder.train is ${train}, but the encoder has ${last} layers`);
  }
  const from = last - trained;
  if (selection.logits || chosenLayers(selection, config).at(-1)! > from) return from;
  throw new InputError(
    `encoder.train is ${train}, but encoder.layers reads nothing above layer ${from}; read one of layers ${from + 1} to ${last}, or set encoder.train to frozen`,
  );
}

/** The hidden states to cache for a model whose layers above `from` are trained: those below it that it reads, and it. */
export function cachedBelow(
  selection: LayerSelection,
  from: number,
  config: { readonly numHiddenLayers: number },
): LayerSelection {
  const below = chosenLayers(selection, config).filter((layer) => layer < from);
  return { layers: [...below, from], mix: 'learned' };
}
