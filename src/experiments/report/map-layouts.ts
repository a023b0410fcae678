/** @file The layouts of a predictions file's embeddings, kept in map.json so that a second report is quick. */

import { dirname, join } from 'node:path';
import { z } from 'zod';
import {
  errorMessage,
  InputError,
  pathExists,
  readJson,
  sha256OfFile,
  writeFileAtomic,
} from '../../base/index.js';
import {
  type Embeddings,
  embeddingsPath,
  LEAST_UMAP_POINTS,
  type Missing,
  readEmbeddings,
  type UmapProgress,
  umapInThread,
} from '../../evaluation/index.js';
import type { EmbeddingMap } from '../../report/index.js';
import { systemOf } from '../../systems/index.js';
import type { GatherControl, ReadRuns } from './evaluated-runs.js';

/** UMAP's own defaults. */
export const MAP_SETTINGS = { neighbours: 15, minDistance: 0.1, seed: 0 } as const;

const layoutSchema = z.object({
  fold: z.string().nullable(),
  neighbours: z.number(),
  epochs: z.number(),
  components: z.number(),
  variance_share: z.number(),
  /** Of the fold's utterances, in the order of predictions.csv; null where they are too few for a map. */
  points: z.array(z.tuple([z.number(), z.number()])).nullable(),
});

const fileSchema = z.object({
  format: z.literal('emoq-map'),
  version: z.literal(1),
  embeddings_sha256: z.string(),
  neighbours: z.literal(MAP_SETTINGS.neighbours),
  min_distance: z.literal(MAP_SETTINGS.minDistance),
  seed: z.literal(MAP_SETTINGS.seed),
  layouts: z.array(layoutSchema),
});

/** Where the utterances of a fold, or of a run, lie. */
export type Layout = z.infer<typeof layoutSchema>;

interface Layouts {
  readonly kind: 'layouts';
  readonly layouts: readonly Layout[];
}

function missing(reason: string): Missing {
  return { kind: 'missing', reason };
}

/** Where the map of a predictions file is kept. */
function mapPath(predictionsPath: string): string {
  return join(dirname(predictionsPath), 'map.json');
}

/**
 * The layouts of one predictions file, a layout for each of its parts: those of map.json where they are of these
 * embeddings, else new ones.
 * @throws the reason of `signal` when it is aborted
 */
export async function layoutsOf(
  part: ReadRuns,
  { onProgress, onWarning, signal }: GatherControl,
): Promise<Layouts | Missing> {
  const { predictions } = part.folder;
  const embeddings = await readEmbeddings(predictions).catch((error: unknown) => {
    if (error instanceof InputError) return missing(errorMessage(error));
    throw error;
  });
  if (embeddings.kind === 'missing') {
    const none = systemOf(part.recipe).missingEmbedding(part.recipe, part.metadata[0]!.phase);
    return none === undefined ? embeddings : missing(none);
  }
  if (embeddings.rows !== part.rows.length) {
    const [rows, utterances] = [embeddings.rows, part.rows.length];
    return missing(`${embeddingsPath(predictions)} has ${rows} rows for ${utterances} utterances`);
  }
  if (!embeddings.data.every(Number.isFinite)) {
    return missing(`${embeddingsPath(predictions)} holds values that are no numbers`);
  }
  const sha256 = await sha256OfFile(embeddingsPath(predictions));
  const kept = await keptLayouts(part, sha256);
  if (kept !== undefined) return { kind: 'layouts', layouts: kept };

  const layouts: Layout[] = [];
  let before = 0;
  for (const { fold, places } of part.parts) {
    layouts.push(
      await layoutOf(fold, rowsOf(embeddings, places), embeddings.width, {
        signal,
        onProgress: (share) => onProgress?.(before + share * places.length, part.rows.length),
      }),
    );
    before += places.length;
  }
  // The run's folder may be read-only; the page may be written elsewhere.
  await writeFileAtomic(
    mapPath(predictions),
    `${JSON.stringify({
      format: 'emoq-map',
      version: 1,
      embeddings_sha256: sha256,
      neighbours: MAP_SETTINGS.neighbours,
      min_distance: MAP_SETTINGS.minDistance,
      seed: MAP_SETTINGS.seed,
      layouts,
    } satisfies z.infer<typeof fileSchema>)}\n`,
  ).catch((error: unknown) => {
    onWarning?.(`the map is not kept for the next report: ${errorMessage(error)}`);
  });
  return { kind: 'layouts', layouts };
}

/** What map.json holds, where it is of these embeddings; a damaged one is made again. */
async function keptLayouts({ folder, parts }: ReadRuns, sha256: string): Promise<Layout[] | undefined> {
  const path = mapPath(folder.predictions);
  if (!(await pathExists(path))) return undefined;
  const kept = fileSchema.safeParse(await readJson(path).catch(() => undefined)).data;
  const fits =
    kept?.embeddings_sha256 === sha256 &&
    kept.layouts.length === parts.length &&
    kept.layouts.every(({ points }, i) => points === null || points.length === parts[i]!.places.length);
  return fits ? kept.layouts : undefined;
}

async function layoutOf(
  fold: string | null,
  vectors: Float32Array,
  width: number,
  { onProgress, signal }: { onProgress: UmapProgress; signal: AbortSignal | undefined },
): Promise<Layout> {
  if (vectors.length / width < LEAST_UMAP_POINTS) {
    return { fold, neighbours: 0, epochs: 0, components: 0, variance_share: 0, points: null };
  }
  const layout = await umapInThread({ vectors, width, settings: MAP_SETTINGS }, { onProgress, signal });
  const { coordinates, neighbours, epochs, components, varianceShare } = layout;
  const points = Array.from({ length: coordinates.length / 2 }, (_, row): [number, number] => [
    rounded(coordinates[2 * row]!),
    rounded(coordinates[2 * row + 1]!),
  ]);
  return { fold, neighbours, epochs, components, variance_share: rounded(varianceShare), points };
}

function rowsOf({ data, width }: Embeddings, places: readonly number[]): Float32Array {
  const rows = new Float32Array(places.length * width);
  for (const [row, place] of places.entries()) {
    rows.set(data.subarray(place * width, (place + 1) * width), row * width);
  }
  return rows;
}

/** Finer than a pixel. */
export function rounded(value: number): number {
  return Number(value.toFixed(4));
}

/**
 * The map of all utterances, or why there is none. Every fold and seed has a model of its own, whose space has nothing to
 * do with another's: each is laid out by itself, and the maps are put side by side. Progress is in utterances.
 * @throws the reason of `signal` when it is aborted
 */
export async function embeddingMap(
  parts: readonly ReadRuns[],
  { onProgress, onWarning, signal }: GatherControl,
): Promise<EmbeddingMap | Missing> {
  const maps: { readonly part: ReadRuns; readonly layouts: readonly Layout[] }[] = [];
  const total = parts.reduce((sum, { rows }) => sum + rows.length, 0);
  let before = 0;
  for (const part of parts) {
    const found = await layoutsOf(part, {
      signal,
      onWarning,
      onProgress: (done) => onProgress?.(before + done, total),
    });
    if (found.kind === 'missing') return missing(`There is no map: ${found.reason}.`);
    maps.push({ part, layouts: found.layouts });
    before += part.rows.length;
  }
  const drawn = maps.flatMap(({ layouts }) => layouts).filter(({ points }) => points !== null);
  if (drawn.length === 0) {
    return missing(`There is no map: it takes ${LEAST_UMAP_POINTS} utterances of a model or more.`);
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
  return { kind: 'map', method: 'umap', settings: settingsText(drawn, parts), points };
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
  const of = [...(parts.length > 1 ? ['seed'] : []), ...(parts[0]!.folds === undefined ? [] : ['fold'])].join(
    ' and ',
  );
  return `${settings}; each ${of} has a model and a space of its own: ${drawn.length} maps side by side, the first at the upper left`;
}
