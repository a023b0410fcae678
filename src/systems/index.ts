/** @file Systems: what a kind of model is to training, inference and experiments. */

export {
  HEAD_PREFIX,
  initialHead,
  type Stage1Config,
  stage1Forward,
  stage1Loss,
} from './emoq/stage1-model.js';
export {
  answerInputs,
  hasFormer,
  initialProjector,
  PROJECTOR_PREFIX,
  type Stage2Config,
  stage2Forward,
  stage2Inputs,
  stage2Loss,
} from './emoq/stage2-model.js';
