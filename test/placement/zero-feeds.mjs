/** @file Feeds for a model of which only its inputs are known: zeros, with masks of ones and the sizes of a batch. */

/** Sizes for a look at a model of toy size. */
export const DEFAULT_SIZES = {
  batch: 8,
  frames: 40,
  text: 12,
  prompt: 16,
  answers: 8,
  sites: 64,
  pool: 1 << 20,
};

/**
 * @param Tensor onnxruntime's class
 * @param inputs metadata of a session's inputs
 * @param sizes by symbol; of `x_padded` that of x, of "a*b" the product
 * @throws Error naming the symbol that has no size
 */
export function zeroFeeds(Tensor, inputs, sizes) {
  return Object.fromEntries(
    inputs.map(({ name, type, shape }) => {
      const dims = shape.map((dim) => (typeof dim === 'number' ? dim : sizeOf(dim, name, sizes)));
      const length = dims.reduce((product, dim) => product * dim, 1);
      return [
        name,
        new Tensor(type === 'float16' ? 'float16' : type, valuesOf(name, type, length, sizes), dims),
      ];
    }),
  );
}

function sizeOf(symbol, input, sizes) {
  const factors = symbol.split('*').map((factor) => {
    const name = factor.trim().replace(/_padded$/, '');
    return /^\d+$/.test(name) ? Number(name) : sizes[name];
  });
  if (factors.includes(undefined)) {
    throw new Error(`input ${input} has an axis of size ${symbol}: say how long with --size ${symbol}=N`);
  }
  return factors.reduce((product, factor) => product * factor, 1);
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

function valuesOf(name, type, length, sizes) {
  if (type !== 'int64') {
    const Values = ARRAYS[type];
    if (Values === undefined)
      throw new Error(`input ${name} is of type ${type}, for which there are no feeds`);
    return new Values(length);
  }
  const values = new BigInt64Array(length);
  const own = sizes[/^(.*)_size$/.exec(name)?.[1]];
  if (own !== undefined) values.fill(BigInt(own));
  else if (name.includes('mask') || name === 'micro_batches') values.fill(1n);
  return values;
}
