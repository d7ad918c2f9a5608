#!/usr/bin/env python3
"""Reference logits of a masked language model, computed with PyTorch and transformers.

`NAME-language.json` beside this script is what dynamar's language head is compared with. The
prompts are rendered as in make_reference.py, which also says how to set up Python and what each
DIR holds; the versions are the same:

    venv/bin/python tests/data/parity/make_language_reference.py \
        --encoder bert-tiny=DIR --out tests/data/parity

`BertForMaskedLM`, eval mode, float32, eager attention, one thread, one prompt at a time. `top` are
the five tokens with the highest logits at the mask, highest first: id, token and logit, rounded to
7 significant digits. `others` are the logits of a few more ids.

The script stops if a weight of the model is missing or of another shape than the file's.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import tokenizers
import torch
import transformers
from make_reference import compact, one_prompt_per_line, render
from transformers import AutoTokenizer, BertForMaskedLM

# (template, fields)
PROMPTS = [
    ("{text} {mask}.", {"text": "the capital of france is"}),
    ("{text} It was {mask}.", {"text": "The soup was cold and the waiter was rude."}),
    ("{mask} is what {text}", {"text": "she drinks in the morning, with milk and sugar."}),
]

TOP = 5

# From all over the vocabulary: padding, an unused token, the mask, a letter, a word, a piece.
OTHERS = [0, 50, 103, 1037, 3000, 30521]


def load_model(folder):
    model, info = BertForMaskedLM.from_pretrained(
        folder,
        attn_implementation="eager",
        dtype=torch.float32,
        local_files_only=True,
        output_loading_info=True,
    )
    if info["missing_keys"] or info["mismatched_keys"]:
        sys.exit(f"{folder}: {info}")
    return model.eval()


def rounded(value):
    return float(f"{value:.7g}")


def reference(name, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = load_model(folder)
    prompts = []
    for template, fields in PROMPTS:
        encoded = tokenizer(*render(template, fields, tokenizer.mask_token), return_tensors="pt")
        ids = encoded["input_ids"][0].tolist()
        at = ids.index(tokenizer.mask_token_id)
        with torch.inference_mode():
            logits = model(**encoded).logits[0, at]
        best = torch.topk(logits, TOP)
        prompts.append(
            {
                "template": template,
                "fields": fields,
                "input_ids": ids,
                "mask_position": at,
                "top": [
                    {"id": i, "token": tokenizer.convert_ids_to_tokens(i), "logit": rounded(x)}
                    for x, i in zip(best.values.tolist(), best.indices.tolist())
                ],
                "others": [{"id": i, "logit": rounded(logits[i].item())} for i in OTHERS],
            }
        )
    return {
        "encoder": name,
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "made_with": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
        "prompts": prompts,
    }


def main():
    parser = argparse.ArgumentParser(description="Write reference logits of masked language models.")
    parser.add_argument("--encoder", action="append", required=True, metavar="NAME=DIR")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for encoder in arguments.encoder:
        name, _, folder = encoder.partition("=")
        if not name or not folder:
            parser.error(f"--encoder {encoder}: not NAME=DIR")
        result = reference(name, Path(folder))
        path = arguments.out / f"{name}-language.json"
        path.write_text(one_prompt_per_line(result), encoding="utf-8", newline="\n")
        for prompt in result["prompts"]:
            print(compact([prompt["fields"], [top["token"] for top in prompt["top"]]]))


if __name__ == "__main__":
    main()
