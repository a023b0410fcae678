"""Makes test/fixtures/checkpoint/model-configs.json: config.json objects, and what the transformers library reads from
them (its own defaults for absent keys, and both spellings of the rotary base).

Made with Python 3.11, transformers 5.24.0. Run from the repository root:
    python test/reference/model-configs.py
"""

import json
from pathlib import Path

from transformers import (HubertConfig, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config, RobertaConfig,
                          UniSpeechSatConfig, Wav2Vec2Config, WavLMConfig, WhisperConfig)

HUBERT = {
    "hiddenSize": "hidden_size",
    "numHiddenLayers": "num_hidden_layers",
    "numAttentionHeads": "num_attention_heads",
    "intermediateSize": "intermediate_size",
    "convDim": "conv_dim",
    "convKernel": "conv_kernel",
    "convStride": "conv_stride",
    "convBias": "conv_bias",
    "featExtractNorm": "feat_extract_norm",
    "featProjLayerNorm": "feat_proj_layer_norm",
    "doStableLayerNorm": "do_stable_layer_norm",
    "numConvPosEmbeddings": "num_conv_pos_embeddings",
    "numConvPosEmbeddingGroups": "num_conv_pos_embedding_groups",
    "layerNormEps": "layer_norm_eps",
}
ROBERTA = {
    "vocabSize": "vocab_size",
    "hiddenSize": "hidden_size",
    "numHiddenLayers": "num_hidden_layers",
    "numAttentionHeads": "num_attention_heads",
    "intermediateSize": "intermediate_size",
    "maxPositionEmbeddings": "max_position_embeddings",
    "typeVocabSize": "type_vocab_size",
    "padTokenId": "pad_token_id",
    "layerNormEps": "layer_norm_eps",
    "hiddenDropoutProb": "hidden_dropout_prob",
    "attentionProbsDropoutProb": "attention_probs_dropout_prob",
}
WAV2VEC2 = {ours: theirs for ours, theirs in HUBERT.items() if ours != "featProjLayerNorm"}
WAVLM = {**WAV2VEC2, "numBuckets": "num_buckets", "maxBucketDistance": "max_bucket_distance"}
WHISPER = {
    "hiddenSize": "d_model",
    "numHiddenLayers": "encoder_layers",
    "numAttentionHeads": "encoder_attention_heads",
    "intermediateSize": "encoder_ffn_dim",
    "numMelBins": "num_mel_bins",
    "maxSourcePositions": "max_source_positions",
}
DECODER = {
    "vocabSize": "vocab_size",
    "hiddenSize": "hidden_size",
    "numHiddenLayers": "num_hidden_layers",
    "numAttentionHeads": "num_attention_heads",
    "numKeyValueHeads": "num_key_value_heads",
    "intermediateSize": "intermediate_size",
    "rmsNormEps": "rms_norm_eps",
    "tieWordEmbeddings": "tie_word_embeddings",
    "maxPositionEmbeddings": "max_position_embeddings",
}

HUBERT_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
QWEN2_SMALL = {
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
    "tie_word_embeddings": True,
    "sliding_window": 32768,
    "max_window_layers": 21,
    "use_sliding_window": False,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LLAMA_SMALL = {
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
}
QWEN3_SMALL = {
    "hidden_size": 1024,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "sliding_window": None,
    "use_sliding_window": False,
}
CASES = [
    ("hubert", HubertConfig, HUBERT, {}),
    ("hubert", HubertConfig, HUBERT, HUBERT_LARGE),
    ("roberta", RobertaConfig, ROBERTA, {}),
    ("roberta", RobertaConfig, ROBERTA, {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}),
    ("qwen2", Qwen2Config, DECODER, {}),
    ("qwen2", Qwen2Config, DECODER, {**QWEN2_SMALL, "rope_theta": 1000000.0, "rope_scaling": None}),
    ("qwen2", Qwen2Config, DECODER, {**QWEN2_SMALL, "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}),
    ("qwen2", Qwen2Config, DECODER, {"num_attention_heads": 8, "num_key_value_heads": None, "head_dim": 64}),
    ("wav2vec2", Wav2Vec2Config, WAV2VEC2, {}),
    ("wav2vec2", Wav2Vec2Config, WAV2VEC2, HUBERT_LARGE),
    ("unispeech-sat", UniSpeechSatConfig, WAV2VEC2, {}),
    ("unispeech-sat", UniSpeechSatConfig, WAV2VEC2, {**HUBERT_LARGE, "conv_bias": False}),
    ("wavlm", WavLMConfig, WAVLM, {}),
    ("wavlm", WavLMConfig, WAVLM, {**HUBERT_LARGE, "conv_bias": False}),
    ("wavlm", WavLMConfig, WAVLM, {"num_buckets": 40, "max_bucket_distance": 11}),
    ("whisper", WhisperConfig, WHISPER, {}),
    ("whisper", WhisperConfig, WHISPER, {"d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20,
                                         "encoder_ffn_dim": 5120, "num_mel_bins": 128}),
    ("whisper", WhisperConfig, WHISPER, {"max_source_positions": 100, "decoder_layers": 2}),
    ("llama", LlamaConfig, DECODER, {}),
    ("llama", LlamaConfig, DECODER, {**LLAMA_SMALL, "rope_theta": 500000.0, "rope_scaling": LLAMA3}),
    ("llama", LlamaConfig, DECODER, {**LLAMA_SMALL, "rope_parameters": {"rope_theta": 5e5, **LLAMA3}}),
    ("llama", LlamaConfig, DECODER, {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    ("qwen3", Qwen3Config, DECODER, {}),
    ("qwen3", Qwen3Config, DECODER, {**QWEN3_SMALL, "rope_theta": 1000000, "rope_scaling": None}),
    ("qwen3", Qwen3Config, DECODER, {"num_attention_heads": 6, "num_key_value_heads": 3, "attention_bias": True}),
    ("mistral", MistralConfig, DECODER, {"sliding_window": None}),
    ("mistral", MistralConfig, DECODER, {"max_position_embeddings": 4096, "num_attention_heads": 16}),
    ("mistral", MistralConfig, DECODER, {"sliding_window": 32768, "max_position_embeddings": 32768, "head_dim": 96,
                                         "rope_theta": 1e6, "rms_norm_eps": 1e-5, "vocab_size": 32768}),
]

cases = []
for model_type, cls, names, raw in CASES:
    config = cls.from_dict(dict(raw))
    read = {ours: getattr(config, theirs) for ours, theirs in names.items()}
    if names is DECODER:
        rope = config.rope_parameters
        read["ropeTheta"] = rope["rope_theta"]
        if rope["rope_type"] == "llama3":
            read["ropeScaling"] = {
                "factor": rope["factor"],
                "lowFrequencyFactor": rope["low_freq_factor"],
                "highFrequencyFactor": rope["high_freq_factor"],
                "originalPositions": rope["original_max_position_embeddings"],
            }
        read["headDim"] = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # Twice: as a person writes it, and as the library saves it.
    cases.append({"raw": {"model_type": model_type, **raw}, "read": read})
    cases.append({"raw": json.loads(config.to_json_string(use_diff=False)), "read": read})

path = Path("test/fixtures/checkpoint/model-configs.json")
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps(cases, indent=None).replace('{"raw"', '\n{"raw"') + "\n", encoding="utf-8")
