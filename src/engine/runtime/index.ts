/** @file Sessions and devices; the only module that imports onnxruntime-node. */

export {
  type CudaNeeds,
  cudaNeeds,
  DRIVER_LIBRARY,
  findCudaLibraries,
} from './cuda-provider.js';
export {
  CUDA_PROVIDER_LIBRARIES,
  cudaProviderInstalled,
  type Device,
  deviceName,
  nvidiaDriverPresent,
  onnxruntimeVersion,
  providerFolder,
  resolveDevice,
} from './device.js';
export { requireDevices } from './device-requirements.js';
export type { FoundLibrary } from './library-search.js';
export { type CardMemory, countCudaDevices, type Gpu, listGpus, readCardMemory } from './nvidia-gpus.js';
export type { SavedName, StatePart, StateSlot } from './protocol.js';
export { installFromArchive, installFromFolder } from './provider-installation.js';
export { listProviders, type Provider, trySession } from './providers.js';
export { releaseMemory } from './resident-state.js';
export { createSession, type Session, type SessionOptions, type Tensors } from './session.js';
export { type SessionWorker, startSessionWorker, type WorkerSession } from './session-client.js';
