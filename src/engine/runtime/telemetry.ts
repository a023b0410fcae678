/**
 * @file Switches onnxruntime's telemetry off. Since 1.29 its builds for Linux and macOS keep a device id and a queue of
 * events, with the names and metadata of graphs, below the user's cache folder, and look up a collector's host. The
 * variable is read once, when the first session is made, so this module must be imported before onnxruntime is; it
 * reaches native code from the main thread alone (the environment of a worker thread is a copy), which therefore
 * imports it too, before it starts a worker.
 */

process.env.ORT_DISABLE_TELEMETRY = '1';
