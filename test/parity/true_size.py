"""Writes a checkpoint of a published model's true shapes with random weights, and what transformers computes with it.

Called by true-size.test.ts, which says which model and where:
    python true_size.py hubert-large|whisper-base|whisper-large-v3|roberta-base|qwen2.5-0.5b|qwen2.5-0.5b-in-bfloat16 FOLDER

FOLDER gets what save_pretrained writes and expected.safetensors (inputs and outputs in float32, with the versions).
Computed in float32 by the plain ("eager") attention; a 16-bit checkpoint is read back into float32 first. The last one
has two layers and a small vocabulary, and is computed under torch.autocast, too, with products in bfloat16.
"""

import json
import sys
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors.torch import save_file


def random_weights(model):
    """Weights of the scale that keeps every layer's share alive: no norm at 1, no bias at 0."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() and name.endswith("weight") or name.endswith("original0"):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5))
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1)
            elif "embed" in name and parameter.dim() == 2:
                parameter.normal_(0, 1)
            elif parameter.dim() == 2:
                parameter.normal_(0, parameter.shape[1] ** -0.5)
    return model.eval()


def right_padded(lengths, length):
    return (torch.arange(length)[None, :] < torch.tensor(lengths)[:, None]).long()


def hubert_large(folder):
    config = transformers.HubertConfig(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
        feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True, attn_implementation="eager")
    model = random_weights(transformers.HubertModel(config))
    model.save_pretrained(folder)
    mask = right_padded([48_000, 33_333], 48_000)
    values = torch.randn(mask.shape) * mask
    hidden = model(values, attention_mask=mask).last_hidden_state
    frames = model._get_feature_vector_attention_mask(hidden.shape[1], mask).long()
    return {"input_values": values, "attention_mask": mask, "last_hidden_state": hidden, "frame_mask": frames}


def whisper(folder, layers, width, heads, bands=80):
    config = transformers.WhisperConfig(
        d_model=width, encoder_layers=layers, encoder_attention_heads=heads, encoder_ffn_dim=4 * width,
        num_mel_bins=bands, decoder_layers=1, decoder_attention_heads=heads, decoder_ffn_dim=width,
        attn_implementation="eager")
    model = random_weights(transformers.WhisperModel(config))
    model.save_pretrained(folder)
    extractor = transformers.WhisperFeatureExtractor(feature_size=bands)
    extractor.save_pretrained(folder)
    mask = right_padded([560_000, 33_333], 560_000)
    values = 0.1 * torch.randn(mask.shape) * mask
    # 35 s are two windows of 30 s, each with frames of its own; the second clip has the first window alone.
    windows = [values[0, :480_000], values[0, 480_000:], values[1, :33_333]]
    states = [model.get_encoder()(extractor(window.numpy(), sampling_rate=16_000, return_tensors="pt").input_features)
              .last_hidden_state[0] for window in windows]
    lengths = [1750, 105]
    hidden = torch.stack([torch.cat([states[0], states[1]])[:1750], torch.cat([states[2], states[1]])[:1750]])
    return {"input_values": values, "attention_mask": mask, "last_hidden_state": hidden,
            "frame_mask": right_padded(lengths, 1750)}


def whisper_base(folder):
    return whisper(folder, 6, 512, 8)


def whisper_large(folder):
    return whisper(folder, 32, 1280, 20, bands=128)


def roberta_base(folder):
    config = transformers.RobertaConfig(
        vocab_size=50_265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5,
        attn_implementation="eager")
    model = random_weights(transformers.RobertaModel(config, add_pooling_layer=False))
    model.save_pretrained(folder)
    mask = right_padded([40, 23, 3], 40)
    ids = torch.randint(3, config.vocab_size, mask.shape) * mask + config.pad_token_id * (1 - mask)
    return {"input_ids": ids, "attention_mask": mask,
            "last_hidden_state": model(ids, attention_mask=mask).last_hidden_state}


def save_qwen2(folder, **sizes):
    """Random weights at the widths of Qwen2.5-0.5B, stored in bfloat16."""
    config = transformers.Qwen2Config(
        hidden_size=896, intermediate_size=4864, num_attention_heads=14, num_key_value_heads=2,
        max_position_embeddings=32_768, rms_norm_eps=1e-6, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0}, attn_implementation="eager", **sizes)
    random_weights(transformers.Qwen2ForCausalLM(config)).to(torch.bfloat16).save_pretrained(folder)
    return config


def qwen2_half_billion(folder):
    config = save_qwen2(folder, vocab_size=151_936, num_hidden_layers=24)
    # Read anew: a model that is cast back to float32 would keep rotary frequencies that were rounded to bfloat16.
    model = transformers.Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    mask = right_padded([24, 15], 24)
    ids = torch.randint(0, config.vocab_size, mask.shape)
    out = {"input_ids": ids}
    for side, own in {"right": mask, "left": mask.flip(1)}.items():
        positions = (own.cumsum(1) - 1).clamp(min=0)
        hidden = model.model(input_ids=ids, attention_mask=own, position_ids=positions).last_hidden_state
        out |= {f"{side}.mask": own, f"{side}.hidden": hidden, f"{side}.logits": model.lm_head(hidden)}
    return out


def qwen2_in_bfloat16(folder):
    config = save_qwen2(folder, vocab_size=4096, num_hidden_layers=2)
    model = transformers.Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    mask = right_padded([24, 15], 24)
    ids = torch.randint(0, config.vocab_size, mask.shape)
    out = {"input_ids": ids, "mask": mask}
    for name in ("float32", "autocast"):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=name == "autocast"):
            hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state
            out |= {f"{name}.hidden": hidden, f"{name}.logits": model.lm_head(hidden).float()}
    return out


MODELS = {"hubert-large": hubert_large, "whisper-base": whisper_base, "whisper-large-v3": whisper_large,
          "roberta-base": roberta_base, "qwen2.5-0.5b": qwen2_half_billion,
          "qwen2.5-0.5b-in-bfloat16": qwen2_in_bfloat16}

if __name__ == "__main__":
    name, folder = sys.argv[1], Path(sys.argv[2])
    with torch.inference_mode():
        tensors = MODELS[name](folder)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__,
                "safetensors": safetensors.__version__}
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "expected.safetensors",
              {"versions": json.dumps(versions)})
