/**
 * @file The configs of the published backbones that recipes name, so that a dry run can size them before anything is
 * downloaded. Facts from their config.json files on the Hugging Face hub; only what differs from the defaults.
 */

/** config.json of published models, by hub id. */
export const publishedConfigs: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'facebook/hubert-base-ls960': { model_type: 'hubert' },
  'facebook/hubert-large-ll60k': {
    model_type: 'hubert',
    hidden_size: 1024,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    intermediate_size: 4096,
    conv_bias: true,
    feat_extract_norm: 'layer',
    do_stable_layer_norm: true,
  },
  'FacebookAI/roberta-base': {
    model_type: 'roberta',
    vocab_size: 50265,
    max_position_embeddings: 514,
    type_vocab_size: 1,
    layer_norm_eps: 1e-5,
  },
  'Qwen/Qwen2.5-0.5B-Instruct': qwen(896, 24, 14, 2, 4864, true),
  'Qwen/Qwen2.5-1.5B-Instruct': qwen(1536, 28, 12, 2, 8960, true),
  'Qwen/Qwen2.5-3B-Instruct': qwen(2048, 36, 16, 2, 11008, true),
  'Qwen/Qwen2.5-7B-Instruct': { ...qwen(3584, 28, 28, 4, 18944, false), vocab_size: 152064 },
};

function qwen(hidden: number, layers: number, heads: number, kvHeads: number, inner: number, tied: boolean) {
  return {
    model_type: 'qwen2',
    vocab_size: 151936,
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    intermediate_size: inner,
    tie_word_embeddings: tied,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    max_position_embeddings: 32768,
    hidden_act: 'silu',
  };
}
