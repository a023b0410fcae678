/** @file The sections of the check, the most important first, with the time that each may take. */

const at = (name) => new URL(`./sections/${name}.mjs`, import.meta.url).href;
/** Set before a process starts: products in float32 proper instead of TF32. */
const WITHOUT_TF32 = { NVIDIA_TF32_OVERRIDE: '0' };

/** `run`: the function of the module. `limitSec`: a section that takes longer is ended; what it has reported counts. */
export const sections = [
  { name: 'machine', title: 'Machine', module: at('machine'), run: 'machine', limitSec: 60 },
  {
    name: 'matrix',
    title: 'Matrix products alone',
    module: at('matrix-rate'),
    run: 'matrixRate',
    limitSec: 60,
  },
  {
    ...{ name: 'matrix-float32', title: 'Matrix products alone, without TF32', module: at('matrix-rate') },
    ...{ run: 'float32Rate', limitSec: 40, env: WITHOUT_TF32, cudaOnly: true },
  },
  { name: 'stage2', title: 'Stage-2 step', module: at('training-step'), run: 'stage2', limitSec: 150 },
  {
    ...{ name: 'parity-models', title: 'Models against the CPU', module: at('model-parity') },
    ...{ run: 'modelParity', limitSec: 90, env: WITHOUT_TF32 },
  },
  {
    ...{ name: 'parity-rules', title: 'Gradient rules against the CPU', module: at('rule-parity') },
    ...{ run: 'ruleParity', limitSec: 60, env: WITHOUT_TF32 },
  },
  { name: 'toy', title: 'toy4, end to end', module: at('toy-corpus'), run: 'toyCorpus', limitSec: 150 },
  { name: 'stage1', title: 'Stage-1 step', module: at('training-step'), run: 'stage1', limitSec: 60 },
  {
    ...{ name: 'stage2-checkpointing', title: 'Stage-2 step, activation checkpointing' },
    ...{ module: at('training-step'), run: 'stage2Recomputed', limitSec: 150 },
  },
  { name: 'peer', title: 'PyTorch', module: at('peers'), run: 'peers', limitSec: 100 },
  {
    name: 'encoder',
    title: 'Speech encoder',
    module: at('inference-rate'),
    run: 'encoderRate',
    limitSec: 60,
  },
  {
    name: 'inference',
    title: 'Language model, inference',
    module: at('inference-rate'),
    run: 'stage2Rate',
    limitSec: 90,
  },
  { name: 'predict', title: 'emoq predict', module: at('predict-rate'), run: 'predictRate', limitSec: 150 },
];

export const sectionNamed = (name) => sections.find((section) => section.name === name);
