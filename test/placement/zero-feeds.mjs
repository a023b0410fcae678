/** @file Feeds for a model of which only its inputs are known: zeros, with masks of ones and the sizes of a batch. */

/** Sizes for a look at a model of toy size. `pool` is the rows of the pool of dropout factors, of 64 each. */
export const DEFAULT_SIZES = {
  batch: 8,
  frames: 40,
  text: 12,
  prompt: 16,
  answers: 8,
  site_columns: 8,
  pool: 1 << 14,
  micro_columns: 1,
};

/**
 * @param Tensor onnxruntime's class
 * @param inputs metadata of a session's inputs
 * @param sizes by symbol; of `x_padded` and of an evaluation's `evaluated_x` that of x. Nothing is evaluated in a run
 *   that trains
 * @throws Error naming the symbol that has no size
 */
export function zeroFeeds(Tensor, inputs, sizes) {
  return Object.fromEntries(
    inputs.map(({ name, type, shape }) => {
      const dims = shape.map((dim) => (typeof dim === 'number' ? dim : sizeOf(dim, name, sizes)));
      const length = dims.reduce((product, dim) => product * dim, 1);
      const values = name === 'batch_sizes' ? batchSizes(inputs, dims, sizes) : valuesOf(name, type, length);
      return [name, new Tensor(type, values, dims)];
    }),
  );
}

function sizeOf(symbol, input, sizes) {
  if (symbol === 'evaluated') return 0;
  const size = sizes[ownSymbol(symbol)];
  if (size === undefined)
    throw new Error(`input ${input} has an axis of size ${symbol}: say how long with --size ${symbol}=N`);
  return size;
}

const ownSymbol = (symbol) => symbol.replace(/^evaluated_/, '').replace(/_padded$/, '');

/** The sizes of each batch, below a 0: of every symbol of the stacked inputs, in the order of their appearance. */
function batchSizes(inputs, [rows, ...columns], sizes) {
  const stacked = inputs.filter(({ name }) => !name.startsWith('evaluation/')).flatMap(({ shape }) => shape);
  const padded = stacked.filter((dim) => typeof dim === 'string' && dim.endsWith('_padded'));
  const symbols = [...new Set(padded.map(ownSymbol))];
  if (symbols.length + 1 !== rows)
    throw new Error(`batch_sizes has ${rows} rows, for ${symbols.join(', ')} and a 0`);
  const perRow = columns.reduce((product, size) => product * size, 1);
  return BigInt64Array.from(
    [0, ...symbols.map((symbol) => sizes[symbol])].flatMap((size) => Array(perRow).fill(size)),
    BigInt,
  );
}

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int32: Int32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  bool: Uint8Array,
};

function valuesOf(name, type, length) {
  if (type !== 'int64') {
    const Values = ARRAYS[type];
    if (Values === undefined)
      throw new Error(`input ${name} is of type ${type}, for which there are no feeds`);
    return new Values(length);
  }
  const values = new BigInt64Array(length);
  if (name.includes('mask') || name === 'micro_batches') values.fill(1n);
  return values;
}
