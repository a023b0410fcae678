/** @file The fast Fourier transform of lengths that are powers of two (Cooley and Tukey, 1965), in place. */

/** Complex values as two arrays of one length. */
export interface Spectrum {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** Zeros. @param length a power of two */
export function emptySpectrum(length: number): Spectrum {
  return { re: new Float64Array(length), im: new Float64Array(length) };
}

/** The smallest power of two that is not below `length`. */
export function powerOfTwoFrom(length: number): number {
  let power = 1;
  while (power < length) power *= 2;
  return power;
}

/**
 * X_k = sum over t of x_t exp(-2 pi i k t / N), in place.
 * @throws RangeError when the length N is not a power of two
 */
export function transform({ re, im }: Spectrum): void {
  const length = re.length;
  if (powerOfTwoFrom(length) !== length) throw new RangeError(`${length} is not a power of two`);
  reverseBits(re, im);
  // A table, because rotating step by step would add up rounding errors.
  const cosines = new Float64Array(length / 2);
  const sines = new Float64Array(length / 2);
  for (let k = 0; k < length / 2; k++) {
    cosines[k] = Math.cos((2 * Math.PI * k) / length);
    sines[k] = -Math.sin((2 * Math.PI * k) / length);
  }
  for (let half = 1; half < length; half *= 2) {
    const stride = length / (2 * half);
    for (let start = 0; start < length; start += 2 * half) {
      for (let k = 0; k < half; k++) {
        const [even, odd] = [start + k, start + k + half];
        const [c, s] = [cosines[k * stride]!, sines[k * stride]!];
        const real = re[odd]! * c - im[odd]! * s;
        const imaginary = re[odd]! * s + im[odd]! * c;
        re[odd] = re[even]! - real;
        im[odd] = im[even]! - imaginary;
        re[even] = re[even]! + real;
        im[even] = im[even]! + imaginary;
      }
    }
  }
}

/** The inverse: x_t = 1/N sum over k of X_k exp(2 pi i k t / N), in place. Real and imaginary parts change places. */
export function inverseTransform({ re, im }: Spectrum): void {
  transform({ re: im, im: re });
  for (let t = 0; t < re.length; t++) {
    re[t] = re[t]! / re.length;
    im[t] = im[t]! / re.length;
  }
}

/** Moves each value to the place whose index has the bits of its own in reverse. */
function reverseBits(re: Float64Array, im: Float64Array): void {
  for (let from = 1, to = 0; from < re.length; from++) {
    let bit = re.length >> 1;
    for (; (to & bit) !== 0; bit >>= 1) to ^= bit;
    to ^= bit;
    if (from >= to) continue;
    [re[from], re[to]] = [re[to]!, re[from]!];
    [im[from], im[to]] = [im[to]!, im[from]!];
  }
}
