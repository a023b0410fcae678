/** @file Door of the export room: models as ONNX files for other runtimes. */

export { exportableEncoder } from './encoder.js';
export { type ExportableFormer, exportableFormer, type FormerExport } from './former.js';
export { exportableLanguageModel, type LanguageModelExport } from './language-model.js';
export {
  checkModelFile,
  type ExportableModel,
  type ExportControls,
  type ExportedFiles,
  writeModelFiles,
} from './model-files.js';
