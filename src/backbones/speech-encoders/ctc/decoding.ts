/**
 * @file From the logits of a CTC head to a text with the times of its words: the best path (greedy), and what any path
 * says.
 */

import type { CtcVocabulary } from './vocabulary.js';

/** Logits of a clip. */
export interface CtcLogits {
  readonly frames: number;
  /** Symbols of the head. */
  readonly size: number;
  /** [frames, size], row-major. */
  readonly data: Float32Array;
}

/** A symbol for each frame, and how likely it is there. */
export interface CtcPath {
  /** Ids [frames]. */
  readonly ids: readonly number[];
  /** Probabilities [frames] of these ids. */
  readonly probabilities: readonly number[];
}

/** A word and the frames that it takes. */
export interface WordSpan {
  readonly word: string;
  /** First frame, and the one after the last. */
  readonly first: number;
  readonly end: number;
  /** Mean probability of the word's letters, over the frames of the path that carry one. */
  readonly confidence: number;
}

/** What a path says. */
export interface CtcText {
  readonly text: string;
  readonly words: readonly WordSpan[];
  /**
   * Mean probability of the path's symbols over its frames that carry one, the word delimiter included, the blank not;
   * undefined where all are blank.
   */
  readonly confidence: number | undefined;
  /** How many frames these are. */
  readonly symbolFrames: number;
}

/** Log-softmax of each frame: [frames, size]. */
export function logProbabilities({ frames, size, data }: CtcLogits): Float64Array {
  const logs = new Float64Array(frames * size);
  for (let frame = 0; frame < frames; frame++) {
    const own = data.subarray(frame * size, (frame + 1) * size);
    let largest = Number.NEGATIVE_INFINITY;
    for (const value of own) largest = Math.max(largest, value);
    let sum = 0;
    for (const value of own) sum += Math.exp(value - largest);
    const log = largest + Math.log(sum);
    own.forEach((value, id) => {
      logs[frame * size + id] = value - log;
    });
  }
  return logs;
}

/** The likeliest symbol of each frame; of equal ones the first. @param logs as {@link logProbabilities} */
export function bestPath(logs: Float64Array, size: number): CtcPath {
  const ids: number[] = [];
  for (let start = 0; start < logs.length; start += size) {
    let best = 0;
    for (let id = 1; id < size; id++) if (logs[start + id]! > logs[start + best]!) best = id;
    ids.push(best);
  }
  return pathOf(ids, logs, size);
}

/** A path with its probabilities. */
export function pathOf(ids: readonly number[], logs: Float64Array, size: number): CtcPath {
  return { ids, probabilities: ids.map((id, frame) => Math.exp(logs[frame * size + id]!)) };
}

/** A symbol that a path emits, with its frames. */
interface Emitted {
  readonly symbol: string;
  readonly first: number;
  readonly end: number;
}

/**
 * The text of a path, as Wav2Vec2CTCTokenizer.decode of transformers gives it: repeated symbols are one, blanks
 * separate, word delimiters are spaces, special tokens stay. Words are those of its `output_word_offsets`, in lower case
 * if the text is.
 */
export function textOfPath({ ids, probabilities }: CtcPath, vocabulary: CtcVocabulary): CtcText {
  const { symbols, blank, delimiter, space, lowerCase } = vocabulary;
  const runs: Emitted[] = [];
  ids.forEach((id, frame) => {
    const symbol = symbols[id]!;
    const last = runs.at(-1);
    if (last?.symbol === symbol) runs[runs.length - 1] = { ...last, end: frame + 1 };
    else runs.push({ symbol, first: frame, end: frame + 1 });
  });
  const emitted = runs
    .filter(({ symbol }) => symbol !== blank)
    .map((run) => (run.symbol === delimiter ? { ...run, symbol: space } : run));
  const words: Emitted[][] = [];
  let isInWord = false;
  for (const each of emitted) {
    const isLetter = each.symbol !== space;
    if (isLetter && isInWord) words.at(-1)!.push(each);
    else if (isLetter) words.push([each]);
    isInWord = isLetter;
  }
  const mean = (spans: readonly Emitted[]): number | undefined => {
    const own = spans.flatMap(({ first, end }) => probabilities.slice(first, end));
    return own.length === 0 ? undefined : own.reduce((sum, value) => sum + value, 0) / own.length;
  };
  const cased = (text: string): string => (lowerCase ? text.toLowerCase() : text);
  const text = cased(
    emitted
      .map(({ symbol }) => symbol)
      .join('')
      .trim(),
  );
  return {
    text: vocabulary.cleanUp ? cleanedUp(text) : text,
    words: words.map((letters) => ({
      word: cased(letters.map(({ symbol }) => symbol).join('')),
      ...{ first: letters[0]!.first, end: letters.at(-1)!.end, confidence: mean(letters)! },
    })),
    confidence: mean(emitted),
    symbolFrames: emitted.reduce((sum, { first, end }) => sum + end - first, 0),
  };
}

/** clean_up_tokenization of transformers. */
function cleanedUp(text: string): string {
  return [' .', ' ?', ' !', ' ,']
    .reduce((whole, mark) => whole.replaceAll(mark, mark.trim()), text)
    .replaceAll(" ' ", "'")
    .replace(/ (n't|'m|'s|'ve|'re)/g, '$1');
}
