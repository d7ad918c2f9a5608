"""Filled templates and the tokens that transformers makes of them."""

import re

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from tiny_models import POSITIONS

REVIEW = "{text} It was {mask}."

# (template, fields)
EXAMPLES: list[tuple[str, dict[str, str]]] = [
    # plain; capitals and repeated punctuation; apostrophes and quotes
    (REVIEW, {"text": "Disappointing."}),
    (REVIEW, {"text": "The ZOOM is great, but SLOW!!!"}),
    (REVIEW, {"text": "I didn't say \u201cgood\u201d; it\u2019s so-so..."}),
    # accents, composed and decomposed
    (REVIEW, {"text": "Cr\u00e8me br\u00fbl\u00e9e, cafe\u0301!"}),
    # emoji; Chinese; digits; full-width letters, ligature, no-break space, fraction
    (REVIEW, {"text": "Nice \U0001f44d\U0001f3fd phone \u2764\ufe0f"}),
    (REVIEW, {"text": "\u8fd9\u4e2a\u76f8\u673a\u5f88\u597d\u3002"}),
    ("{text} Price: {mask}", {"text": "$399.99 in 2004, not 450"}),
    (REVIEW, {"text": "\uff21\uff22 \ufb01ne\u00a02\u00bd"}),
    # white space inside a field, at its ends, and nothing else
    (REVIEW, {"text": "two  spaces,   three,    four"}),
    (REVIEW, {"text": "  both ends  "}),
    (REVIEW, {"text": "one\ttwo\nthree"}),
    (REVIEW, {"text": ""}),
    # mask first
    ("{mask} news: {text}", {"text": "apex dvd player sold out"}),
    ("{mask}: {text}", {"text": "\u8d28\u91cf\u4e0d\u597d"}),
    ("{mask}{text}", {"text": "good"}),
    # mask in the middle, before punctuation, last
    ("{text} is {mask}, they say.", {"text": "The new phone"}),
    ("All in all ({mask}) {text}", {"text": "i love this player"}),
    ("{text} It was {mask}", {"text": "i would not buy it again"}),
    ("{text}{mask}!", {"text": "so very "}),
    # punctuation round a field
    ("({text}) {mask}", {"text": "very good"}),
    ("({text}) {mask}", {"text": "(Bad!)"}),
    ('It was {mask}: "{text}"!', {"text": "the best."}),
    # two fields in one segment
    ('"{a}" {mask}, "{b}"', {"a": "good sound", "b": "Bad screen"}),
    ("{a}? {mask}, {b}", {"a": "does it play", "b": "It does."}),
    # two segments
    ("{a} {mask}{sep}{b}", {"a": "dvd player", "b": "The Camera 2000"}),
    ("{a}{sep}{mask} {b}", {"a": "does it play?", "b": "it plays well"}),
    ("{mask}: {a}{sep}{b}", {"a": "caf\u00e9", "b": "Cafe"}),
    ("{a} {sep} {b} Match: {mask}.", {"a": "black phone", "b": "phone, black"}),
]

_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


def golden_tokens(tokenizer: PreTrainedTokenizerFast, file: Tokenizer) -> list[dict[str, object]]:
    """Tokens of all examples. `file` is the tokenizer.json read back, which must agree."""
    return [_tokens(tokenizer, file, template, fields) for template, fields in EXAMPLES]


def _tokens(
    tokenizer: PreTrainedTokenizerFast, file: Tokenizer, template: str, fields: dict[str, str]
) -> dict[str, object]:
    segments = _fill(template, fields, tokenizer.mask_token)
    encoded = tokenizer(*segments, return_token_type_ids=True)
    ids = encoded["input_ids"]
    assert ids == file.encode(*segments).ids, template
    assert ids.count(tokenizer.mask_token_id) == 1 and len(ids) <= POSITIONS, (template, len(ids))
    return {
        "template": template,
        "fields": fields,
        "input_ids": ids,
        "token_type_ids": encoded["token_type_ids"],
        "mask_position": ids.index(tokenizer.mask_token_id),
    }


def _fill(template: str, fields: dict[str, str], mask_token: str) -> list[str]:
    """The texts of the segments; what a field says is never a placeholder."""
    halves = template.split("{sep}")
    values = fields | {"mask": mask_token}
    return [_PLACEHOLDER.sub(lambda found: values[found.group(1)], half) for half in halves]
