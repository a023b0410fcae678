/** @file The memory of the device that a model needs, found by running it on smaller and smaller ones. */

/**
 * Runs a model on a device of so much memory.
 * @param run runs it on a device of a number of MiB, and rejects if it fails
 * @returns its result, or undefined if the memory was not enough
 */
export async function runWithin(run, memoryMib) {
  try {
    return await run(memoryMib);
  } catch (error) {
    if (memoryMib !== undefined && /Failed to allocate memory|out of memory/i.test(error.message))
      return undefined;
    throw error;
  }
}

/**
 * The least memory, in MiB, of a device on which a model runs, to 1 MiB or 2 %. onnxruntime's arena doubles when it
 * grows, but takes less where there is less: its size on a large device says little.
 * @param peakBytes memory that is enough
 */
export async function leastMemory(run, peakBytes) {
  let enough = Math.ceil(peakBytes / 2 ** 20);
  let tooLittle = 0;
  while (enough - tooLittle > Math.max(1, enough / 50)) {
    const middle = Math.floor((enough + tooLittle) / 2);
    if ((await runWithin(run, middle)) === undefined) tooLittle = middle;
    else enough = middle;
  }
  return enough;
}
