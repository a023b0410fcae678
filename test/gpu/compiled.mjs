/** @file Modules of the tests as `make gpu-check-cases` compiles them, with a copy of the engine beside them. */

const folder = new URL('../../.cache/gpu-check/', import.meta.url);

/** @param path such as test/engine/autodiff-cases.js */
export async function compiled(path) {
  try {
    return await import(new URL(path, folder).href);
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new Error(`${path} is not compiled: run make gpu-check-cases`);
  }
}

/** Rewrites a graph of 16 bits for the CPU, which has no products of 16 bits; undefined where that is not compiled. */
export async function emulation() {
  const { emulatePrecision } = await compiled('test/engine/emulated-precision.js').catch(() => ({}));
  return emulatePrecision;
}

/** Precisions that can be checked on a device. */
export const precisionsOn = ({ kind }, emulate) =>
  kind === 'cuda' || emulate !== undefined ? ['float32', 'bfloat16'] : ['float32'];
