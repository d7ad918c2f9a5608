"""Tiny tokenizers, each with its family's real pipeline.

Every function trains on the given texts and goes through transformers' own
converter, so tokenizer.json has the normaliser, pre-tokenizer, model and
post-processor of the published models. Only the vocabulary is small.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import sentencepiece
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AlbertTokenizerFast,
    BertTokenizerFast,
    CamembertTokenizerFast,
    DebertaV2TokenizerFast,
    DistilBertTokenizerFast,
    ElectraTokenizerFast,
    MPNetTokenizerFast,
    PreTrainedTokenizerFast,
    RobertaTokenizerFast,
    XLMRobertaTokenizerFast,
)

WORDPIECE_TOKENS = 320
BYTE_LEVEL_TOKENS = 400
UNIGRAM_TOKENS = 320

# Characters and words that the reviews lack; not all that the golden texts use, so
# that unknown tokens occur too.
EXTRA_TEXTS = [
    "Crème brûlée, déjà vu: señor Müller's café is naïve.",
    "The Camera 2000 cost 399 USD, Not 450! It was Bad. All in all, I say. They left?",
    "这个相机很好。 质量不好。",
] * 40

Maker = Callable[[list[str], Path], PreTrainedTokenizerFast]


def bert(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    return BertTokenizerFast(str(_bert_vocabulary(texts, scratch)))


def distilbert(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    return DistilBertTokenizerFast(str(_bert_vocabulary(texts, scratch)))


def electra(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    return ElectraTokenizerFast(str(_bert_vocabulary(texts, scratch)))


def mpnet(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    first = ["<s>", "<pad>", "</s>", "<unk>", "[unused0]", "[UNK]"]
    path = _write_vocabulary(_wordpieces(texts, first, ["<mask>"]), scratch)
    return MPNetTokenizerFast(str(path))


def roberta(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    trained = _train_byte_level(texts, ["<s>", "<pad>", "</s>", "<unk>"], normalizer=None)
    model = json.loads(trained.to_str())["model"]
    vocabulary, merges = scratch / "vocab.json", scratch / "merges.txt"
    tokens = model["vocab"] | {"<mask>": len(model["vocab"])}
    vocabulary.write_text(json.dumps(tokens), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
    merges.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return RobertaTokenizerFast(str(vocabulary), str(merges))


def modernbert(texts: list[str], _scratch: Path) -> PreTrainedTokenizerFast:
    """The pipeline of ModernBERT's tokenizer.json, which no converter makes."""
    tokenizer = _train_byte_level(texts, ["|||IP_ADDRESS|||", "<|padding|>"], normalizers.NFC())
    spaces = [AddedToken(" " * count, normalized=True, special=False) for count in (4, 3, 2)]
    tokenizer.add_tokens(spaces)
    names = ["|||EMAIL_ADDRESS|||", "|||PHONE_NUMBER|||", "<|endoftext|>", "[UNK]", "[CLS]", "[SEP]", "[PAD]"]
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in names])
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, normalized=False)])
    tokenizer.add_tokens([AddedToken(f"[unused{n}]", normalized=True, special=False) for n in range(3)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
    )


def xlm_roberta(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    return XLMRobertaTokenizerFast(str(_train_fairseq_unigram(texts, scratch)))


def camembert(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    return CamembertTokenizerFast(str(_train_fairseq_unigram(texts, scratch)))


def albert(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    lowered = [text.lower() for text in texts]
    path = _train_unigram(
        lowered,
        scratch,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
    )
    return AlbertTokenizerFast(str(path))


def deberta_v2(texts: list[str], scratch: Path) -> PreTrainedTokenizerFast:
    path = _train_unigram(
        texts,
        scratch,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="[PAD]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        unk_piece="[UNK]",
    )
    return DebertaV2TokenizerFast(str(path))


def _bert_vocabulary(texts: list[str], scratch: Path) -> Path:
    first = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return _write_vocabulary(_wordpieces(texts, first, []), scratch)


def _write_vocabulary(tokens: Iterable[str], scratch: Path) -> Path:
    path = scratch / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return path


def _wordpieces(texts: list[str], first: list[str], last: list[str]) -> list[str]:
    """Characters, then the most frequent words and word endings.

    The trainer of `tokenizers` breaks ties by the order of a hash map; this does not.
    """
    words = Counter(word for text in texts for word in re.findall(r"\w+|[^\w\s]", _plain(text)))
    characters = sorted({c for word in words for c in word})
    fixed = [*first, *characters, *(f"##{c}" for c in characters if c.isalnum())]
    pieces: Counter[str] = Counter()
    for word, count in words.items():
        if len(word) > 1:
            pieces[word] += count
        for length in (2, 3, 4):
            if len(word) > length:
                pieces["##" + word[-length:]] += count
    wanted = WORDPIECE_TOKENS - len(fixed) - len(last)
    ranked = sorted(pieces, key=lambda piece: (-pieces[piece], piece))
    return [*fixed, *ranked[:wanted], *last]


def _plain(text: str) -> str:
    """Lower case without accents."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


def _train_byte_level(
    texts: list[str], special: list[str], normalizer: normalizers.Normalizer | None
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=BYTE_LEVEL_TOKENS,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _train_fairseq_unigram(texts: list[str], scratch: Path) -> Path:
    """The ids of SentencePiece itself; the converter puts fairseq's own tokens before them."""
    return _train_unigram(texts, scratch, unk_id=0, bos_id=1, eos_id=2, pad_id=-1)


def _train_unigram(texts: list[str], scratch: Path, **options: object) -> Path:
    rules = scratch / "rules.tsv"
    rules.write_text("".join(f"{line}\n" for line in _normalisation_rules()), encoding="ascii")
    prefix = scratch / "spm"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(prefix),
        model_type="unigram",
        vocab_size=UNIGRAM_TOKENS,
        normalization_rule_tsv=str(rules),
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return prefix.with_suffix(".model")


def _normalisation_rules() -> Iterator[str]:
    """Part of SentencePiece's `nmt_nfkc`: its whole table would take 300 KB of tokenizer.json."""
    ranges = [(0xA0, 0x250), (0x2000, 0x2070), (0x2100, 0x2190), (0xFB00, 0xFB07), (0xFF01, 0xFF5F)]
    rules = {chr(c): unicodedata.normalize("NFKC", chr(c)) for low, high in ranges for c in range(low, high)}
    for c in range(0xC0, 0x180):
        rules[unicodedata.normalize("NFD", chr(c))] = unicodedata.normalize("NFKC", chr(c))
    rules |= {chr(c): "" for c in [*range(0x01, 0x09), 0x0B, *range(0x0E, 0x20), 0x7F, 0xAD, 0xFE0F]}
    rules |= {c: " " for c in "\t\n\r\u3000\u200b\u200e\u200f\u2028\u2029\ufeff"}
    for source, target in sorted(rules.items()):
        if source != target:
            yield f"{_hex(source)}\t{_hex(target)}"


def _hex(text: str) -> str:
    return " ".join(f"{ord(c):X}" for c in text)
