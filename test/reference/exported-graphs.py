"""Holds what `emoq export` writes to ONNX's checker, to Python's onnxruntime and to transformers. Writes no fixture.

Tiny random checkpoints of every kind are saved in a temporary folder, exported by the command line, opened by their
path without any option, and run on padded batches of several sizes. Prints the largest errors and fails above 1e-4.
Needs `make build`. Run with Python 3, torch 2.13.0, transformers 5.23.0, safetensors 0.8.0, onnx 1.23.2 and
onnxruntime 1.30.0:
    python test/reference/exported-graphs.py
"""

import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from stage1 import Former
from transformers import HubertConfig, HubertModel, Qwen2Config, Qwen2ForCausalLM, RobertaConfig, RobertaModel
from transformers.utils.logging import disable_progress_bar

EMOQ = Path(__file__).parent.parent.parent / "bin" / "emoq.js"
TOLERANCE = 1e-4
rows = []


def random_weights(model, seed):
    """Every weight matters: no norm at 1, no bias at 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name.lower() and name.endswith("weight") or name.endswith("original0"):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.5, 1.5, generator=generator))
            elif name.endswith("bias"):
                parameter.normal_(0, 0.2, generator=generator)
            elif "embed" in name and parameter.dim() == 2:
                parameter.normal_(0, 1, generator=generator)
            elif parameter.dim() == 2:
                parameter.normal_(0, parameter.shape[1] ** -0.5, generator=generator)
    return model.eval()


def saved(model, folder, dtype=torch.float32, **options):
    """Saves in `dtype`; the model itself stays in float32, with the numbers as they were saved."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(dtype))
    copy.deepcopy(model).to(dtype).save_pretrained(folder, **options)  # a copy: the rotary frequencies must not be rounded
    return model


def export(part, out, **options):
    """Exports, checks the files, and opens the model by its path."""
    arguments = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    subprocess.run(["node", EMOQ, "export", part, *arguments, "--out", out], check=True, stdout=subprocess.DEVNULL)
    onnx.checker.check_model(str(out), full_check=True)
    model = onnx.load(out, load_external_data=False)
    outside = [tensor for tensor in model.graph.initializer if tensor.external_data]
    inside = [tensor for tensor in model.graph.initializer if not tensor.external_data]
    assert sum(len(tensor.raw_data) for tensor in inside) < 20_000, "a weight lies inside the model"
    places = {entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"}
    assert places == {f"{out.name}.safetensors"}, places
    with safe_open(f"{out}.safetensors", "pt") as file:
        assert sorted(file.keys()) == sorted(tensor.name for tensor in outside), "weights and graph differ"
    read = {name for node in model.graph.node for name in node.input}
    assert all(tensor.name in read for tensor in outside), "a weight is stored that the graph does not read"
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["part"] == part and "weights_folder" not in metadata, metadata
    return onnxruntime.InferenceSession(str(out)), metadata


def compare(what, got, wanted, real):
    """Errors over the places where `real`: each relative to its element, or to the root mean square of all."""
    got, wanted = got[real], wanted.detach().numpy()[real]
    error = np.abs(got - wanted)
    relative = error / np.maximum(np.abs(wanted), np.sqrt(np.mean(wanted**2)))
    rows.append((what, error.max(), relative.max()))


def masks(lengths, side="right"):
    length = max(lengths)
    mask = (torch.arange(length)[None, :] < torch.tensor(lengths)[:, None]).long()
    return mask.flip(1) if side == "left" else mask


def run(session, **inputs):
    assert {value.name for value in session.get_inputs()} == set(inputs)
    outputs = session.run(None, {key: value.detach().numpy() for key, value in inputs.items()})
    return dict(zip([value.name for value in session.get_outputs()], outputs))


def encoders(folder):
    small = dict(hidden_size=30, num_attention_heads=5, num_hidden_layers=3, intermediate_size=44, conv_dim=(12, 20, 14),
                 conv_kernel=(10, 3, 2), conv_stride=(5, 2, 2), num_conv_pos_embedding_groups=5)
    variants = {
        "base": (dict(feat_extract_norm="group", conv_bias=False, do_stable_layer_norm=False,
                      num_conv_pos_embeddings=16), torch.float32),
        "base, bfloat16": (dict(feat_extract_norm="group", conv_bias=True, do_stable_layer_norm=False,
                                num_conv_pos_embeddings=9), torch.bfloat16),
        "large": (dict(feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True,
                       num_conv_pos_embeddings=15), torch.float32),
        "large, float16, pytorch_model.bin": (dict(feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True,
                                num_conv_pos_embeddings=8), torch.float16),
    }
    for seed, (name, (options, dtype)) in enumerate(variants.items()):
        model = saved(random_weights(HubertModel(HubertConfig(**small, **options)), seed), folder / name, dtype)
        if name.endswith(".bin"):
            path = folder / name / "model.safetensors"
            torch.save(load_file(path), path.with_name("pytorch_model.bin"))
            path.unlink()
        session, _ = export("encoder", folder / "out" / f"{name}.onnx", checkpoint=folder / name)
        for lengths in ([900], [700, 2000, 431], [1200, 1200]):
            mask = masks(lengths)
            values = torch.randn(mask.shape) * mask
            wanted = model(values, attention_mask=mask).last_hidden_state
            frames = model._get_feature_vector_attention_mask(wanted.shape[1], mask).numpy()
            got = run(session, input_values=values, attention_mask=mask)
            assert (got["frame_mask"] == frames).all()
            compare(f"encoder, {name}, samples {lengths}", got["last_hidden_state"], wanted, frames.astype(bool))


def qwen2(seed, **options):
    config = Qwen2Config(**dict(vocab_size=97, hidden_size=36, intermediate_size=52, num_hidden_layers=3,
                                num_attention_heads=6, num_key_value_heads=2, head_dim=8, max_position_embeddings=64,
                                attn_implementation="eager") | options)
    return random_weights(Qwen2ForCausalLM(config), seed)


def compare_logits(what, session, model, embeds=False):
    for lengths in ([1], [9, 4, 6], [17, 17]):
        for side in ("right", "left") if len(set(lengths)) > 1 else ("right",):
            mask = masks(lengths, side)
            ids = torch.randint(0, model.config.vocab_size, mask.shape)
            positions = (mask.cumsum(1) - 1).clamp(min=0)
            inputs = {"inputs_embeds": model.model.embed_tokens(ids)} if embeds else {"input_ids": ids}
            wanted = model(**inputs, attention_mask=mask, position_ids=positions).logits
            got = run(session, **inputs, attention_mask=mask)["logits"]
            compare(f"llm, {what}, {side} padding, tokens {lengths}", got, wanted, mask.bool().numpy())


def language_models(folder):
    rope = lambda theta: {"rope_type": "default", "rope_theta": theta}
    variants = {
        "tied": (dict(tie_word_embeddings=True, rope_parameters=rope(1e4)), torch.float32),
        "untied, bfloat16": (dict(tie_word_embeddings=False, rope_parameters=rope(1e6)), torch.bfloat16),
        "tied, float16, shards": (dict(tie_word_embeddings=True, num_key_value_heads=6, rope_parameters=rope(5e5)), torch.float16),
    }
    for seed, (name, (options, dtype)) in enumerate(variants.items()):
        shards = dict(max_shard_size="20KB") if name.endswith("shards") else {}
        model = saved(qwen2(seed, **options), folder / name, dtype, **shards)
        assert (folder / name / "model.safetensors.index.json").exists() == bool(shards)
        for inputs in ("input_ids", "inputs_embeds"):
            out = folder / "out" / f"{name} {inputs}.onnx"
            session, _ = export("llm", out, checkpoint=folder / name, inputs=inputs)
            held = load_file(f"{out}.safetensors")
            assert {value.dtype for value in held.values()} == {dtype}
            untied = not options["tie_word_embeddings"]
            assert ("lm_head.weight" in held) == untied
            assert ("model.embed_tokens.weight" in held) == (inputs == "input_ids" or not untied)
            compare_logits(f"{name}, {inputs}", session, model, inputs == "inputs_embeds")


def write_run(folder, stage, recipe, trained):
    """The files of a finished run that are read of it."""
    folder.mkdir(parents=True)
    metadata = {"format": "emoq-run", "stage": stage, "fold": None, "name": "reference", "status": "finished"}
    metadata |= {"labels": ["happy", "sad"], "seed": 1, "manifest": {"path": "none.csv", "sha256": ""}}
    metadata |= {"utterances": {"train": 1, "dev": 0, "test": 0}, "parameters": {"trainable": 0, "frozen": 0}}
    metadata |= {"stage1": None, "prompt": None, "selected": None, "steps": 1, "device": "cpu", "versions": {}}
    (folder / "run.json").write_text(json.dumps(metadata))
    recipe = {"name": "reference", "manifest": "none.csv", "labels": ["happy", "sad"]} | recipe
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    save_file({key: value.detach().float().contiguous() for key, value in trained.items()}, folder / "checkpoint.safetensors")


def adapted_language_models(folder):
    """A LoRA merged on export against W x + (alpha / r) B (A x), written out here."""
    places = {"q_proj": "self_attn", "k_proj": "self_attn", "v_proj": "self_attn", "o_proj": "self_attn",
              "gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}
    rank, alpha = 3, 7.0
    for name, targets, dtype in (("float32", ["q_proj", "v_proj"], torch.float32), ("bfloat16", list(places), torch.bfloat16)):
        base = folder / f"lora base {name}"
        model = saved(qwen2(7, tie_word_embeddings=True), base, dtype)
        trained = {}
        for index, layer in enumerate(model.model.layers):
            for target in targets:
                linear = getattr(getattr(layer, places[target]), target)
                a = torch.randn(rank, linear.in_features) * linear.in_features**-0.5
                b = torch.randn(linear.out_features, rank) * 0.5
                key = f"base_model.model.model.layers.{index}.{places[target]}.{target}"
                trained |= {f"{key}.lora_A.weight": a, f"{key}.lora_B.weight": b}
                linear.register_forward_hook(
                    lambda _, inputs, output, a=a, b=b: output + alpha / rank * (inputs[0] @ a.T) @ b.T)
        lora = {"rank": rank, "alpha": alpha, "targets": targets}
        run_folder = folder / f"run {name}" / "stage2"
        write_run(run_folder, 2, {"backbones": {"llm": str(base)}, "lora": lora}, trained)
        session, metadata = export("llm", folder / "out" / f"merged {name}.onnx", run=run_folder.parent)
        assert metadata["run"] == "reference" and metadata["checkpoint"] == base.name
        compare_logits(f"{name}, LoRA merged", session, model)


def former_batch(config, audio_lengths, text_lengths):
    frames, text = masks(audio_lengths), masks(text_lengths)
    ids = torch.randint(3, config["vocabulary"], text.shape) * text + (1 - text)  # padding is token 1
    return torch.randn(*frames.shape, config["audio_width"]), frames, ids, text


def compare_former(what, session, former, views):
    """Against the Former of stage1.py, which computes every utterance alone and without masks, in float64."""
    for audio_lengths, text_lengths in (([6], [4]), ([2, 9, 5], [7, 1, 3])):
        features, frame_mask, ids, mask = former_batch(former.config, audio_lengths, text_lengths)
        inputs = {}
        if views != "text":
            inputs |= {"audio_features": features, "frame_mask": frame_mask}
        if views != "audio":
            inputs |= {"input_ids": ids, "attention_mask": mask}
        wanted = [former.embed(None if views == "text" else features[i, :frames].double(),
                               None if views == "audio" else ids[i, :tokens])
                  for i, (frames, tokens) in enumerate(zip(audio_lengths, text_lengths))]
        got = run(session, **inputs)["embedding"]
        what_lengths = f"frames {audio_lengths}, tokens {text_lengths}"
        compare(f"former, {what}, {what_lengths}", got, torch.stack(wanted).float(), np.full(got.shape, True))


def formers(folder):
    config = {"width": 24, "heads": 3, "layers": 3, "intermediate": 40, "queries": 5, "pooling_heads": 4, "positions": 20,
              "vocabulary": 50, "audio_width": 10, "cross_attention_every": 2}
    roberta = RobertaModel(RobertaConfig(
        vocab_size=config["vocabulary"], hidden_size=config["width"], num_hidden_layers=config["layers"],
        num_attention_heads=config["heads"], intermediate_size=config["intermediate"], type_vocab_size=1,
        max_position_embeddings=config["positions"], layer_norm_eps=1e-5), add_pooling_layer=False)
    saved(random_weights(roberta, 3), folder / "roberta")
    words = "embeddings.word_embeddings.weight"
    settings = {"queries": config["queries"], "cross_attention_every": 2, "pooling_heads": config["pooling_heads"]}
    generator = torch.Generator().manual_seed(4)
    for views, trains_words in (("both", False), ("both", True), ("audio", False), ("text", False)):
        former = Former(config, generator)
        if not trains_words:
            former.parameters[words] = roberta.embeddings.word_embeddings.weight.detach().double()
        features, _, ids, _ = former_batch(config, [3], [3])
        former.embed(None if views == "text" else features[0].double(), None if views == "audio" else ids[0])
        trained = {f"former.{key}": value for key, value in former.parameters.items() if trains_words or key != words}
        name = f"{views}{', own words' if trains_words else ''}"
        recipe = {"inputs": views, "former": settings | {"train_word_embeddings": trains_words},
                  "backbones": {"former": str(folder / "roberta")}}
        write_run(folder / f"former {name}" / "stage1", 1, recipe, trained)
        session, _ = export("former", folder / "out" / f"former {name}.onnx", run=folder / f"former {name}")
        compare_former(f"trained, {name}", session, former, views)

    # At its start: RoBERTa's weights as they are, the queries' feed-forward layers its text's, the rest by the seed.
    encoder = HubertConfig(hidden_size=config["audio_width"], num_attention_heads=2, num_conv_pos_embedding_groups=2)
    encoder.save_pretrained(folder / "encoder")
    recipe = {"manifest": "none.csv", "labels": ["happy", "sad"], "former": settings,
              "backbones": {"encoder": str(folder / "encoder")}}
    (folder / "start.yaml").write_text(json.dumps(recipe))
    out = folder / "out" / "former start.onnx"
    session, metadata = export("former", out, checkpoint=folder / "roberta", recipe=folder / "start.yaml")
    assert metadata["trained"] == "no"
    former = Former(config, generator)
    state = roberta.state_dict()
    for key, value in load_file(f"{out}.safetensors").items():
        own = key.removeprefix("former.")
        former.parameters[own] = value.double()
        source = own.replace("intermediate_query", "intermediate").replace("output_query", "output")
        if source in state:
            assert torch.equal(value, state[source]), key
    compare_former("untrained", session, former, "both")


def main():
    onnxruntime.set_default_logger_severity(3)
    disable_progress_bar()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory(prefix="emoq ünïcode ") as name, torch.no_grad():
        for check in (encoders, language_models, adapted_language_models, formers):
            check(Path(name))
    width = max(len(what) for what, _, _ in rows)
    print(f"{'exported graph':{width}}  {'absolute':>9}  {'relative':>9}")
    for what, absolute, relative in rows:
        print(f"{what:{width}}  {absolute:9.1e}  {relative:9.1e}")
    worst = max(relative for _, _, relative in rows)
    print(f"{len(rows)} comparisons, largest relative error {worst:.1e} (at most {TOLERANCE:.0e})")
    sys.exit(0 if worst <= TOLERANCE else 1)


if __name__ == "__main__":
    main()
