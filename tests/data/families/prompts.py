"""Prompts of random tokens, each with one mask."""

import random
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from tiny_models import POSITIONS


@dataclass(frozen=True)
class Prompt:
    input_ids: list[int]
    token_type_ids: list[int]
    mask_position: int


@dataclass(frozen=True)
class _Shape:
    """Tokens of a prompt; `first` counts those of the first text of a pair."""

    length: int
    mask: int
    first: int | None = None


_SHAPES = [
    _Shape(length=13, mask=6),
    _Shape(length=4, mask=1),
    _Shape(length=21, mask=19),
    _Shape(length=26, mask=14, first=9),
    _Shape(length=30, mask=1, first=17),
    _Shape(length=POSITIONS, mask=POSITIONS - 2, first=20),
    _Shape(length=POSITIONS, mask=POSITIONS // 2),
]


def random_prompts(tokenizer: PreTrainedTokenizerFast, segments: int, seed: int) -> list[Prompt]:
    source = random.Random(seed)
    return [_random_prompt(tokenizer, segments, shape, source) for shape in _SHAPES]


def _random_prompt(
    tokenizer: PreTrainedTokenizerFast, segments: int, shape: _Shape, source: random.Random
) -> Prompt:
    special = set(tokenizer.all_special_ids)
    words = [token for token in range(len(tokenizer)) if token not in special]
    ids = source.choices(words, k=shape.length)
    ids[0], ids[-1] = tokenizer.cls_token_id, tokenizer.sep_token_id
    types = [0] * shape.length
    if shape.first is not None:
        end = 1 + shape.first + _separators(tokenizer)
        ids[1 + shape.first : end] = [tokenizer.sep_token_id] * _separators(tokenizer)
        types[end:] = [segments - 1] * (shape.length - end)
    ids[shape.mask] = tokenizer.mask_token_id
    assert ids[1 : shape.mask].count(tokenizer.mask_token_id) == 0 and len(ids) == shape.length
    return Prompt(ids, types, shape.mask)


def _separators(tokenizer: PreTrainedTokenizerFast) -> int:
    """Separators between the texts of a pair: 1, or 2 in the family of RoBERTa."""
    return len(tokenizer("", "")["input_ids"]) - 2
