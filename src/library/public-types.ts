/**
 * @file The types of the library. They import nothing, so that programs that use emoq need no types of its parts.
 */

/** A recording, or a part of it, to be judged. */
export interface Recording {
  /** A file in any format that ffmpeg reads; relative to the working directory, or absolute. */
  readonly path?: string;
  /** Instead of a file: mono samples [frames] at 16 kHz, from -1 to 1. */
  readonly samples?: Float32Array;
  /** What is said. */
  readonly text?: string;
  readonly speaker?: string;
  readonly gender?: string;
  /**
   * Names the conversation that it is a turn of, for a bundle that reads what was said before: the recordings with this
   * name that were given earlier, with their `text` and `speaker`. Without it, it is judged alone.
   */
  readonly dialogue?: string;
  /** Of a file with several channels: a number from 1, or their mean. Default: the centre channel, else the mean. */
  readonly channel?: number | 'mix';
  /** Where the part begins, in seconds. Default 0. */
  readonly start?: number;
  /** Where it ends, in seconds. Default: the end of the recording. */
  readonly end?: number;
}

/** What a model says of a recording, or of a part of it. */
export interface Answer {
  /** The most probable label; undefined if there is an `error`. */
  readonly label: string | undefined;
  /** By label, in the order of the bundle's labels; undefined if there is an `error`. */
  readonly probabilities: Readonly<Record<string, number>> | undefined;
  /** The largest probability minus the second. */
  readonly margin: number | undefined;
  /** The part that was judged, in seconds; undefined without audio. */
  readonly start: number | undefined;
  readonly end: number | undefined;
  /** Remarks on the recording: only its beginning was judged, it is silent or clipped, a transcript was cut. */
  readonly notes: readonly string[];
  /** Why it could not be judged. */
  readonly error: string | undefined;
}

/** The answer for a recording. */
export interface Prediction<R = Recording> extends Answer {
  /** What was given. */
  readonly recording: R;
  /**
   * Of a long recording that was cut: the answers for its windows, of which `probabilities` are the mean, weighted by
   * length.
   */
  readonly windows?: readonly Answer[];
}

export interface OpenBundleOptions {
  /** `auto`, the default, is CUDA if it is installed, else the CPU. */
  readonly device?: 'auto' | 'cpu' | 'webgpu' | 'cuda' | `cuda:${number}`;
  /** Threads within one operator. Default: one per physical core. */
  readonly threads?: number;
  /** Receives warnings about the bundle, a line each. */
  readonly onWarning?: (text: string) => void;
}

export interface PredictOptions {
  /** Stops after the recordings that are being judged: the iteration then throws the signal's reason. */
  readonly signal?: AbortSignal;
  /**
   * How files that are longer than the model takes are judged: in windows cut at pauses (`auto`, the default), in windows
   * of so many seconds, or only their beginning (`off`). Of samples, only the beginning is judged.
   */
  readonly windows?: 'auto' | 'off' | number;
}

/** An open bundle. Several can be open at once, and several predictions of one can run side by side. */
export interface Bundle {
  readonly labels: readonly string[];
  /** What bundle.json says (docs/bundles.md). */
  readonly description: Readonly<Record<string, unknown>>;
  /**
   * Judges recordings in their order, many at a time; a recording that cannot be judged gets an `error`, and the others
   * go on. Recordings are taken as they are needed, and may be endless.
   * @param recordings paths, or objects that say more
   */
  predict<R extends Recording | string>(
    recordings: Iterable<R> | AsyncIterable<R>,
    options?: PredictOptions,
  ): AsyncGenerator<Prediction<R>, void, undefined>;
  /** Frees the models. Predictions that are under way fail. */
  close(): Promise<void>;
}
