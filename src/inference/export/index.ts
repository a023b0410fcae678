/** @file Exports models as ONNX files for other runtimes. */

export { copyCompanions, MODEL_CARD } from './companions.js';
export { exportableEncoder, exportableFormer, exportableLanguageModel } from './exportable-models.js';
export { type IntegerType, integerModel } from './integer-model.js';
export {
  checkModelFile,
  type ExportableModel,
  type ExportControls,
  exportable,
  runMetadata,
  writeModelFiles,
} from './onnx-files.js';
export { writeTrainedEncoder } from './trained-encoder.js';
