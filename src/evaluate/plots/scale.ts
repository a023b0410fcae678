/** @file Scales: from values to places, with ticks at round values. */

/** Maps values to user units. */
export interface Scale {
  readonly at: (value: number) => number;
  /** Round values inside the domain, ascending. */
  readonly ticks: readonly number[];
  readonly domain: readonly [low: number, high: number];
  readonly range: readonly [start: number, end: number];
}

/** Multiples of a step of 1, 2 or 5 times a power of ten: the finest step with at most `most` of them in [low, high]. */
export function niceTicks(low: number, high: number, most: number): number[] {
  if (!(high > low)) return [low];
  const { tick, first, last } = finestStep((high - low) / most, most, (step) => [
    Math.ceil(low / step - SLACK),
    Math.floor(high / step + SLACK),
  ]);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => tick(first + i));
}

/** How far, in steps, a bound may miss a tick by rounding. */
const SLACK = 1e-9;

/** The finest step with at most `most` ticks between the multiples that `ends` gives, which are counted in steps. */
function finestStep(
  start: number,
  most: number,
  ends: (step: number) => readonly [first: number, last: number],
): { readonly tick: (k: number) => number; readonly first: number; readonly last: number } {
  for (let power = Math.floor(Math.log10(start)); ; power++) {
    for (const factor of [1, 2, 5]) {
      // Divided where the step is a fraction: 3 / 10 is 0.3, 3 * 0.1 is not. The sum makes 0 of -0.
      const tick = (k: number): number =>
        (power < 0 ? (k * factor) / 10 ** -power : k * factor * 10 ** power) + 0;
      const [first, last] = ends(tick(1));
      if (last - first + 1 <= most) return { tick, first, last };
    }
  }
}

/** A linear scale over exactly the domain; a domain without width puts every value in the middle. */
export function linearScale(
  domain: readonly [low: number, high: number],
  range: readonly [start: number, end: number],
  mostTicks = 6,
): Scale {
  const [low, high] = domain;
  const [start, end] = range;
  const at = (value: number): number =>
    high === low ? (start + end) / 2 : start + ((value - low) / (high - low)) * (end - start);
  return { at, ticks: niceTicks(low, high, mostTicks), domain, range };
}

/** A logarithmic scale over exactly the domain, both ends positive. Ticks at 1, 2 and 5 times powers of ten. */
export function logScale(
  domain: readonly [low: number, high: number],
  range: readonly [start: number, end: number],
  mostTicks = 6,
): Scale {
  const [low, high] = domain;
  const linear = linearScale([Math.log10(low), Math.log10(high)], range);
  const powers = Array.from(
    { length: Math.ceil(linear.domain[1]) - Math.floor(linear.domain[0]) + 1 },
    (_, i) => Math.floor(linear.domain[0]) + i,
  );
  const inside = (factors: readonly number[], every = 1): number[] =>
    powers
      .filter((_, i) => i % every === 0)
      .flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
      .filter((tick) => tick >= low && tick <= high);
  const choices = [inside([1, 2, 5]), inside([1, 3]), ...powers.map((_, i) => inside([1], i + 1))];
  const ticks = choices.find((choice) => choice.length <= mostTicks) ?? [];
  return { at: (value) => linear.at(Math.log10(value)), ticks, domain, range };
}

/** A linear scale over the least domain that holds the values and ends at ticks, of which there are at most `mostTicks`. */
export function niceScale(
  values: readonly number[],
  range: readonly [start: number, end: number],
  mostTicks = 6,
): Scale {
  let [low, high] = extentOf(values);
  if (low === high) {
    const room = low === 0 ? 1 : Math.abs(low) / 10;
    [low, high] = [low - room, high + room];
  }
  const { tick, first, last } = finestStep((high - low) / mostTicks, mostTicks, (step) => [
    Math.floor(low / step + SLACK),
    Math.ceil(high / step - SLACK),
  ]);
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => tick(first + i));
  return { ...linearScale([ticks[0]!, ticks.at(-1)!], range), ticks };
}

/** The same for percentages: the domain leaves [0, 100] only where a value does. */
export function percentScale(
  values: readonly number[],
  range: readonly [start: number, end: number],
  mostTicks = 6,
): Scale {
  const { ticks } = niceScale(values, range, mostTicks);
  const [least, largest] = extentOf(values);
  const kept = ticks.filter((tick) => (least < 0 || tick >= 0) && (largest > 100 || tick <= 100));
  return { ...linearScale([kept[0]!, kept.at(-1)!], range), ticks: kept };
}

/** Least and largest of the finite values; [0, 1] where there are none. */
export function extentOf(values: readonly number[]): [low: number, high: number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/** A tick's label: 12,000, 0.25, 1e-5. */
export function tickText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) {
    return Number(value.toPrecision(6)).toExponential().replace('e+', 'e');
  }
  return value.toLocaleString('en-US', { maximumFractionDigits: 6 });
}

/** A whole number with separators of thousands. */
export function countText(value: number): string {
  return value.toLocaleString('en-US');
}
