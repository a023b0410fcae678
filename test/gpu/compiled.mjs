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
