/** @file "Did you mean": suggests known names close to a misspelt one. */

/**
 * The known names nearest to `name` by edits (insert, delete, replace, swap neighbours), best first. Names that need
 * more than a third of the letters changed are left out.
 */
export function nearNames(name: string, known: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  return known
    .map((candidate) => ({ candidate, edits: editDistance(wanted, candidate.toLowerCase()) }))
    .filter(
      ({ candidate, edits }) =>
        edits <= Math.max(1, Math.floor(Math.max(candidate.length, wanted.length) / 3)),
    )
    .sort((a, b) => a.edits - b.edits)
    .map(({ candidate }) => candidate);
}

/** `; did you mean x?` for the nearest known name, or an empty string. */
export function didYouMean(name: string, known: readonly string[]): string {
  const nearest = nearNames(name, known)[0];
  return nearest === undefined ? '' : `; did you mean ${nearest}?`;
}

/** Optimal string alignment distance. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(replace, previous[j]! + 1, current[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, beforePrevious[j - 2]! + 1);
      }
      current.push(best);
    }
    [beforePrevious, previous] = [previous, current];
  }
  return previous[b.length]!;
}
