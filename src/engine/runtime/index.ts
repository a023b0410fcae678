/** @file Door of the runtime room, the only one that knows onnxruntime-node. */

export {
  cudaProviderInstalled,
  type Device,
  deviceName,
  nvidiaDriverPresent,
  onnxruntimeVersion,
  providerFolder,
  resolveDevice,
} from './device.js';
export type { StateSlot } from './protocol.js';
export { CUDA_PROVIDER_LIBRARIES, listProviders, type Provider, trySession } from './providers.js';
export { releaseMemory } from './resident-state.js';
export { createSession, type Session, type SessionOptions, type Tensors } from './session.js';
export { type HostedSession, type SessionHost, startSessionHost } from './session-host.js';
