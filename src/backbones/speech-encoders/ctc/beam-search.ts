/**
 * @file CTC prefix beam search (Graves et al., 2006; Hannun et al., 2014) without a language model: the text whose
 * paths together are likeliest, where the best path is only the likeliest single one. All in the log domain.
 */

/** A prefix of a text: a node of the tree of all of them. */
interface Prefix {
  readonly parent: Prefix | undefined;
  /** Its last symbol; -1 at the root. */
  readonly symbol: number;
  children: Map<number, Prefix> | undefined;
  /** Log probabilities of the paths so far that say it and end in a blank, or in its last symbol. */
  blank: number;
  label: number;
  /** The same after the next frame. */
  nextBlank: number;
  nextLabel: number;
}

const NEVER = Number.NEGATIVE_INFINITY;

function prefixAfter(parent: Prefix | undefined, symbol: number): Prefix {
  // Written out: this is the inner loop, and spreading objects takes most of its time.
  return {
    parent,
    symbol,
    children: undefined,
    blank: NEVER,
    label: NEVER,
    nextBlank: NEVER,
    nextLabel: NEVER,
  };
}

/** log(exp(a) + exp(b)) */
export function logAdd(a: number, b: number): number {
  const larger = Math.max(a, b);
  return larger === NEVER ? NEVER : larger + Math.log1p(Math.exp(-Math.abs(a - b)));
}

function total({ blank, label }: Prefix): number {
  return logAdd(blank, label);
}

/**
 * The likeliest labelling.
 * @param logs log probabilities [frames, size]
 * @param isBlank of an id
 * @param width prefixes that are kept after each frame; with as many as there are, the result is exact
 * @returns its symbols, without blanks, and its log probability: of all paths that were not cut off
 */
export function prefixBeamSearch(
  logs: Float64Array,
  size: number,
  isBlank: (id: number) => boolean,
  width: number,
): { readonly labels: readonly number[]; readonly logProbability: number } {
  const blanks = Array.from({ length: size }, (_, id) => isBlank(id));
  const root = prefixAfter(undefined, -1);
  root.blank = 0;
  let beam: Prefix[] = [root];
  for (let start = 0; start < logs.length; start += size) {
    const touched = new Set<Prefix>(beam);
    for (const prefix of beam) {
      const own = total(prefix);
      for (let id = 0; id < size; id++) {
        const log = logs[start + id]!;
        if (blanks[id]) {
          prefix.nextBlank = logAdd(prefix.nextBlank, own + log);
          continue;
        }
        prefix.children ??= new Map();
        let child = prefix.children.get(id);
        if (child === undefined) {
          child = prefixAfter(prefix, id);
          prefix.children.set(id, child);
        }
        touched.add(child);
        if (id === prefix.symbol) {
          // Without a blank between, the symbol goes on; with one, it is said again.
          prefix.nextLabel = logAdd(prefix.nextLabel, prefix.label + log);
          child.nextLabel = logAdd(child.nextLabel, prefix.blank + log);
        } else child.nextLabel = logAdd(child.nextLabel, own + log);
      }
    }
    const candidates = [...touched];
    for (const prefix of candidates) {
      [prefix.blank, prefix.label] = [prefix.nextBlank, prefix.nextLabel];
      [prefix.nextBlank, prefix.nextLabel] = [NEVER, NEVER];
    }
    const ranked = candidates.map((prefix) => ({ prefix, log: total(prefix) }));
    ranked.sort((a, b) => b.log - a.log); // stable: equal ones stay in the order of the symbols
    beam = ranked.slice(0, width).map(({ prefix }) => prefix);
    for (const { prefix } of ranked.slice(width)) {
      [prefix.blank, prefix.label] = [NEVER, NEVER];
      // One that longer prefixes go through stays in the tree: it may come back.
      if (!prefix.children?.size) prefix.parent?.children?.delete(prefix.symbol);
    }
  }
  const [best] = beam as [Prefix];
  const labels: number[] = [];
  for (let at = best; at.parent !== undefined; at = at.parent) labels.unshift(at.symbol);
  return { labels, logProbability: total(best) };
}
