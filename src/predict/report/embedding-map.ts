/** @file The map of the embeddings e'_q that a report shows: the layouts of its runs, side by side. */

import { LEAST_UMAP_POINTS } from '../../evaluate/index.js';
import type { EmbeddingMap } from '../../evaluate/report/index.js';
import type { GatherControl, ReadRuns } from './evaluated-runs.js';
import { type Layout, layoutsOf, MAP_SETTINGS, rounded } from './map-layouts.js';

/**
 * The map of all utterances, or why there is none. Every fold and seed has a model of its own, whose space has nothing to
 * do with another's: each is laid out by itself, and the maps are put side by side. Progress is in utterances.
 * @throws the reason of `signal` when it is aborted
 */
export async function embeddingMap(
  parts: readonly ReadRuns[],
  { onProgress, onWarning, signal }: GatherControl,
): Promise<EmbeddingMap | { readonly missing: string }> {
  const maps: { readonly part: ReadRuns; readonly layouts: readonly Layout[] }[] = [];
  const total = parts.reduce((sum, { rows }) => sum + rows.length, 0);
  let before = 0;
  for (const part of parts) {
    const layouts = await layoutsOf(part, {
      signal,
      onWarning,
      onProgress: (done) => onProgress?.(before + done, total),
    });
    if ('missing' in layouts) return { missing: `There is no map: ${layouts.missing}.` };
    maps.push({ part, layouts });
    before += part.rows.length;
  }
  const drawn = maps.flatMap(({ layouts }) => layouts).filter(({ points }) => points !== null);
  if (drawn.length === 0) {
    return { missing: `There is no map: it takes ${LEAST_UMAP_POINTS} utterances of a model or more.` };
  }
  const columns = Math.ceil(Math.sqrt(drawn.length));
  const points = maps.flatMap(({ part, layouts }) => {
    const placed = new Array<readonly [x: number, y: number] | null>(part.rows.length).fill(null);
    for (const [index, layout] of layouts.entries()) {
      if (layout.points === null) continue;
      const own = drawn.length === 1 ? layout.points : inCell(layout.points, drawn.indexOf(layout), columns);
      for (const [at, place] of part.parts[index]!.places.entries()) placed[place] = own[at]!;
    }
    return placed;
  });
  return { method: 'umap', settings: settingsText(drawn, parts), points };
}

/** How much of a cell's width its map takes. */
const CELL_SHARE = 0.9;

/** A map scaled into its cell of the grid, in which the first is at the upper left. */
function inCell(
  points: readonly (readonly [number, number])[],
  cell: number,
  columns: number,
): [number, number][] {
  const ends = ([0, 1] as const).map((axis) => {
    const values = points.map((point) => point[axis]);
    return { low: values.reduce((a, b) => Math.min(a, b)), high: values.reduce((a, b) => Math.max(a, b)) };
  });
  const span = Math.max(...ends.map(({ low, high }) => high - low));
  const scale = span > 0 ? CELL_SHARE / span : 0;
  const origin = [cell % columns, -Math.floor(cell / columns)];
  return points.map(
    (point) =>
      ([0, 1] as const).map((axis) =>
        rounded(origin[axis]! + scale * (point[axis] - (ends[axis]!.low + ends[axis]!.high) / 2)),
      ) as [number, number],
  );
}

function settingsText(drawn: readonly Layout[], parts: readonly ReadRuns[]): string {
  const list = (values: readonly number[]): string => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    return least === most ? String(least) : `${least} to ${most}`;
  };
  const percent = list(drawn.map(({ variance_share }) => Math.floor(1000 * variance_share) / 10));
  const settings = [
    `${list(drawn.map(({ neighbours }) => neighbours))} neighbours by cosine distance`,
    `in the ${list(drawn.map(({ components }) => components))} widest principal components (${percent}% of the variance)`,
    `least distance ${MAP_SETTINGS.minDistance}`,
    `${list(drawn.map(({ epochs }) => epochs))} epochs`,
    `seed ${MAP_SETTINGS.seed}`,
  ].join(', ');
  if (drawn.length === 1) return settings;
  const of = [...(parts.length > 1 ? ['seed'] : []), ...(parts[0]!.byFold ? ['fold'] : [])].join(' and ');
  return `${settings}; each ${of} has a model and a space of its own: ${drawn.length} maps side by side, the first at the upper left`;
}
