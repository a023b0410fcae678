/** @file Door of the runtime room, the only one that knows onnxruntime-node. */

export {
  cudaProviderInstalled,
  type Device,
  deviceName,
  onnxruntimeVersion,
  providerFolder,
  resolveDevice,
} from './device.js';
export type { StateSlot } from './protocol.js';
export { createSession, type Session, type SessionOptions, type Tensors } from './session.js';
export { type HostedSession, type SessionHost, startSessionHost } from './session-host.js';
