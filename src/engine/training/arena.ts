/**
 * @file A model of the arena that onnxruntime takes a CUDA device's memory with (its BFC arena, with the settings that
 * it has by default): which pieces it asks the device for, and how they are cut up.
 */

/** Sizes are multiples of this. */
const GRANULE = 256;
/** The first piece, and the size up to which pieces double. A single larger tensor gets the next power of two. */
const [FIRST_PIECE, LARGEST_PIECE] = [2 ** 20, 2 ** 30];
/** A chunk is given whole if it is less than twice as large as asked for, unless it is larger by this. */
const MOST_WASTED = 2 ** 27;
/** A piece that the device cannot give is asked for smaller by this factor, down to what is needed and to 8 KiB. */
const BACKPEDAL = 0.9;
const LEAST_PIECE = 2 ** 13;

/** A part of a piece of memory. */
export interface Chunk {
  size: number;
  /** Free chunks are handed out by size, then by this: pieces count in the order in which they were taken. */
  readonly address: number;
  inUse: boolean;
  /** Belongs to the stream of the run, as what it is given does, with what is left of it. Only alike neighbours join. */
  used: boolean;
  before: Chunk | undefined;
  after: Chunk | undefined;
}

export interface Arena {
  /**
   * Undefined: the device has no more.
   * @param detached of no stream; cannot have what the run has used and freed
   */
  allocate(bytes: number, detached?: boolean): Chunk | undefined;
  free(chunk: Chunk): void;
  /** Ends loading, or a run: what is free is then joined. */
  settle(): void;
  /** Bytes taken from the device. */
  readonly taken: () => number;
  /** Bytes of chunks in use, at most so far. */
  readonly mostUsed: () => number;
}

/**
 * @param limit bytes that the device can give
 */
export function createArena(limit = Number.POSITIVE_INFINITY): Arena {
  const free: Chunk[] = []; // by size, then address
  const firsts: Chunk[] = []; // the first chunk of each piece
  let piece = FIRST_PIECE;
  let taken = 0;
  let used = 0;
  let most = 0;
  let running = false;

  /** Where a chunk of this size and address is, or belongs, in the list of free ones. */
  const positionOf = (size: number, address: number): number => {
    let [low, high] = [0, free.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const { size: there, address: at } = free[middle]!;
      if (there < size || (there === size && at < address)) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  /** The smallest free chunk that is large enough; the length of the list if there is none. */
  const firstFit = (size: number, detached: boolean): number => {
    let position = positionOf(size, -1);
    while (detached && free[position]?.used) position += 1;
    return position;
  };
  const insert = (chunk: Chunk): void => void free.splice(positionOf(chunk.size, chunk.address), 0, chunk);
  const remove = (chunk: Chunk): void => void free.splice(positionOf(chunk.size, chunk.address), 1);

  /** False: the device cannot give as much. */
  const extend = (needed: number): boolean => {
    let size = piece;
    if (needed <= piece) piece = Math.min(2 * piece, LARGEST_PIECE);
    else {
      while (size < needed) size *= 2;
      piece = size;
    }
    while (taken + size > limit) {
      size = GRANULE * Math.ceil((size * BACKPEDAL) / GRANULE);
      if (size < Math.max(needed, LEAST_PIECE)) return false;
    }
    const chunk: Chunk = {
      ...{ size, address: taken, inUse: false, used: false },
      ...{ before: undefined, after: undefined },
    };
    taken += size;
    firsts.push(chunk);
    insert(chunk);
    return true;
  };

  /** Joins two neighbours, of which neither is in the list of free ones. */
  const join = (chunk: Chunk, after: Chunk): void => {
    chunk.size += after.size;
    chunk.after = after.after;
    if (after.after !== undefined) after.after.before = chunk;
  };

  const release = (chunk: Chunk): void => {
    let whole = chunk;
    const { after, before } = chunk;
    if (after !== undefined && !after.inUse && after.used === chunk.used) {
      remove(after);
      join(chunk, after);
    }
    if (before !== undefined && !before.inUse && before.used === chunk.used) {
      remove(before);
      join(before, chunk);
      whole = before;
    }
    insert(whole);
  };

  return {
    allocate(bytes, detached = false) {
      const size = GRANULE * Math.max(1, Math.ceil(bytes / GRANULE));
      let position = firstFit(size, detached);
      if (position === free.length) {
        if (!extend(size)) return undefined;
        position = firstFit(size, detached);
      }
      const [chunk] = free.splice(position, 1) as [Chunk];
      chunk.used ||= running && !detached; // with what is left of it
      if (chunk.size >= 2 * size || chunk.size - size >= MOST_WASTED) {
        const rest: Chunk = {
          ...{ size: chunk.size - size, address: chunk.address + size, inUse: false, used: chunk.used },
          ...{ before: chunk, after: chunk.after },
        };
        if (chunk.after !== undefined) chunk.after.before = rest;
        chunk.after = rest;
        chunk.size = size;
        insert(rest);
      }
      chunk.inUse = true;
      used += chunk.size;
      most = Math.max(most, used);
      return chunk;
    },
    free(chunk) {
      chunk.inUse = false;
      used -= chunk.size;
      release(chunk);
    },
    settle() {
      running = true;
      for (const first of firsts) {
        for (let chunk: Chunk | undefined = first; chunk !== undefined; chunk = chunk.after) {
          if (!chunk.inUse) remove(chunk);
          chunk.used = false;
          while (!chunk.inUse && chunk.after !== undefined && !chunk.after.inUse) {
            remove(chunk.after);
            join(chunk, chunk.after);
          }
          if (!chunk.inUse) insert(chunk);
        }
      }
    },
    taken: () => taken,
    mostUsed: () => most,
  };
}
