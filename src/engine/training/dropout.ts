/**
 * @file Dropout whose masks depend only on (seed, step, site), so that a resumed run draws the same masks as an
 * uninterrupted one, on any device. A pool of ready-made factors (0 or 1 / (1 - rate)) is uploaded once; each site at
 * each step multiplies by a window of it, at an offset drawn from seed, step and site. With gradient accumulation, each
 * micro-batch draws its own.
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

/** A dropout layer of the model. */
interface DropoutSite {
  readonly name: string;
  readonly size: Dim;
}

/** What the caller needs to feed the masks. */
export interface DropoutPlan {
  readonly rates: readonly number[];
  readonly sites: readonly DropoutSite[];
}

/** Name of the graph input that holds the pool for a rate. */
export const poolInputName = (rate: number): string => `dropout_pool_${rate}`;
export const OFFSETS_INPUT = 'dropout_offsets';

/** Builds dropout into a Loop body. The plan is complete once the model is built. */
export interface DropoutBuilder {
  readonly apply: (x: Value, rate: number, site: string) => Value;
  readonly plan: DropoutPlan;
}

/**
 * @param root the graph around the loop; gets the inputs `dropout_pool_<rate>` [pool] and `dropout_offsets`
 *   int64 [iterations, sites] once a site asks for dropout
 * @param iteration index of the current batch in the stack, int64 scalar
 * @param iterations size of the stack: K, or with gradient accumulation all micro-batches of the K steps
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
      // Two sites with the same name would draw the same mask.
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

/** The pools as feeds, made once per run. `largest` bounds every symbol of all batches. */
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
 * @param steps the sizes of each step's batch, or of its micro-batches; each micro-batch then also draws by its index,
 *   and the result is [total micro-batches, sites]
 * @throws Error when a batch exceeds `largest`, the sizes that the pools were made for
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
      const span = length - evaluateDim(size, sizes);
      if (span < 0)
        throw new Error(`dropout site ${name} is larger than the pools, made for ${JSON.stringify(largest)}`);
      const offset = seededRandom(seed, 'dropout offset', ...draw, name).integer(span + 1);
      data[position * plan.sites.length + site] = BigInt(offset);
    });
  });
  return { [OFFSETS_INPUT]: tensor('int64', [batches.length, plan.sites.length], data) };
}

const isList = (sizes: DimBindings | readonly DimBindings[]): sizes is readonly DimBindings[] =>
  Array.isArray(sizes);

/** With this many elements, the share of zeros in a pool is within 0.004 of the rate (3 sigma at rate 0.1). */
const MIN_POOL_LENGTH = 1 << 16;

/**
 * Elements of each pool: four times the largest window, so that different steps and sites rarely get the same window.
 */
export function poolLength(plan: DropoutPlan, largest: DimBindings): number {
  return Math.max(MIN_POOL_LENGTH, ...plan.sites.map(({ size }) => 4 * evaluateDim(size, largest)));
}
