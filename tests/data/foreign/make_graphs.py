#!/usr/bin/env python3
"""ONNX graphs of another exporter, made from the tiny encoders in ../families.

Each directory beside this script holds one graph as torch.onnx.export writes it, or
one that an importer must refuse. Config, tokenizer and reference vectors are those of
the family's directory that `BASES` names. Nothing here uses dynamar.

How to run it
-------------
    python3 -m venv venv
    venv/bin/pip install torch==2.8.0 transformers==4.57.6 numpy==2.4.6 \
        safetensors==0.8.0 onnx==1.19.0 onnxruntime==1.22.1
    venv/bin/python tests/data/foreign/make_graphs.py

It takes seconds. The committed files were made with the versions above and Python
3.11.7 on x86-64 Linux.

What a directory holds
----------------------
  model.onnx or onnx/model.onnx  the graph
  *.onnx_data                    the numbers that it names, of graphs with external data
  reference.json                 of `logits`, whose vectors are not the family's: prompts
                                 and their logits, as ../families has prompts and vectors

The script stops if a good graph computes in ONNX Runtime what the family's reference
does not say.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy
import onnx
import onnxruntime
import torch
import transformers
from onnx import ModelProto, TensorProto, helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

HERE = Path(__file__).resolve().parent
FAMILIES = HERE.parent / "families"
SEED = 20250802

# The family's directory behind each graph.
BASES = {
    "bert": "bert",
    "distilbert": "distilbert",
    "roberta": "roberta",
    "logits": "distilbert",
    "fp16": "distilbert",
    "int8": "distilbert",
    "two-outputs": "distilbert",
    "fixed-batch": "distilbert",
    "fixed-length": "distilbert",
    "float-input": "distilbert",
    "custom-operator": "distilbert",
    "control-flow": "distilbert",
    "unmasked": "distilbert",
}

# Largest difference to the reference, relative to the largest component.
TOLERANCES = {"fp16": 2e-2, "int8": 0.5}
TOLERANCE = 1e-5


class Outputs(nn.Module):
    """An encoder whose outputs are a tuple of tensors."""

    def __init__(self, encoder: nn.Module, segments: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.segments = segments

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.segments:
            inputs["token_type_ids"] = token_type_ids
        return self.encoder(**inputs)[0]


class TwoOutputs(Outputs):
    """Hidden states and their mean."""

    def forward(self, input_ids, attention_mask):
        hidden = super().forward(input_ids, attention_mask)
        return hidden, hidden.mean(dim=1)


class Unmasked(Outputs):
    """An encoder that sees padding, and so is of no use in a batch."""

    def forward(self, input_ids, attention_mask):
        seen = torch.ones_like(attention_mask) + 0 * attention_mask
        return super().forward(input_ids, seen)


class FromEmbeddings(Outputs):
    """An encoder that is given embeddings instead of ids."""

    def forward(self, inputs_embeds, attention_mask):
        return self.encoder(inputs_embeds=inputs_embeds, attention_mask=attention_mask)[0]


def encoder(base: str, **config: int) -> nn.Module:
    transformers.logging.set_verbosity_error()
    model = transformers.AutoModel.from_pretrained(
        FAMILIES / base, attn_implementation="eager", dtype=torch.float32, local_files_only=True, **config
    )
    return model.eval()


def one_layer() -> nn.Module:
    """Enough of an encoder for a graph that is refused."""
    return encoder("distilbert", n_layers=1)


def classifier() -> nn.Module:
    """A classifier of three labels on DistilBERT, with weights that matter."""
    torch.manual_seed(SEED)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        FAMILIES / "distilbert", num_labels=3, attn_implementation="eager", local_files_only=True
    )
    for layer in (model.pre_classifier, model.classifier):
        nn.init.normal_(layer.weight, std=0.4)
        nn.init.normal_(layer.bias, std=0.4)
    return model.eval()


def export(model: nn.Module, out: Path, names: dict[str, list[str]], dynamic=(0, 1)) -> None:
    """The model as the exporter of torch writes it; `dynamic` are the axes that vary."""
    out.parent.mkdir(parents=True, exist_ok=True)
    ids = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 9, 3, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    examples = {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": torch.zeros_like(ids),
        "inputs_embeds": torch.zeros(2, 5, 24),
    }
    axes = {0: "batch", 1: "sequence"}
    axes = {axis: axes[axis] for axis in dynamic}
    # The exporter gives the mode of the whole back to all of its parts.
    model.eval()
    torch.onnx.export(
        model,
        tuple(examples[name] for name in names["in"]),
        out,
        input_names=names["in"],
        output_names=names["out"],
        dynamic_axes={name: axes for name in names["in"] + names["out"]},
        opset_version=17,
        dynamo=False,
    )


IDS = ["input_ids", "attention_mask"]
HIDDEN = {"in": IDS, "out": ["last_hidden_state"]}


def make_bert(out: Path) -> None:
    names = {"in": [*IDS, "token_type_ids"], "out": ["last_hidden_state"]}
    export(Outputs(encoder("bert"), segments=True), out / "model.onnx", names)


def make_distilbert(out: Path) -> None:
    export(Outputs(encoder("distilbert")), out / "model.onnx", HIDDEN)


def make_roberta(out: Path) -> None:
    """As optimum lays it out, with its numbers in a file beside it."""
    path = out / "onnx" / "model.onnx"
    export(Outputs(encoder("roberta")), path, HIDDEN)
    model = onnx.load(path)
    path.unlink()
    onnx.save(
        model,
        path,
        save_as_external_data=True,
        location="model.onnx_data",
        all_tensors_to_one_file=True,
        size_threshold=256,
    )


def make_logits(out: Path) -> None:
    model = classifier()
    export(Outputs(model), out / "model.onnx", {"in": IDS, "out": ["logits"]})
    prompts = reference("distilbert")
    with torch.inference_mode():
        for prompt in prompts:
            ids = torch.tensor([prompt["input_ids"]])
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            prompt["vector"] = logits[0].tolist()
            prompt.pop("logits", None)
    (out / "reference.json").write_text(json.dumps({"prompts": prompts}) + "\n")


def make_fp16(out: Path) -> None:
    export(Outputs(encoder("distilbert").half()), out / "model.onnx", HIDDEN)


def make_int8(out: Path) -> None:
    make_distilbert(out)
    path = out / "model.onnx"
    quantize_dynamic(path, path, weight_type=QuantType.QInt8)


def make_two_outputs(out: Path) -> None:
    names = {"in": IDS, "out": ["hidden", "mean"]}
    export(TwoOutputs(one_layer()), out / "model.onnx", names)


def make_fixed_batch(out: Path) -> None:
    export(Outputs(one_layer()), out / "model.onnx", HIDDEN, dynamic=(1,))


def make_fixed_length(out: Path) -> None:
    export(Outputs(one_layer()), out / "model.onnx", HIDDEN, dynamic=(0,))


def make_float_input(out: Path) -> None:
    names = {"in": ["inputs_embeds", "attention_mask"], "out": ["last_hidden_state"]}
    export(FromEmbeddings(one_layer()), out / "model.onnx", names)


def make_unmasked(out: Path) -> None:
    export(Unmasked(one_layer()), out / "model.onnx", HIDDEN)


def make_custom_operator(out: Path) -> None:
    def change(model: ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == "Erf")
        node.op_type, node.domain = "FastErf", "com.example.kernels"
        model.opset_import.append(helper.make_opsetid("com.example.kernels", 1))

    edited(out, change)


def make_control_flow(out: Path) -> None:
    """The output goes through an If, whose branches are graphs of their own."""

    def change(model: ModelProto) -> None:
        shape = ["batch", "sequence", 24]

        def branch(name: str):
            constant = helper.make_node("Identity", ["hidden"], [name])
            value = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            return helper.make_graph([constant], name, [], [value])

        for node in model.graph.node:
            node.output[:] = ["hidden" if name == "last_hidden_state" else name for name in node.output]
        true = helper.make_node(
            "Constant", [], ["is_true"], value=helper.make_tensor("is_true", TensorProto.BOOL, [], [True])
        )
        choice = helper.make_node(
            "If", ["is_true"], ["last_hidden_state"], then_branch=branch("one"), else_branch=branch("other")
        )
        model.graph.node.extend([true, choice])

    edited(out, change)


def edited(out: Path, change: Callable[[ModelProto], None]) -> None:
    export(Outputs(one_layer()), out / "model.onnx", HIDDEN)
    model = onnx.load(out / "model.onnx")
    change(model)
    onnx.save(model, out / "model.onnx")


def reference(base: str) -> list[dict]:
    return json.loads((FAMILIES / base / "reference.json").read_text())["prompts"]


def check(name: str, out: Path) -> None:
    """Compares what ONNX Runtime makes of a graph with the reference."""
    path = next(path for path in (out / "model.onnx", out / "onnx" / "model.onnx") if path.exists())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    known = {entry.name for entry in session.get_inputs()}
    own = out / "reference.json"
    prompts = json.loads(own.read_text())["prompts"] if own.exists() else reference(BASES[name])
    for prompt in prompts:
        ids = numpy.array([prompt["input_ids"]])
        feeds = {
            "input_ids": ids,
            "attention_mask": numpy.ones_like(ids),
            "token_type_ids": numpy.array([prompt["token_type_ids"]]),
        }
        (found,) = session.run(None, {key: value for key, value in feeds.items() if key in known})
        row = found[0] if name == "logits" else found[0, prompt["mask_position"]]
        expected = numpy.array(prompt["vector"])
        difference = numpy.abs(row - expected).max() / numpy.abs(expected).max()
        assert difference < TOLERANCES.get(name, TOLERANCE), f"{name}: {difference}"


GOOD = ["bert", "distilbert", "roberta", "logits", "fp16", "int8"]


def main() -> None:
    for name in BASES:
        out = HERE / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        globals()["make_" + name.replace("-", "_")](out)
        if name in GOOD:
            check(name, out)


if __name__ == "__main__":
    main()
