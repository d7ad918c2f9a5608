#!/usr/bin/env python3
"""Reference data of many encoder families, made with PyTorch and Hugging Face transformers.

Each directory beside this script holds a tiny encoder of one family with random
weights, and what transformers computes with it. Nothing here uses dynamar.

How to run it
-------------
    python3 -m venv venv
    venv/bin/pip install torch==2.8.0 transformers==4.57.6 tokenizers==0.22.2 \
        safetensors==0.8.0 numpy==2.4.6 sentencepiece==0.2.3 protobuf==7.36.2
    venv/bin/python tests/data/families/make_references.py

It takes about a minute on one CPU and writes the same bytes each time. The
committed files were made with the versions above and Python 3.11.7 on x86-64
Linux. Arguments name the families to make; without any, all are made.

What a directory holds
----------------------
  config.json, model.safetensors  as save_pretrained writes them, float32
  tokenizer.json                  the family's pipeline, with a tiny vocabulary
                                  trained on models/data/*/train.csv
  reference.json                  see below

reference.json
--------------
`prompts`: random tokens with one mask. `vector` is last_hidden_state of the base
model at the mask; `logits`, of the first prompt of a model with a masked-LM head,
are the head's values for the whole vocabulary there. Eval mode, float32, eager
attention, one thread, one prompt at a time, written so that they read back as the
same float32.

`tokens`: templates filled in with fields, `{mask}` with the mask token, and what the
tokenizer makes of them; `{sep}` parts the two texts of a pair. token_type_ids are
tokenizer.json's own, also in families whose encoder ignores them.

The script stops if a weight is missing, unexpected or not what the file holds, if
a padded batch gives another result, or if a weight has no effect.
"""

import argparse
import csv
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy
import sentencepiece
import tokenizers
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from effects import check_every_weight_matters, check_padding
from golden_tokens import golden_tokens
from inference import has_masked_lm_head, mask_logits, mask_vectors
from prompts import Prompt, random_prompts
from tiny_models import FAMILIES, Family, build
from tiny_tokenizers import EXTRA_TEXTS

HERE = Path(__file__).resolve().parent
REVIEWS = HERE.parents[2] / "models" / "data"
SEED = 20250801

MADE_WITH = {
    "torch": torch.__version__.partition("+")[0],
    "transformers": transformers.__version__,
    "tokenizers": tokenizers.__version__,
    "sentencepiece": sentencepiece.__version__,
}


def training_texts() -> list[str]:
    texts: list[str] = []
    for path in sorted(REVIEWS.glob("*/train.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            texts.extend(row["text"] for row in csv.DictReader(file))
    return texts + EXTRA_TEXTS


def make_directory(family: Family, texts: list[str], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = family.tokenizer(texts, Path(scratch))
        build(family, tokenizer, SEED).save_pretrained(scratch, safe_serialization=True)
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(Path(scratch) / name, out / name)
    tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"))
    model = load_model(family, out)
    prompts = random_prompts(tokenizer, family.segments, SEED)
    check_padding(model, prompts, tokenizer.pad_token_id)
    check_every_weight_matters(model, prompts)
    tokens = golden_tokens(tokenizer, Tokenizer.from_file(str(out / "tokenizer.json")))
    write_reference(out / "reference.json", results(model, prompts), tokens)


def load_model(family: Family, folder: Path) -> PreTrainedModel:
    """The model as it reads its own files, compared with them."""
    model, info = family.model.from_pretrained(
        folder,
        attn_implementation="eager",
        dtype=torch.float32,
        local_files_only=True,
        output_loading_info=True,
    )
    if faults := {what: names for what, names in info.items() if names}:
        sys.exit(f"{folder}: {faults}")
    loaded = model.state_dict()
    for name, tensor in load_file(folder / "model.safetensors").items():
        if tensor.dtype != torch.float32 or not torch.equal(tensor, loaded[name]):
            sys.exit(f"{folder}: {name} is not what the file holds")
    return model.eval()


def results(model: PreTrainedModel, prompts: list[Prompt]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for prompt, vector in zip(prompts, mask_vectors(model, prompts), strict=True):
        found.append(
            {
                "input_ids": prompt.input_ids,
                "token_type_ids": prompt.token_type_ids,
                "mask_position": prompt.mask_position,
                "vector": exact(vector),
            }
        )
    if has_masked_lm_head(model):
        found[0]["logits"] = exact(mask_logits(model, prompts[0]))
    return found


def exact(tensor: torch.Tensor) -> list[float]:
    """The shortest decimals that read back as the same float32."""
    return [float(str(numpy.float32(value))) for value in tensor.tolist()]


def write_reference(path: Path, prompts: list[dict[str, object]], tokens: list[dict[str, object]]) -> None:
    """One prompt per line."""
    head = f'"made_with":{compact(MADE_WITH)}'
    text = f'{{{head},\n"prompts":[\n{lines(prompts)}\n],\n"tokens":[\n{lines(tokens)}\n]}}\n'
    path.write_text(text, encoding="utf-8", newline="\n")


def lines(values: Iterable[object]) -> str:
    return ",\n".join(compact(value) for value in values)


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write reference data of encoder families.")
    parser.add_argument("family", nargs="*", help="families to make (default: all)")
    wanted = parser.parse_args().family
    if unknown := set(wanted) - {family.name for family in FAMILIES}:
        parser.error(f"unknown families: {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    texts = training_texts()
    for family in FAMILIES:
        if wanted and family.name not in wanted:
            continue
        out = HERE / family.name
        make_directory(family, texts, out)
        size = sum(path.stat().st_size for path in out.iterdir())
        print(f"{family.name}: {size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
