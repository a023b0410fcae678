/** @file A model as a graph of its own, so that it can be written for other runtimes wherever its weights lie. */

import type { Graph } from '../engine/onnx/index.js';
import type { Weights } from './weights.js';

/** Inputs, a fragment over named weights, and outputs. */
export interface ModelGraph {
  /** Name of the graph. */
  readonly name: string;
  /** One line that says what it computes. */
  readonly description: string;
  /** Adds the model to an empty graph; asks `weights` for each weight by the key that checkpoints have it under. */
  readonly define: (graph: Graph, weights: Weights) => void;
}
