/**
 * @file Dropout whose masks are a function of (seed, step, site) alone, so that a resumed run draws what the
 * uninterrupted one would have drawn, on any device. One pool of ready-made factors (0 or 1 / (1 - rate)) is uploaded;
 * each site at each step multiplies by a window of it at an offset drawn from seed, step and site. A step in
 * micro-batches draws for each of them.
 */

import {
  addInput,
  type Dim,
  type DimBindings,
  evaluateDim,
  type Graph,
  gather,
  mul,
  productOfDims,
  reshapeLike,
  scalar,
  sizeOf,
  slice,
  sliceWindow,
  unsqueeze,
  type Value,
  withScope,
} from '../onnx/index.js';
import { seededRandom, type Tensor, tensor } from '../tensor/index.js';

/** A place in the model where dropout acts. */
interface DropoutSite {
  readonly name: string;
  readonly size: Dim;
}

/** What the host must know to feed the masks. */
export interface DropoutPlan {
  readonly rates: readonly number[];
  readonly sites: readonly DropoutSite[];
}

/** Name of the graph input that holds the pool for a rate. */
export const poolInputName = (rate: number): string => `dropout_pool_${rate}`;
export const OFFSETS_INPUT = 'dropout_offsets';

/** Builds dropout into a Loop body. The plan is whole once the model is built. */
export interface DropoutBuilder {
  readonly apply: (x: Value, rate: number, site: string) => Value;
  readonly plan: DropoutPlan;
}

/**
 * @param root the graph around the loop, which gets the inputs `dropout_pool_<rate>` [pool] and
 *   `dropout_offsets` int64 [iterations, sites] once a place asks for dropout
 * @param iteration which of the stacked batches is computed, int64 scalar
 * @param iterations how many are stacked: K, or with gradient accumulation all micro-batches of the K steps
 */
export function createDropout(root: Graph, iteration: Value, iterations: Dim): DropoutBuilder {
  const sites: DropoutSite[] = [];
  const rates: number[] = [];
  const pools = new Map<number, Value>();
  let offsets: Value | undefined; // [sites]
  return {
    plan: { rates, sites },
    apply(x, rate, name) {
      if (rate === 0) return x;
      if (!pools.has(rate)) {
        pools.set(rate, addInput(root, poolInputName(rate), 'float32', ['pool']));
        rates.push(rate);
      }
      // Two places of one name would draw one mask.
      if (sites.some((site) => site.name === name)) throw new Error(`two dropout sites are called ${name}`);
      const position = sites.push({ name, size: productOfDims(x.shape) }) - 1;
      return withScope(x.graph, 'dropout', () => {
        const length = x.shape
          .map((_, axis) => sizeOf(x, axis))
          .reduce((product, size) => mul(product, size), scalar(x.graph, 1, 'int64'));
        offsets ??= gather(addInput(root, OFFSETS_INPUT, 'int64', [iterations, 'sites']), iteration, 0);
        const offset = slice(offsets, 0, position, position + 1);
        const window = sliceWindow(pools.get(rate)!, offset, unsqueeze(length, [0]), productOfDims(x.shape));
        return mul(x, reshapeLike(window, x));
      });
    },
  };
}

/** The pools as feeds: made once for a run. `largest` bounds every symbol of the batches to come. */
export function dropoutPools(plan: DropoutPlan, seed: number, largest: DimBindings): Record<string, Tensor> {
  const length = poolLength(plan, largest);
  return Object.fromEntries(
    plan.rates.map((rate) => {
      const random = seededRandom(seed, 'dropout pool', rate);
      const factors = new Float32Array(length);
      for (let i = 0; i < length; i++) factors[i] = random.uniform() < rate ? 0 : 1 / (1 - rate);
      return [poolInputName(rate), tensor('float32', [length], factors)];
    }),
  );
}

/**
 * Window offsets of K steps: int64 [K, sites], from seed, global step and site name.
 * @param steps the sizes of each step's batch; or of its micro-batches, each of which draws by its number too, which
 *   makes it [micro-batches in all, sites]
 * @throws Error when a batch is larger than `largest`, which the pools were made for
 */
export function dropoutOffsets(
  plan: DropoutPlan,
  seed: number,
  firstStep: number,
  steps: readonly (DimBindings | readonly DimBindings[])[],
  largest: DimBindings,
): Record<string, Tensor> {
  if (plan.sites.length === 0) return {};
  const length = poolLength(plan, largest);
  const batches = steps.flatMap((sizes, k) =>
    isList(sizes)
      ? sizes.map((own, number) => ({ sizes: own, draw: [firstStep + k, number] }))
      : [{ sizes, draw: [firstStep + k] }],
  );
  const data = new BigInt64Array(batches.length * plan.sites.length);
  batches.forEach(({ sizes, draw }, position) => {
    plan.sites.forEach(({ name, size }, site) => {
      const room = length - evaluateDim(size, sizes);
      if (room < 0)
        throw new Error(`dropout site ${name} is larger than the pools, made for ${JSON.stringify(largest)}`);
      const offset = seededRandom(seed, 'dropout offset', ...draw, name).integer(room + 1);
      data[position * plan.sites.length + site] = BigInt(offset);
    });
  });
  return { [OFFSETS_INPUT]: tensor('int64', [batches.length, plan.sites.length], data) };
}

const isList = (sizes: DimBindings | readonly DimBindings[]): sizes is readonly DimBindings[] =>
  Array.isArray(sizes);

/** The share of zeros in a pool of this many is within 0.004 of its rate (3 deviations at rate 0.1). */
const MIN_POOL_LENGTH = 1 << 16;

/**
 * Elements of each pool: four times the largest window, so that windows of different steps and sites are hardly ever the
 * same.
 */
export function poolLength(plan: DropoutPlan, largest: DimBindings): number {
  return Math.max(MIN_POOL_LENGTH, ...plan.sites.map(({ size }) => 4 * evaluateDim(size, largest)));
}
