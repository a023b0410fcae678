"""Makes test/fixtures/toy-backbones.json: the weight keys and shapes that the transformers library gives models of the
toy backbones' configurations. "vocab" stands for the size of the vocabulary.

Made with Python 3.11, transformers 5.24.0, torch 2.13.0. Run from the repository root:
    python test/reference/toy-backbones.py
"""

import json
from pathlib import Path

from transformers import (HubertConfig, HubertModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM,
                          Qwen3Config, Qwen3ForCausalLM, RobertaConfig, RobertaModel, Wav2Vec2Config, Wav2Vec2Model,
                          WavLMConfig, WavLMModel, WhisperConfig, WhisperModel)

VOCAB = 1447  # a size that no other dimension has

SPEECH = dict(
    conv_bias=True,
    conv_dim=[40] * 7,
    do_stable_layer_norm=True,
    feat_extract_norm="layer",
    hidden_size=64,
    intermediate_size=128,
    num_attention_heads=4,
    num_conv_pos_embedding_groups=4,
    num_conv_pos_embeddings=16,
    num_hidden_layers=2,
)
DECODER = dict(
    hidden_size=96,
    intermediate_size=256,
    num_attention_heads=4,
    num_hidden_layers=4,
    num_key_value_heads=2,
    tie_word_embeddings=True,
    vocab_size=VOCAB,
)
models = {
    "hubert": HubertModel(HubertConfig(**SPEECH)),
    "wav2vec2": Wav2Vec2Model(Wav2Vec2Config(**SPEECH)),
    "wavlm": WavLMModel(WavLMConfig(**SPEECH, num_buckets=16, max_bucket_distance=50)),
    "whisper": WhisperModel(
        WhisperConfig(
            d_model=64,
            decoder_attention_heads=4,
            decoder_ffn_dim=128,
            decoder_layers=1,
            encoder_attention_heads=4,
            encoder_ffn_dim=128,
            encoder_layers=2,
            max_source_positions=250,
            max_target_positions=8,
            bos_token_id=1,
            decoder_start_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
            suppress_tokens=None,
            begin_suppress_tokens=None,
            vocab_size=16,
        )
    ),
    "roberta": RobertaModel(
        RobertaConfig(
            hidden_size=64,
            intermediate_size=256,
            max_position_embeddings=130,
            num_attention_heads=4,
            num_hidden_layers=4,
            type_vocab_size=1,
            vocab_size=VOCAB,
        ),
        add_pooling_layer=False,
    ),
    "qwen2": Qwen2ForCausalLM(Qwen2Config(**DECODER)),
    "qwen3": Qwen3ForCausalLM(Qwen3Config(**DECODER, head_dim=24)),
    "llama": LlamaForCausalLM(LlamaConfig(**DECODER)),
}

keys = {}
for name, model in models.items():
    # With tied embeddings a checkpoint holds the matrix once, under the name of the input embeddings.
    keys[name] = {
        key: ["vocab" if size == VOCAB else size for size in value.shape]
        for key, value in sorted(model.state_dict().items())
        if key != "lm_head.weight"
    }
lines = [
    f'  "{name}": {{\n' + ",\n".join(f'    "{key}": {json.dumps(shape)}' for key, shape in sorted(shapes.items())) + "\n  }"
    for name, shapes in keys.items()
]
Path("test/fixtures/toy-backbones.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
