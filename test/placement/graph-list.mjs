/**
 * @file Every graph that emoq makes, in toy size, and a stage 2 with the shapes of Qwen2.5-7B. A graph may set recipe
 * keys (`set`), the checkpoint it reads and the precision of its products, which is else as emoq chooses it on CUDA.
 * float32 has to be named: only then may 16-bit weights be held in it.
 */

const unaligned = 'emotion.from_align=false';
const recompute = 'stage2.activation_checkpointing=true';
const accumulate = (stage) => `${stage}.accumulate=2`;
const remembering = [
  ...['former.residual=mean', 'former.layers=1', 'stage1.scl_queue=16'],
  ...['stage1.average=ema:0.9', 'stage1.schedule=cosine'],
];
const decoder = (name) => `backbones.llm=${name}`;

export const GRAPHS = [
  { name: 'encoder of HuBERT large', kind: 'encoder', checkpoint: 'hubert' },
  {
    name: 'encoder of HuBERT large in bfloat16',
    kind: 'encoder',
    checkpoint: 'hubert',
    precision: 'bfloat16',
  },
  { name: 'encoder of HuBERT base', kind: 'encoder', checkpoint: 'hubert-base' },
  { name: 'encoder of wav2vec 2.0', kind: 'encoder', checkpoint: 'wav2vec2' },
  { name: 'encoder of WavLM', kind: 'encoder', checkpoint: 'wavlm' },
  { name: 'encoder of WavLM in bfloat16', kind: 'encoder', checkpoint: 'wavlm', precision: 'bfloat16' },
  { name: 'encoder of emotion2vec', kind: 'encoder', checkpoint: 'emotion2vec' },
  { name: 'encoder of Whisper', kind: 'encoder', checkpoint: 'whisper' },
  { name: 'encoder of Whisper in bfloat16', kind: 'encoder', checkpoint: 'whisper', precision: 'bfloat16' },

  {
    name: 'recogniser: the logits of a CTC head over HuBERT',
    kind: 'encoder',
    checkpoint: 'recogniser',
    layers: { layers: [], mix: 'learned', logits: true },
  },
  { name: 'recogniser: Whisper', kind: 'recogniser', checkpoint: 'whisper-decoder' },
  {
    name: 'recogniser: Whisper in bfloat16',
    kind: 'recogniser',
    checkpoint: 'whisper-decoder',
    precision: 'bfloat16',
  },
  {
    name: 'encoder of HuBERT with the logits of its CTC head, in bfloat16',
    kind: 'encoder',
    checkpoint: 'recogniser',
    layers: { layers: 'all', mix: 'learned', logits: true },
    precision: 'bfloat16',
  },

  { name: 'stage 1, training', kind: 'training', phase: 'stage1' },
  {
    name: 'stage 1, training with accumulation',
    kind: 'training',
    phase: 'stage1',
    set: [accumulate('stage1')],
  },
  {
    name: 'stage 1 with a queue and an average, training',
    kind: 'training',
    phase: 'stage1',
    set: remembering,
  },
  {
    name: 'stage 1 with a queue and an average, training with accumulation',
    kind: 'training',
    phase: 'stage1',
    set: [...remembering, accumulate('stage1')],
  },
  {
    name: 'stage 1 with a queue and an average, validation',
    kind: 'validation',
    phase: 'stage1',
    set: remembering,
  },
  { name: 'stage 1, validation', kind: 'validation', phase: 'stage1' },
  { name: 'stage 1, evaluation model', kind: 'evaluation', phase: 'stage1' },
  { name: 'stage 1, prediction', kind: 'prediction', phase: 'stage1' },

  { name: 'stage 2, training', kind: 'training', phase: 'stage2' },
  { name: 'stage 2, training with checkpointing', kind: 'training', phase: 'stage2', set: [recompute] },
  {
    name: 'stage 2, training with accumulation',
    kind: 'training',
    phase: 'stage2',
    set: [accumulate('stage2')],
  },
  {
    name: 'stage 2, training with checkpointing and accumulation',
    kind: 'training',
    phase: 'stage2',
    set: [recompute, accumulate('stage2')],
  },
  { name: 'stage 2 without a Former, training', kind: 'training', phase: 'stage2', set: ['fusion=none'] },
  { name: 'stage 2 in float16, training', kind: 'training', phase: 'stage2', precision: 'float16' },
  { name: 'stage 2 in float32, training', kind: 'training', phase: 'stage2', precision: 'float32' },
  { name: 'stage 2 of Qwen3, training', kind: 'training', phase: 'stage2', set: [decoder('qwen3')] },
  { name: 'stage 2 of Llama, training', kind: 'training', phase: 'stage2', set: [decoder('llama')] },
  ...[8, 4].flatMap((bits) =>
    ['training', 'validation', 'prediction'].map((kind) => ({
      name: `stage 2 over ${bits} bits, ${kind}`,
      kind,
      phase: 'stage2',
      set: [decoder(`qwen2-int${bits}`)],
    })),
  ),
  {
    name: 'stage 2 from principal singular vectors, training',
    kind: 'training',
    phase: 'stage2',
    set: ['lora.init=pissa', 'lora.rank=4', 'stage2.average=last:1'],
  },
  {
    name: 'stage 2 in the shapes of Qwen2.5-7B, two layers, training',
    kind: 'training',
    phase: 'stage2',
    set: [decoder('qwen2-7b')],
  },
  { name: 'stage 2, validation', kind: 'validation', phase: 'stage2' },
  { name: 'stage 2, evaluation model', kind: 'evaluation', phase: 'stage2' },
  { name: 'stage 2, prediction', kind: 'prediction', phase: 'stage2' },

  { name: 'linear probe, training', kind: 'training', phase: 'probe' },
  {
    name: 'linear probe with a hidden layer, training',
    kind: 'training',
    phase: 'probe',
    set: ['probe.hidden=32'],
  },
  ...['hubert', 'wavlm'].map((name) => ({
    name: `linear probe with trained layers of ${name}, training`,
    kind: 'training',
    phase: 'probe',
    set: [
      ...[`backbones.encoder=${name}`, 'encoder.train=all', 'encoder.layers=all'],
      ...['encoder.mask_frames=0.2', 'encoder.mask_channels=0.2', 'probe.activation_checkpointing=true'],
    ],
  })),
  { name: 'linear probe, validation', kind: 'validation', phase: 'probe' },
  { name: 'linear probe, evaluation model', kind: 'evaluation', phase: 'probe' },
  { name: 'linear probe, prediction', kind: 'prediction', phase: 'probe' },

  { name: 'Qieemo, training of the recogniser on word times', kind: 'training', phase: 'align' },
  {
    name: 'Qieemo, training of the recogniser on transcripts',
    kind: 'training',
    phase: 'align',
    set: ['align.targets=transcripts', 'encoder.train=top:1'],
  },
  { name: 'Qieemo with a trained encoder, training', kind: 'training', phase: 'emotion', set: [unaligned] },
  { name: 'Qieemo, training', kind: 'training', phase: 'emotion', set: [unaligned, 'encoder.train=frozen'] },
  { name: 'Qieemo, validation', kind: 'validation', phase: 'emotion', set: [unaligned] },
  { name: 'Qieemo, evaluation model', kind: 'evaluation', phase: 'emotion', set: [unaligned] },
  { name: 'Qieemo, prediction', kind: 'prediction', phase: 'emotion', set: [unaligned] },

  { name: 'exported encoder', kind: 'export', model: 'encoder', checkpoint: 'hubert' },
  { name: 'exported Former', kind: 'export', model: 'former', checkpoint: 'roberta' },
  // In float32 by default: for runtimes without products of 16 bits.
  {
    name: 'exported language model',
    kind: 'export',
    model: 'llm',
    checkpoint: 'qwen2',
    precision: 'float32',
  },
  {
    name: 'exported language model of embeddings',
    kind: 'export',
    model: 'llm',
    checkpoint: 'qwen2',
    inputs: 'inputs_embeds',
    precision: 'float32',
  },
  {
    name: 'exported language model in bfloat16',
    kind: 'export',
    model: 'llm',
    checkpoint: 'qwen2',
    precision: 'bfloat16',
  },
];
