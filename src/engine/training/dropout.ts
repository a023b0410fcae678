/**
 * @file Dropout whose masks depend only on (seed, step, site), so that a resumed run draws the same masks as an
 * uninterrupted one, on any device. A pool of ready-made factors (0 or 1 / (1 - rate)) is uploaded with each run; each
 * site at each step multiplies by a window of it, whose first row is drawn from seed, step and site. With gradient
 * accumulation, each micro-batch draws its own.
 */

import {
  add,
  addDims,
  addInput,
  type Dim,
  type DimBindings,
  deviceRange,
  div,
  evaluateDim,
  floorDivideDim,
  type Graph,
  gather,
  hostColumn,
  hostTable,
  mul,
  multiplyDims,
  productOfDims,
  reshape,
  reshapeLike,
  sameShape,
  scalar,
  sizeOf,
  sliceTo,
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
export const WINDOWS_INPUT = 'dropout_windows';

/** Factors in a row of a pool. Windows consist of whole rows, which are copied at the speed of memory. */
const ROW = 64;
/** Sites in a column of the table of windows, whose height then does not depend on the number of sites. */
const SITES = 32;

/** Builds dropout into a Loop body. The plan is complete once the model is built. */
export interface DropoutBuilder {
  readonly apply: (x: Value, rate: number, site: string) => Value;
  readonly plan: DropoutPlan;
}

/**
 * @param root the graph around the loop; gets the inputs `dropout_pool_<rate>` float32 [pool, 64] and
 *   `dropout_windows` int64 [1 + 32, site_columns, ...columns] once a site asks for dropout
 * @param columns axes of the stacked batches: K, or with gradient accumulation the micro-batches of a step and K
 * @param pick picks the current batch's part of a table of the host
 */
export function createDropout(
  root: Graph,
  columns: readonly Dim[],
  pick: (table: Value) => Value,
): DropoutBuilder {
  const sites: DropoutSite[] = [];
  const rates: number[] = [];
  const pools = new Map<number, Value>();
  const lengths = new Map<Dim, Value>();
  let table: Value | undefined; // [1 + 32, site_columns] of the current batch
  const windows: Value[] = []; // its columns: first rows of the windows of 32 sites, after a 0
  return {
    plan: { rates, sites },
    apply(x, rate, name) {
      if (rate === 0) return x;
      if (!pools.has(rate)) {
        pools.set(rate, addInput(root, poolInputName(rate), 'float32', ['pool', ROW]));
        rates.push(rate);
      }
      // Two sites with the same name would draw the same mask.
      if (sites.some((site) => site.name === name)) throw new Error(`two dropout sites are called ${name}`);
      const size = productOfDims(x.shape);
      const position = sites.push({ name, size }) - 1;
      return withScope(x.graph, 'dropout', () => {
        const shape = [1 + SITES, 'site_columns', ...columns];
        table ??= pick(hostTable(addInput(root, WINDOWS_INPUT, 'int64', shape)));
        const column = Math.floor(position / SITES);
        windows[column] ??= hostColumn(table, scalar(x.graph, column, 'int64'));
        const length = lengths.get(size) ?? sizeInAll(x);
        lengths.set(size, length);
        const first = gather(windows[column]!, scalar(x.graph, 1 + (position % SITES), 'int64'), 0);
        const rows = deviceRange(first, add(first, div(add(length, ROW - 1), ROW)), rowsOf(size));
        const window = reshape(gather(pools.get(rate)!, rows, 0), [multiplyDims(rowsOf(size), ROW)]);
        const factors = sameShape(window.shape, [size])
          ? window
          : sliceTo(window, [0], unsqueeze(length, [0]), [size]);
        return mul(x, reshapeLike(factors, x));
      });
    },
  };
}

/** Rows that hold `size` factors. */
function rowsOf(size: Dim): Dim {
  return floorDivideDim(addDims(size, ROW - 1), ROW);
}

/** Number of elements at run time: int64 scalar. */
function sizeInAll(x: Value): Value {
  return x.shape
    .map((_, axis) => sizeOf(x, axis))
    .reduce((product, size) => mul(product, size), scalar(x.graph, 1, 'int64'));
}

/** The pools as feeds, made once per run. `largest` bounds every symbol of all batches. */
export function dropoutPools(plan: DropoutPlan, seed: number, largest: DimBindings): Record<string, Tensor> {
  const length = poolLength(plan, largest);
  return Object.fromEntries(
    plan.rates.map((rate) => {
      const random = seededRandom(seed, 'dropout pool', rate);
      const factors = new Float32Array(length);
      for (let i = 0; i < length; i++) factors[i] = random.uniform() < rate ? 0 : 1 / (1 - rate);
      return [poolInputName(rate), tensor('float32', [length / ROW, ROW], factors)];
    }),
  );
}

/**
 * The windows of K steps, from seed, global step and site name: int64 [1 + 32, site columns, K], the first row of the
 * pool that each site reads, for 32 sites in a column after a 0.
 * @param steps the sizes of each step's batch, or of its micro-batches; each micro-batch then also draws by its index,
 *   and the result is [1 + 32, site columns, micro-batches of the longest step, K]
 * @throws Error when a batch exceeds `largest`, the sizes that the pools were made for
 */
export function dropoutWindows(
  plan: DropoutPlan,
  seed: number,
  firstStep: number,
  steps: readonly (DimBindings | readonly DimBindings[])[],
  largest: DimBindings,
): Record<string, Tensor> {
  if (plan.sites.length === 0) return {};
  const length = poolLength(plan, largest);
  const cut = steps.some(isList);
  const parts = Math.max(...steps.map((sizes) => (isList(sizes) ? sizes.length : 1)));
  const columns = siteColumns(plan);
  const windows = tensor('int64', [1 + SITES, columns, ...(cut ? [parts] : []), steps.length]);
  steps.forEach((given, k) => {
    (isList(given) ? given : [given]).forEach((sizes, number) => {
      const draw = cut ? [firstStep + k, number] : [firstStep + k];
      plan.sites.forEach(({ name, size }, site) => {
        const span = length - ROW * Math.ceil(evaluateDim(size, sizes) / ROW);
        if (span < 0)
          throw new Error(
            `dropout site ${name} is larger than the pools, made for ${JSON.stringify(largest)}`,
          );
        const first = seededRandom(seed, 'dropout window', ...draw, name).integer(span / ROW + 1);
        const [row, column] = [1 + (site % SITES), Math.floor(site / SITES)];
        windows.data[((row * columns + column) * parts + number) * steps.length + k] = BigInt(first);
      });
    });
  });
  return { [WINDOWS_INPUT]: windows };
}

/** Feeds of a run that trains nothing, in place of pools and windows. */
export function noDropoutFeeds(plan: DropoutPlan, micro = false): Record<string, Tensor> {
  if (plan.sites.length === 0) return {};
  const pools = plan.rates.map((rate) => [poolInputName(rate), tensor('float32', [1, ROW])] as const);
  const windows = tensor('int64', [1 + SITES, siteColumns(plan), ...(micro ? [1, 0] : [0])]);
  return { ...Object.fromEntries(pools), [WINDOWS_INPUT]: windows };
}

/** Columns of the windows of a batch, the size of its symbol. */
export function siteColumns({ sites }: DropoutPlan): number {
  return Math.ceil(sites.length / SITES);
}

const isList = (sizes: DimBindings | readonly DimBindings[]): sizes is readonly DimBindings[] =>
  Array.isArray(sizes);

/** With this many elements, the share of zeros in a pool is within 0.004 of the rate (3 sigma at rate 0.1). */
const MIN_POOL_LENGTH = 1 << 16;

/**
 * Elements of each pool: four times the largest window, so that different steps and sites rarely get the same window.
 */
export function poolLength(plan: DropoutPlan, largest: DimBindings): number {
  const wanted = Math.max(MIN_POOL_LENGTH, ...plan.sites.map(({ size }) => 4 * evaluateDim(size, largest)));
  return ROW * Math.ceil(wanted / ROW);
}

/** Rows of each pool, the size of its symbol. */
export function poolRows(plan: DropoutPlan, largest: DimBindings): number {
  return poolLength(plan, largest) / ROW;
}
