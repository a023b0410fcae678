/** @file Computes 2-D layouts of a predictions file's embeddings, cached in map.json. */

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
  /** One point per utterance of the fold, in the order of predictions.csv; null if there are too few for a map. */
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

/** Positions of the utterances of a fold or a run. */
export type Layout = z.infer<typeof layoutSchema>;

interface Layouts {
  readonly kind: 'layouts';
  readonly layouts: readonly Layout[];
}

function missing(reason: string): Missing {
  return { kind: 'missing', reason };
}

/** Path of the cached map of a predictions file. */
function mapPath(predictionsPath: string): string {
  return join(dirname(predictionsPath), 'map.json');
}

/**
 * The layouts of one predictions file, one for each of its parts, from map.json if it matches these embeddings, else
 * computed.
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
    return missing(`${embeddingsPath(predictions)} contains values that are not numbers`);
  }
  const sha256 = await sha256OfFile(embeddingsPath(predictions));
  const kept = await keptLayouts(part, sha256);
  if (kept !== undefined) return { kind: 'layouts', layouts: kept };

  const layouts: Layout[] = [];
  let before = 0;
  for (const { fold, indices } of part.parts) {
    layouts.push(
      await layoutOf(fold, rowsOf(embeddings, indices), embeddings.width, {
        signal,
        onProgress: (share) => onProgress?.(before + share * indices.length, part.rows.length),
      }),
    );
    before += indices.length;
  }
  // The run's folder may be read-only, with the page written elsewhere.
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
    onWarning?.(`the map is not cached for the next report: ${errorMessage(error)}`);
  });
  return { kind: 'layouts', layouts };
}

/** The content of map.json if it matches these embeddings; a damaged one is recomputed. */
async function keptLayouts({ folder, parts }: ReadRuns, sha256: string): Promise<Layout[] | undefined> {
  const path = mapPath(folder.predictions);
  if (!(await pathExists(path))) return undefined;
  const kept = fileSchema.safeParse(await readJson(path).catch(() => undefined)).data;
  const fits =
    kept?.embeddings_sha256 === sha256 &&
    kept.layouts.length === parts.length &&
    kept.layouts.every(({ points }, i) => points === null || points.length === parts[i]!.indices.length);
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

function rowsOf({ data, width }: Embeddings, indices: readonly number[]): Float32Array {
  const rows = new Float32Array(indices.length * width);
  for (const [row, index] of indices.entries()) {
    rows.set(data.subarray(index * width, (index + 1) * width), row * width);
  }
  return rows;
}

/** Finer than a pixel. */
export function rounded(value: number): number {
  return Number(value.toFixed(4));
}

/**
 * The map of all utterances, or why there is none. Each fold and seed has its own model with an unrelated embedding
 * space, so each is laid out separately, and the maps are shown side by side. Progress is in utterances.
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
    return missing(`There is no map: it takes at least ${LEAST_UMAP_POINTS} utterances of a model.`);
  }
  const columns = Math.ceil(Math.sqrt(drawn.length));
  const points = maps.flatMap(({ part, layouts }) => {
    const placed = new Array<readonly [x: number, y: number] | null>(part.rows.length).fill(null);
    for (const [index, layout] of layouts.entries()) {
      if (layout.points === null) continue;
      const own = drawn.length === 1 ? layout.points : inCell(layout.points, drawn.indexOf(layout), columns);
      for (const [at, row] of part.parts[index]!.indices.entries()) placed[row] = own[at]!;
    }
    return placed;
  });
  return { kind: 'map', method: 'umap', settings: settingsText(drawn, parts), points };
}

/** Share of a grid cell's width that its map fills. */
const CELL_SHARE = 0.9;

/** Scales a map into its grid cell; the first cell is at the upper left. */
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
  return `${settings}; each ${of} has its own model and embedding space: ${drawn.length} maps side by side, starting at the upper left`;
}
