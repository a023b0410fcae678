/**
 * @file Connectionist temporal classification (Graves et al., 2006): the negative log-likelihood of a sequence of symbols
 * under the logits of frames, whatever their alignment. Forward and backward variables run over the frames in two Loops;
 * the gradient by the logits follows from both in closed form, so nothing is differentiated through the Loops.
 */

import {
  add,
  and,
  arange,
  cast,
  concat,
  constant,
  type Dim,
  detached,
  div,
  equal,
  exp,
  gather,
  greaterOrEqual,
  less,
  log,
  logSoftmax,
  loop,
  matmul,
  max,
  min,
  mul,
  multiplyDims,
  neg,
  not,
  onDevice,
  reduceMax,
  reduceMean,
  reduceSum,
  reshape,
  sizeOf,
  softmax,
  squeeze,
  sub,
  transpose,
  unsqueeze,
  type Value,
  where,
  withScope,
} from '../engine/onnx/index.js';
import { int64 } from '../engine/tensor/index.js';

export interface CtcTargets {
  /** int64 [N, U]: ids of symbols, other than the blank; padding: any id. */
  readonly symbols: Value;
  /** int64 [N, U]: 1 on symbols, which come first, then 0. */
  readonly mask: Value;
}

/** Log-probability of what cannot be; its sums over any number of frames stay finite in float32. */
const NEVER = -1e30;
/** Log-likelihoods below this are those of sequences that have no alignment. */
const IMPOSSIBLE = -1e20;

/**
 * Mean over the batch of -log p(symbols | logits) / number of symbols, as torch.nn.CTCLoss with `reduction: mean` and
 * `zero_infinity`: an utterance with too few frames for its symbols contributes 0.
 * @param logits float32 [N, T, V]
 * @param frameMask int64 [N, T]: 1 on real frames, which come first
 * @param blank id of the blank
 * @returns the loss, and the share of utterances with too few frames; scalars
 */
export function ctcLoss(
  logits: Value,
  frameMask: Value,
  targets: CtcTargets,
  blank: number,
): { readonly loss: Value; readonly impossible: Value } {
  return withScope(logits.graph, 'ctc_loss', () => {
    const fixed = detached(logits);
    const labels = extendedLabels(targets, blank);
    const frames = { mask: cast(frameMask, 'float32'), count: reduceSum(frameMask, [1]) };
    // One matrix product picks the log-probabilities of the labels: [N, T, S].
    const emissions = matmul(logSoftmax(fixed), transpose(labels.oneHot(fixed), [0, 2, 1]));
    const forward = forwardVariables(emissions, frames, labels);
    const backward = backwardVariables(emissions, frames, labels);
    const isPossible = cast(not(less(forward.logLikelihood, IMPOSSIBLE)), 'float32'); // [N]
    const losses = mul(isPossible, div(neg(forward.logLikelihood), labels.count));
    const value = reduceMean(losses);
    // d loss / d logits of a frame = p(v | frame) - share of the alignments that have v in it.
    const shares = softmax(add(forward.byFrame, backward)); // [N, T, S]
    const excess = sub(softmax(fixed), matmul(shares, labels.oneHot(fixed))); // [N, T, V]
    const weight = div(isPossible, mul(labels.count, cast(onDevice(sizeOf(logits, 0)), 'float32')));
    const slopes = mul(excess, mul(unsqueeze(weight, [1, 2]), unsqueeze(frames.mask, [2])));
    const carrier = reduceSum(mul(detached(slopes), logits));
    return {
      loss: add(value, sub(carrier, detached(carrier))),
      impossible: sub(1, reduceMean(isPossible)),
    };
  });
}

interface Labels {
  /** float32 [N]: symbols of each row, at least 1. A label is a symbol or a blank before, between or after them: S = 2 U + 1. */
  readonly count: Value;
  /** float32 [N, S]: 0 where a path may come from two labels before, NEVER elsewhere. */
  readonly skip: Value;
  /** float32 [N, S]: 0 at the last symbol and the blank after it, NEVER elsewhere. */
  readonly end: Value;
  /** int64 [S]. */
  readonly places: Value;
  /** float32 [N, S, V], in the size of logits. */
  readonly oneHot: (logits: Value) => Value;
}

function extendedLabels({ symbols, mask }: CtcTargets, blank: number): Labels {
  const { graph } = symbols;
  const [batch, length] = symbols.shape as [Dim, Dim];
  const counts = reduceSum(mask, [1]); // [N]
  // Each symbol after a blank, then one more blank.
  const blanks = add(mul(symbols, 0), blank);
  const pairs = reshape(concat([unsqueeze(blanks, [2]), unsqueeze(symbols, [2])], 2), [
    batch,
    multiplyDims(length, 2),
  ]);
  const ids = concat([pairs, unsqueeze(add(mul(counts, 0), blank), [1])], 1);
  const places = arange(sizeOf(ids, 1), ids.shape[1]!);
  const end = mul(unsqueeze(counts, [1]), 2); // the last blank's place
  const isEnd = and(
    greaterOrEqual(unsqueeze(places, [0]), sub(end, 1)),
    not(less(end, unsqueeze(places, [0]))),
  );
  const before = gather(ids, max(sub(places, 2), 0), 1);
  const isSkippable = and(
    and(not(equal(ids, blank)), not(equal(ids, before))),
    unsqueeze(greaterOrEqual(places, 2), [0]),
  );
  const barred = (may: Value): Value => where(may, 0, NEVER);
  return {
    count: cast(max(counts, 1), 'float32'),
    skip: barred(isSkippable),
    end: barred(isEnd),
    places,
    oneHot: (logits) => {
      const size = logits.shape[2] as number;
      const vocabulary = constant(graph, int64([1, 1, size], [...Array(size).keys()]));
      return cast(equal(unsqueeze(ids, [2]), vocabulary), 'float32');
    },
  };
}

interface Frames {
  /** float32 [N, T]. */
  readonly mask: Value;
  /** int64 [N]. */
  readonly count: Value;
}

/** log(exp(a) + exp(b) + exp(c)). */
function logAdd(a: Value, b: Value, c: Value): Value {
  const largest = max(max(a, b), c);
  const share = (x: Value): Value => exp(sub(x, largest));
  return add(largest, log(add(add(share(a), share(b)), share(c))));
}

/** log of the sum of exp over the last axis, which is kept. */
function logSum(x: Value): Value {
  const largest = reduceMax(x, [-1], true);
  return add(largest, log(reduceSum(exp(sub(x, largest)), [-1], true)));
}

/** [N, T, ...] -> [T, N, ...]. */
function timeFirst(x: Value): Value {
  return transpose(x, [1, 0, ...[...x.shape.keys()].slice(2)]);
}

/** Frame `t` of emissions [T, N, S] and of the mask [T, N, 1]. */
function frameOf(
  emissions: Value,
  mask: Value,
  t: Value,
): { readonly emitted: Value; readonly isReal: Value } {
  return { emitted: gather(emissions, t, 0), isReal: gather(mask, t, 0) };
}

/**
 * log of the probability of each label at each frame with all before it, scaled to sum 1 in each frame [N, T, S], and
 * the log-likelihood [N].
 */
function forwardVariables(
  emissions: Value,
  { mask }: Frames,
  { places, skip, end, count }: Labels,
): { readonly byFrame: Value; readonly logLikelihood: Value } {
  const [byTime, real] = [timeFirst(emissions), unsqueeze(timeFirst(mask), [2])];
  const [one, two] = [1, 2].map((steps) => max(sub(places, steps), 0));
  const noOne = where(greaterOrEqual(places, 1), 0, NEVER); // [S]
  // Before the first frame, only the first blank: from it the first frame reaches the blank and the first symbol.
  const begin = add(mul(skip, 0), where(less(places, 1), 0, NEVER));
  const total = unsqueeze(mul(count, 0), [1]); // [N, 1]
  const steps = sizeOf(byTime, 0);
  const { states, collected } = loop(
    steps,
    byTime.shape[0]!,
    [begin, total],
    (_, iteration, [before, sum]) => {
      const { emitted, isReal } = frameOf(byTime, real, onDevice(iteration));
      const fromOne = add(gather(before!, one!, 1), noOne);
      const fromTwo = add(gather(before!, two!, 1), skip);
      const reached = add(logAdd(before!, fromOne, fromTwo), emitted);
      const scale = logSum(reached); // [N, 1]
      const next = add(mul(isReal, sub(reached, scale)), mul(sub(1, isReal), before!));
      const whole = add(sum!, mul(isReal, scale));
      return { states: [next, whole], collected: [{ name: 'forward', value: next }] };
    },
  );
  const ended = logSum(add(states[0]!, end));
  return {
    byFrame: transpose(collected[0]!, [1, 0, 2]),
    logLikelihood: squeeze(add(states[1]!, ended), [1]),
  };
}

/** log of the probability of all after each label at each frame, in each frame up to a factor: [N, T, S]. */
function backwardVariables(emissions: Value, { count }: Frames, { places, skip, end }: Labels): Value {
  const byTime = timeFirst(emissions);
  const last = sub(onDevice(sizeOf(places, 0)), 1);
  const [one, two] = [1, 2].map((steps) => min(add(places, steps), last));
  const noOne = where(less(places, last), 0, NEVER);
  // The bar on a step over a symbol belongs to where it leads.
  const beyond = where(less(add(places, 1), last), 0, NEVER);
  const skipTo = add(gather(skip, two!, 1), unsqueeze(beyond, [0]));
  const steps = sizeOf(byTime, 0);
  const final = sub(onDevice(steps), 1);
  const { collected } = loop(steps, byTime.shape[0]!, [end], (_, iteration, [after]) => {
    const time = sub(final, onDevice(iteration)); // frame t, from the last to the first
    const following = gather(byTime, min(add(time, 1), final), 0);
    const reached = add(after!, following);
    const fromOne = add(gather(reached, one!, 1), noOne);
    const fromTwo = add(gather(reached, two!, 1), skipTo);
    const sum = logAdd(reached, fromOne, fromTwo);
    const scaled = sub(sum, reduceMax(sum, [-1], true));
    // At a row's last real frame and in its padding, as it begins.
    const isBefore = unsqueeze(cast(less(add(time, 1), count), 'float32'), [1]); // [N, 1]
    const next = add(mul(isBefore, scaled), mul(sub(1, isBefore), after!));
    return { states: [next], collected: [{ name: 'backward', value: next }] };
  });
  const reversed = sub(final, arange(steps, byTime.shape[0]!));
  return transpose(gather(collected[0]!, reversed, 0), [1, 0, 2]);
}
