/** @file Thousands of steps as a few hundred points that hide no outlier. */

/** Some points in a row as one: their mean, and between what they lie. */
export interface ThinnedPoint {
  readonly x: number;
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Cuts the x axis into at most `most` equal parts and gives each part's mean x, mean y, least and largest y. Points that
 * are fewer than that stay as they are. Points that are not finite are left out.
 * @param points ascending in x
 */
export function thin(
  points: readonly { readonly x: number; readonly y: number }[],
  most: number,
): ThinnedPoint[] {
  const finite = points.filter(({ y }) => Number.isFinite(y));
  if (finite.length <= most) return finite.map(({ x, y }) => ({ x, mean: y, low: y, high: y }));
  const [first, last] = [finite[0]!.x, finite.at(-1)!.x];
  const thinned: ThinnedPoint[] = [];
  for (let start = 0; start < finite.length; ) {
    const part = Math.min(most - 1, Math.floor(((finite[start]!.x - first) / (last - first)) * most));
    const limit = part === most - 1 ? Infinity : first + ((part + 1) / most) * (last - first);
    let end = start;
    let [sumX, sumY, low, high] = [0, 0, Infinity, -Infinity];
    while (end < finite.length && (end === start || finite[end]!.x < limit)) {
      const { x, y } = finite[end]!;
      [sumX, sumY, low, high] = [sumX + x, sumY + y, Math.min(low, y), Math.max(high, y)];
      end++;
    }
    thinned.push({ x: sumX / (end - start), mean: sumY / (end - start), low, high });
    start = end;
  }
  return thinned;
}
