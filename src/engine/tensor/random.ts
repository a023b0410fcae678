/**
 * @file Seeded random numbers, identical on every platform: xoshiro128** (Blackman and Vigna, 2018), seeded by
 * splitmix32 from strings or numbers.
 */

/** A seeded generator. Every draw advances it. */
export interface Random {
  /** 32 random bits as an unsigned integer. */
  uint32(): number;
  /** Uniform in [0, 1), 24 bits of resolution (exact in float32). */
  uniform(): number;
  /** Standard normal (Box-Muller). */
  normal(): number;
  /** Uniform integer in [0, bound). */
  integer(bound: number): number;
  /** One element of a non-empty list. */
  pick<T>(items: readonly T[]): T;
  /** Fisher-Yates shuffle, in place; returns the list. */
  shuffle<T>(items: T[]): T[];
}

/**
 * A generator whose stream depends on every part of the seed: `seededRandom(7, 'dropout', step)` and
 * `seededRandom(7, 'order', step)` are independent.
 */
export function seededRandom(...seed: readonly (number | string)[]): Random {
  let hash = fnv1a(seed.join('\u0000'));
  const splitmix = (): number => {
    hash = (hash + 0x9e3779b9) | 0;
    let z = hash;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let [a, b, c, d] = [splitmix(), splitmix(), splitmix(), splitmix()];
  let spareNormal: number | undefined;

  const uint32 = (): number => {
    const product = Math.imul(b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result;
  };
  const uniform = (): number => (uint32() >>> 8) / 0x1000000;
  const integer = (bound: number): number => Math.floor(uniform() * bound);
  const normal = (): number => {
    if (spareNormal !== undefined) {
      const value = spareNormal;
      spareNormal = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform())); // 1 - u is in (0, 1]
    const angle = 2 * Math.PI * uniform();
    spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
  return {
    uint32,
    uniform,
    normal,
    integer,
    pick: (items) => items[integer(items.length)]!,
    shuffle(items) {
      for (let i = items.length - 1; i > 0; i--) {
        const j = integer(i + 1);
        [items[i], items[j]] = [items[j]!, items[i]!];
      }
      return items;
    },
  };
}

/** A float32 array of normal draws with the given standard deviation. */
export function normalArray(random: Random, length: number, standardDeviation: number): Float32Array {
  const values = new Float32Array(length);
  for (let i = 0; i < length; i++) values[i] = random.normal() * standardDeviation;
  return values;
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}
