/** @file What a UMAP is made with and what it gives: apart from umap-js, which only the thread that computes loads. */

/** What a layout is made with. */
export interface UmapSettings {
  /** Neighbours of a point, itself among them, as UMAP counts. */
  readonly neighbours: number;
  /** Least distance between points of the map. */
  readonly minDistance: number;
  readonly seed: number;
}

export interface UmapLayout {
  /** [rows, 2] */
  readonly coordinates: Float64Array;
  /** Neighbours that there were points for. */
  readonly neighbours: number;
  readonly epochs: number;
  /** Principal components that neighbours were looked for in, and the share of the variance that they hold. */
  readonly components: number;
  readonly varianceShare: number;
}

/** What share of the work is done, in time. */
export type UmapProgress = (share: number) => void;

/** Fewer points have no neighbourhoods to speak of. */
export const LEAST_UMAP_POINTS = 5;
