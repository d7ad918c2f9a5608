#!/usr/bin/env python3
"""Reference [MASK] vectors, computed with PyTorch and Hugging Face transformers.

The JSON files beside this script are what dynamar's encoder is compared with.
Nothing here uses dynamar: the template is rendered below, the token ids come
from transformers' tokenizer and the vectors from transformers' `AutoModel`.

How to run it
-------------
    python3 -m venv venv
    venv/bin/pip install torch==2.8.0 transformers==4.57.6 tokenizers==0.22.2 \
        safetensors==0.8.0 numpy==2.4.6
    venv/bin/python tests/data/parity/make_reference.py \
        --encoder minilm-l6=DIR --encoder bert-tiny=DIR --encoder mpnet-base=DIR \
        --out tests/data/parity

Each DIR holds an encoder in Hugging Face layout: config.json,
model.safetensors, tokenizer.json, tokenizer_config.json. The committed files
were made with exactly the versions above (torch as the build 2.8.0+cu128, run
on the CPU; huggingface_hub 0.36.2) and Python 3.11.7 on x86-64 Linux.

  minilm-l6  sentence-transformers/all-MiniLM-L6-v2: 6 layers, hidden size 384
  bert-tiny  a BERT masked language model of 2 layers, hidden size 128, whose
             tensors are named `bert.*` with LayerNorm `gamma` and `beta`
  mpnet-base sentence-transformers/all-mpnet-base-v2: 12 layers, hidden size 768

What is computed
----------------
1. The template is rendered in one pass: `{field}` becomes the field's text,
   `{mask}` the tokenizer's mask token, and `{sep}` separates segment A from
   segment B. Braces inside a field's text are plain characters.
2. `tokenizer(A)` or `tokenizer(A, B)`, with special tokens, without truncation
   and without padding, whatever tokenizer.json says about those two.
3. `AutoModel` without its pooler, eval mode, float32, eager attention, one
   thread, one prompt at a time. `mask_vector` is last_hidden_state at the mask,
   rounded to 7 significant digits.

The script stops if a weight of the encoder is missing, unexpected or not equal,
bit for bit, to the tensor in model.safetensors.

Output: `OUT/NAME.json`, one prompt per line.
"""

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

import tokenizers
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

REVIEW = "{text} It was {mask}."

# (template, fields)
PROMPTS = [
    # one word; mask at the end
    (REVIEW, {"text": "Disappointing."}),
    # apostrophes, straight and curly
    (
        REVIEW,
        {
            "text": "I wouldn't say it's the best kettle I've owned, but my "
            "sister\u2019s didn\u2019t last six months and this one\u2019s still going."
        },
    ),
    # all caps, repeated punctuation
    (
        REVIEW,
        {"text": "DO NOT BUY!!! ARRIVED BROKEN, SELLER NEVER ANSWERED... WORST PURCHASE OF 2023 >:("},
    ),
    # emoji: single, skin tone, ZWJ sequence, flag, keycap
    (
        REVIEW,
        {
            "text": "Love it \U0001F60D\U0001F60D the kids fight over who gets to use it "
            "\U0001F44D\U0001F3FD \U0001F468\u200D\U0001F469\u200D\U0001F467 "
            "\U0001F1EB\U0001F1F7 5\uFE0F\u20E3/5 \u2764\uFE0F"
        },
    ),
    # accents, composed and decomposed, sharp s, ligature, dotted capital I
    (
        REVIEW,
        {
            "text": "Tr\u00E8s d\u00E9\u00E7u : la cafeti\u00E8re fuit de\u0301ja\u0300, "
            "\u00C9L\u00C9GANTE mais fragile. Die Gr\u00F6\u00DFe pa\u00DFt nicht, "
            "pi\u00F1ata de pl\u00E1stico, \u0141\u00F3d\u017A, \u0130zmir, \uFB01nish \u0153uvre."
        },
    ),
    # Chinese, Japanese, Korean, mixed with Latin
    (
        REVIEW,
        {
            "text": "\u8FD9\u4E2A\u624B\u673A\u58F3\u8D28\u91CF\u5F88\u597D\uFF0C\u7269\u6D41\u4E5F\u5FEB\u3002"
            "\u30AB\u30E1\u30E9\u306E\u30EC\u30F3\u30BA\u304C\u66C7\u3063\u3066\u3044\u305F\u3002"
            "\uBC30\uC1A1\uC774 \uBE68\uB790\uC5B4\uC694 model X200\uFF08\u9ED1\u8272\uFF09"
        },
    ),
    # Arabic and Hebrew, with vowel marks
    (
        REVIEW,
        {
            "text": "\u0627\u0644\u0645\u0646\u062A\u062C \u0645\u0645\u062A\u0627\u0632 "
            "\u0648\u0627\u0644\u0633\u0650\u0639\u0652\u0631 \u0645\u0646\u0627\u0633\u0628\u060C "
            "\u05D4\u05DE\u05D5\u05E6\u05E8 \u05D4\u05D2\u05D9\u05E2 \u05E9\u05C1\u05B8\u05D1\u05D5\u05E8, "
            "size 42 \u2013 \u0663\u0664\u0665."
        },
    ),
    # mask near the start and at the very start
    (
        "Overall {mask}: {text}",
        {"text": "the zip jammed on day two, yet the fabric feels sturdy & the pockets are huge."},
    ),
    (
        "{mask} review of a garden hose: {text}",
        {"text": "It kinks, it leaks at the tap, and the reel squeaks."},
    ),
    # numbers, units and punctuation
    (
        "{text} Category: {mask}",
        {
            "text": "M8 x 1.25 hex bolt, 304/A2 stainless, 50mm (2\"), 100-pack @ $17.99 [-12.5%]; "
            "tensile \u2265700 N/mm\u00B2, \u00B10.05 mm, DIN-933 #4_017; 3\u00BD kg ~ 7.7 lb"
        },
    ),
    # URLs and an address; mask in the middle
    (
        "Comment: {text} This is {mask}, please check.",
        {
            "text": "see https://shop.example.com/p/4711?ref=mail&utm_source=x#reviews or "
            "www.example.org/a_b-c~d, write to help.desk+eu@example.com"
        },
    ),
    # braces, stars, names of placeholders and other characters that templates use
    (
        REVIEW,
        {
            "text": "The label says {brand} and {{size}} instead of a name }{ and **bold** * text*, "
            "plus {text}, {mask}, {sep}, <b>html</b>, $1, %s, \\n and `code`."
        },
    ),
    # two fields, mask in the middle
    (
        "{title}. All in all {mask}. {text}",
        {
            "title": "Decent headphones for the price",
            "text": "Bass is muddy but the battery lasts all week.",
        },
    ),
    # two fields, the later one first, with tab, newline and no-break space
    (
        "Item: {description} ({title}) belongs to {mask} goods",
        {
            "title": "Oak shelf, 3 tiers",
            "description": "Solid wood.\n\tEasy to mount;\u00A0screws  included.\r\nMax load 20\u00A0kg",
        },
    ),
    # pairs
    (
        "{left} {sep} {right} Match: {mask}.",
        {
            "left": "Sonora BT-210 wireless speaker, black",
            "right": "Sonora BT210 Bluetooth Speaker (Blk) w/ USB-C",
        },
    ),
    (
        "{title} is {mask} {sep} {description}",
        {
            "title": "Merino base layer women's M",
            "description": "Lightweight long-sleeve top knitted from 100% merino wool, flat seams, "
            "machine washable at 30\u00B0C. Colour: p\u00E9trole. Ships in 2\u20133 days.",
        },
    ),
    (
        "{mask}: {left}{sep}{right}",
        {"left": "Kettle", "right": "\u0427\u0430\u0439\u043D\u0438\u043A \u043A\u0435\u0440\u0430\u043C\u0438\u0447\u0435\u0441\u043A\u0438\u0439 1,7 \u043B"},
    ),
    # long: a review
    (
        REVIEW,
        {
            "text": "I bought this vacuum cleaner in early spring after reading maybe forty reviews, and I want "
            "to leave an honest account now that I've used it for the better part of a year. Out of the box it "
            "looked great: compact, light enough for my mother to carry upstairs, and the charging dock took "
            "five minutes to screw onto the wall. Suction on hard floors is excellent, even on the low setting, "
            "and it picks up cat litter without spraying it across the kitchen. Carpets are another story. "
            "The brush roll tangles with long hair after two rooms, you need a coin to open the cover, and by "
            "then the battery is down to a third. In October the trigger began to stick; customer service "
            "answered within a day, asked for photos, and sent a replacement handle free of charge, which I "
            "appreciated. The filter, however, costs 24.90 and should be changed every three months, something "
            "the box doesn't mention anywhere. My neighbour paid half as much for a corded model that does the "
            "same job with less fuss. Would I buy it again? If I lived in a small flat with wooden floors, "
            "probably yes. With two pets and thick rugs, I'd keep looking."
        },
    ),
    # long: a catalogue entry with a long part B, mask in part A
    (
        "Department {mask} for {title} {sep} {description}",
        {
            "title": "Trailhead 45 L trekking backpack, unisex, slate/orange",
            "description": "Built for three-day hikes: ripstop nylon 210D with a PU coating (1500 mm), aluminium "
            "stay, ventilated mesh back and a hip belt that adjusts from 68 to 120 cm. Main compartment with "
            "drawcord and storm flap, zipped bottom access, two stretch side pockets for 1-litre bottles, "
            "removable top lid with key clip, ice-axe loops, hydration sleeve up to 3 L (bladder not included), "
            "rain cover in the base. Volume: 45 + 5 L. Weight: 1.38 kg. Dimensions: 66 x 31 x 24 cm. "
            "Materials: shell 100% polyamide, lining 100% polyester, bluesign\u00AE approved. Care: sponge clean "
            "only; do not tumble dry. Warranty: 5 years. Item no. TH-45-SLO / EAN 4006381333931.",
        },
    ),
    # long: mask at the end of part B, mixed scripts and symbols
    (
        "{title} {sep} {text} Rating {mask}",
        {
            "title": "Mixed feelings about the caf\u00E9 table",
            "text": "Pros: looks expensive, the marble-effect top wipes clean, it\u2019s the right height for our "
            "balcony chairs, and the delivery guys from Z\u00FCrich carried it up four floors. Cons: one leg is "
            "~4 mm short (folded cardboard to the rescue!), the instructions are in \u65E5\u672C\u8A9E only, two of "
            "eight M6 screws were missing, and the \u201Crust-free\u201D coating shows orange specks after the "
            "first rain. EDIT 12/06: the shop offered 15\u202F% off or a return at my own cost\u2014not thrilled. "
            "EDIT 03/07: they finally sent a new leg; table's level now. \u2605\u2605\u2605\u2606\u2606 "
            "Short version: nice idea, sloppy execution; wait for a sale\u2026",
        },
    ),
]

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def render(template, fields, mask_token):
    """The rendered segments: [A] or [A, B]."""
    segments, last, masks = [""], 0, 0
    for found in PLACEHOLDER.finditer(template):
        segments[-1] += template[last : found.start()]
        last = found.end()
        name = found.group(1)
        if name == "mask":
            segments[-1] += mask_token
            masks += 1
        elif name == "sep":
            segments.append("")
        else:
            segments[-1] += fields[name]
    segments[-1] += template[last:]
    assert masks == 1 and len(segments) <= 2, template
    return segments


def module_name(stored):
    """The name in the model of a tensor in the file, or None if not of the encoder."""
    name = stored.removeprefix("bert.")
    if name.startswith(("cls.", "pooler.")) or name == "embeddings.position_ids":
        return None
    return re.sub(r"\.beta$", ".bias", re.sub(r"\.gamma$", ".weight", name))


def load_encoder(folder):
    """The encoder without pooler, its weights checked against the file."""
    model, info = AutoModel.from_pretrained(
        folder,
        add_pooling_layer=False,
        attn_implementation="eager",
        dtype=torch.float32,
        local_files_only=True,
        output_loading_info=True,
    )
    stray = [name for name in info["unexpected_keys"] if module_name(name) is not None]
    for what, names in [
        ("missing", info["missing_keys"]),
        ("unexpected", stray),
        ("mismatched", info["mismatched_keys"]),
    ]:
        if names:
            sys.exit(f"{folder}: {what} weights: {sorted(names)}")
    stored = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if module_name(name) is not None:
            stored[module_name(name)] = tensor
    loaded = dict(model.named_parameters())
    if stored.keys() != loaded.keys():
        sys.exit(f"{folder}: names differ: {sorted(stored.keys() ^ loaded.keys())}")
    for name, tensor in stored.items():
        if tensor.dtype != torch.float32 or not torch.equal(tensor, loaded[name]):
            sys.exit(f"{folder}: {name} is not what the file holds")
    return model.eval()


def token_types(encoded, ids):
    """The segment of each token; 0 where the tokenizer tells none apart."""
    return encoded["token_type_ids"][0].tolist() if "token_type_ids" in encoded else [0] * len(ids)


def reference(name, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = load_encoder(folder)
    prompts = []
    for template, fields in PROMPTS:
        for text in fields.values():
            assert not any(special in text for special in tokenizer.all_special_tokens), text
        encoded = tokenizer(
            *render(template, fields, tokenizer.mask_token),
            add_special_tokens=True,
            truncation=False,
            padding=False,
            return_tensors="pt",
        )
        ids = encoded["input_ids"][0].tolist()
        assert ids.count(tokenizer.mask_token_id) == 1 and tokenizer.pad_token_id not in ids
        assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
        at = ids.index(tokenizer.mask_token_id)
        with torch.inference_mode():
            vector = model(**encoded).last_hidden_state[0, at]
        prompts.append(
            {
                "template": template,
                "fields": fields,
                "input_ids": ids,
                "token_type_ids": token_types(encoded, ids),
                "mask_position": at,
                "mask_vector": [float(f"{x:.7g}") for x in vector.tolist()],
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


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def one_prompt_per_line(result):
    head = [f"{compact(key)}:{compact(value)}" for key, value in result.items() if key != "prompts"]
    prompts = ",\n".join(compact(prompt) for prompt in result["prompts"])
    return "{" + ",\n".join(head) + ',\n"prompts":[\n' + prompts + "\n]}\n"


def main():
    parser = argparse.ArgumentParser(description="Write reference [MASK] vectors of encoders.")
    parser.add_argument("--encoder", action="append", required=True, metavar="NAME=DIR")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for encoder in arguments.encoder:
        name, _, folder = encoder.partition("=")
        if not name or not folder:
            parser.error(f"--encoder {encoder}: not NAME=DIR")
        result = reference(name, Path(folder))
        path = arguments.out / f"{name}.json"
        path.write_text(one_prompt_per_line(result), encoding="utf-8", newline="\n")
        lengths = [len(prompt["input_ids"]) for prompt in result["prompts"]]
        print(f"{path}: {len(lengths)} prompts of {min(lengths)} to {max(lengths)} tokens")


if __name__ == "__main__":
    main()
