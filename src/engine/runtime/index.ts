/** @file Sessions and devices; the only module that imports onnxruntime-node. */

export {
  cudaProviderInstalled,
  type Device,
  deviceName,
  nvidiaDriverPresent,
  onnxruntimeVersion,
  providerFolder,
  resolveDevice,
} from './device.js';
export { type CardMemory, parseCardMemory, readCardMemory } from './device-memory.js';
export type { StatePart, StateSlot } from './protocol.js';
export { CUDA_PROVIDER_LIBRARIES, listProviders, type Provider, trySession } from './providers.js';
export { releaseMemory } from './resident-state.js';
export { createSession, type Session, type SessionOptions, type Tensors } from './session.js';
export { type SessionWorker, startSessionWorker, type WorkerSession } from './session-client.js';
