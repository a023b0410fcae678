/**
 * @file Symbolic dimensions. A dimension is a number, or a polynomial over named sizes with integer coefficients,
 * stored as canonical text ("L + 32", "8*L*N"), so that equal sizes have equal texts.
 */

/** One axis of a shape: a fixed size, or a canonical symbolic expression such as `batch` or `text + 32`. */
export type Dim = number | string;

/** The numbers that symbols stand for when a dimension is evaluated. */
export type DimBindings = Readonly<Record<string, number>>;

/** monomial (symbols joined by TIMES, sorted; '' for the constant) -> coefficient */
type Polynomial = ReadonlyMap<string, number>;

/** Joins symbols inside a monomial. Not `*`, which may occur inside a quotient's own text. */
const TIMES = '\u00b7';

const polynomials = new Map<string, Polynomial>();
/** Symbols that are results of a division rather than free names, with how to compute them. */
const quotients = new Map<string, { dividend: Dim; divisor: number }>();

function polynomialOf(dim: Dim): Polynomial {
  if (typeof dim === 'number') return new Map(dim === 0 ? [] : [['', dim]]);
  const known = polynomials.get(dim);
  if (known !== undefined) return known;
  // Hand-written "2*L" or "32 + L" would be taken for a distinct symbol that equals nothing.
  if (!/^[A-Za-z_][\w.]*$/.test(dim) && !quotients.has(dim)) {
    throw new RangeError(
      `"${dim}" is not a plain name; build sizes with addDims, multiplyDims and floorDivideDim`,
    );
  }
  return new Map([[dim, 1]]);
}

function canonical(terms: Map<string, number>): Dim {
  const nonZero = [...terms].filter(([, coefficient]) => coefficient !== 0);
  if (nonZero.every(([monomial]) => monomial === '')) return nonZero[0]?.[1] ?? 0;
  nonZero.sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1));
  const text = nonZero
    .map(([monomial, coefficient], position) => {
      const magnitude = Math.abs(coefficient);
      const product = monomial.replaceAll(TIMES, '*');
      const body = monomial === '' ? `${magnitude}` : magnitude === 1 ? product : `${magnitude}*${product}`;
      const sign = coefficient < 0 ? (position === 0 ? '-' : ' - ') : position === 0 ? '' : ' + ';
      return sign + body;
    })
    .join('');
  polynomials.set(text, new Map(nonZero));
  return text;
}

/** a + b. */
export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  const sum = new Map(polynomialOf(a));
  for (const [monomial, coefficient] of polynomialOf(b))
    sum.set(monomial, (sum.get(monomial) ?? 0) + coefficient);
  return canonical(sum);
}

/** a * b. */
export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  const product = new Map<string, number>();
  for (const [monomialA, coefficientA] of polynomialOf(a)) {
    for (const [monomialB, coefficientB] of polynomialOf(b)) {
      const factors = [...monomialA.split(TIMES), ...monomialB.split(TIMES)]
        .filter((factor) => factor !== '')
        .sort();
      const monomial = factors.join(TIMES);
      product.set(monomial, (product.get(monomial) ?? 0) + coefficientA * coefficientB);
    }
  }
  return canonical(product);
}

/** Product of all axes: the element count. */
export function productOfDims(dims: readonly Dim[]): Dim {
  return dims.reduce<Dim>(multiplyDims, 1);
}

/** floor(a / divisor). Exact if every coefficient divides, otherwise a new symbol that records the division. */
export function floorDivideDim(dividend: Dim, divisor: number): Dim {
  if (typeof dividend === 'number') return Math.floor(dividend / divisor);
  if (divisor === 1) return dividend;
  const terms = polynomialOf(dividend);
  if ([...terms.values()].every((coefficient) => coefficient % divisor === 0)) {
    return canonical(new Map([...terms].map(([monomial, coefficient]) => [monomial, coefficient / divisor])));
  }
  const symbol = `floor((${dividend})/${divisor})`;
  quotients.set(symbol, { dividend, divisor });
  return symbol;
}

/** The numeric value of a dimension. @throws RangeError when a symbol has no binding. */
export function evaluateDim(dim: Dim, bindings: DimBindings): number {
  let total = 0;
  for (const [monomial, coefficient] of polynomialOf(dim)) {
    let term = coefficient;
    for (const symbol of monomial === '' ? [] : monomial.split(TIMES))
      term *= evaluateSymbol(symbol, bindings);
    total += term;
  }
  return total;
}

function evaluateSymbol(symbol: string, bindings: DimBindings): number {
  const bound = bindings[symbol];
  if (bound !== undefined) return bound;
  const quotient = quotients.get(symbol);
  if (quotient === undefined) throw new RangeError(`dimension ${symbol} has no value`);
  return Math.floor(evaluateDim(quotient.dividend, bindings) / quotient.divisor);
}

/** NumPy broadcasting of two shapes. Symbols must be textually equal, or one side literally 1. @throws RangeError */
export function broadcastShapes(a: readonly Dim[], b: readonly Dim[]): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const left = a[axis - rank + a.length] ?? 1;
    const right = b[axis - rank + b.length] ?? 1;
    if (left === right || right === 1) return left;
    if (left === 1) return right;
    throw new RangeError(`shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast at axis ${axis}`);
  });
}

/** "[8, L + 32, 768]". */
export function formatShape(shape: readonly Dim[]): string {
  return `[${shape.join(', ')}]`;
}

/** True if both shapes have the same axes. */
export function sameShape(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}
