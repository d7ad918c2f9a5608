"""Tiny encoders of each family, with weights in which every part matters."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

import tiny_tokenizers
from tiny_tokenizers import Maker

# Tokens of the longest prompt.
POSITIONS = 48


@dataclass(frozen=True)
class Family:
    """One directory of reference data."""

    name: str
    model: type[PreTrainedModel]
    tokenizer: Maker
    config: Callable[[PreTrainedTokenizerFast], PretrainedConfig]
    # Segments that the encoder tells apart: 2, or 1 where it ignores them.
    segments: int = 1


def _sizes(hidden: int, heads: int, intermediate: int, layers: int = 2) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
    }


def _tokens(tokenizer: PreTrainedTokenizerFast, spare_rows: int = 0) -> dict[str, int]:
    return {"vocab_size": len(tokenizer) + spare_rows, "pad_token_id": tokenizer.pad_token_id}


def _frame(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}


def _bert(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    return transformers.BertConfig(
        **_tokens(tokenizer), **_sizes(24, 3, 40), max_position_embeddings=POSITIONS
    )


def _roberta(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    return transformers.RobertaConfig(**_roberta_like(tokenizer), **_sizes(20, 2, 36))


def _xlm_roberta(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    return transformers.XLMRobertaConfig(**_roberta_like(tokenizer), **_sizes(24, 2, 32))


def _camembert(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    return transformers.CamembertConfig(**_roberta_like(tokenizer), **_sizes(16, 4, 40))


def _roberta_like(tokenizer: PreTrainedTokenizerFast) -> dict[str, object]:
    """Positions begin after the padding's id, so the table has two rows more."""
    return {
        **_tokens(tokenizer),
        **_frame(tokenizer),
        "max_position_embeddings": POSITIONS + 2,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
    }


def _distilbert(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    return transformers.DistilBertConfig(
        **_tokens(tokenizer),
        dim=24,
        n_heads=2,
        hidden_dim=40,
        n_layers=3,
        max_position_embeddings=POSITIONS,
    )


def _electra(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    return transformers.ElectraConfig(
        **_tokens(tokenizer), **_sizes(24, 4, 40), embedding_size=16, max_position_embeddings=POSITIONS
    )


def _electra_generator(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    return transformers.ElectraConfig(
        **_tokens(tokenizer),
        **_sizes(16, 2, 24, layers=1),
        embedding_size=24,
        max_position_embeddings=POSITIONS,
    )


def _albert(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    return transformers.AlbertConfig(**_albert_like(tokenizer), **_sizes(24, 3, 40, layers=3))


def _albert_groups(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    return transformers.AlbertConfig(
        **_albert_like(tokenizer), **_sizes(16, 2, 32, layers=4), num_hidden_groups=2
    )


def _albert_like(tokenizer: PreTrainedTokenizerFast) -> dict[str, object]:
    return {
        **_tokens(tokenizer),
        **_frame(tokenizer),
        "embedding_size": 12,
        "hidden_act": "gelu_new",
        "max_position_embeddings": POSITIONS,
    }


def _mpnet(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    return transformers.MPNetConfig(
        **_tokens(tokenizer),
        **_frame(tokenizer),
        **_sizes(24, 3, 40),
        max_position_embeddings=POSITIONS + 2,
        layer_norm_eps=1e-5,
    )


def _modernbert(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    """Layers 0 and 3, the last, are global; the two between are local."""
    return transformers.ModernBertConfig(**_modernbert_like(tokenizer), **_sizes(24, 3, 20, layers=4))


def _modernbert_local(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    """Layer 4, the last, is local."""
    return transformers.ModernBertConfig(**_modernbert_like(tokenizer), **_sizes(16, 2, 24, layers=5))


def _modernbert_like(tokenizer: PreTrainedTokenizerFast) -> dict[str, object]:
    return {
        **_tokens(tokenizer, spare_rows=2),
        **_frame(tokenizer),
        "cls_token_id": tokenizer.cls_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "max_position_embeddings": POSITIONS,
        "global_attn_every_n_layers": 3,
        "local_attention": 8,
    }


def _deberta_v3(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    """As microsoft/deberta-v3-*, and the masked-LM head by the names of those files."""
    config = transformers.DebertaV2Config(
        **_deberta_like(tokenizer),
        position_buckets=6,
        max_relative_positions=-1,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        position_biased_input=False,
        type_vocab_size=0,
        legacy=False,
        tie_word_embeddings=False,
    )
    # The published files spell it so; transformers would write a list.
    config.pos_att_type = "p2c|c2p"
    return config


def _deberta_v2_plain(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    """Distances beyond 16 are clipped, and each has an embedding of its own."""
    return transformers.DebertaV2Config(
        **_deberta_like(tokenizer),
        position_buckets=-1,
        max_relative_positions=16,
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=True,
        type_vocab_size=2,
    )


def _deberta_v2(tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    """As microsoft/deberta-v2-xlarge, with a convolution after the first layer."""
    return transformers.DebertaV2Config(
        **_deberta_like(tokenizer),
        position_buckets=6,
        max_relative_positions=-1,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
        conv_kernel_size=3,
        conv_act="gelu",
    )


def _deberta_like(tokenizer: PreTrainedTokenizerFast) -> dict[str, object]:
    return {
        **_tokens(tokenizer, spare_rows=7),
        **_sizes(24, 3, 40),
        "relative_attention": True,
        "max_position_embeddings": POSITIONS,
    }


FAMILIES = [
    Family("bert", transformers.BertForMaskedLM, tiny_tokenizers.bert, _bert, segments=2),
    Family("roberta", transformers.RobertaForMaskedLM, tiny_tokenizers.roberta, _roberta),
    Family("xlm-roberta", transformers.XLMRobertaForMaskedLM, tiny_tokenizers.xlm_roberta, _xlm_roberta),
    Family("camembert", transformers.CamembertForMaskedLM, tiny_tokenizers.camembert, _camembert),
    Family("distilbert", transformers.DistilBertForMaskedLM, tiny_tokenizers.distilbert, _distilbert),
    Family("electra", transformers.ElectraForPreTraining, tiny_tokenizers.electra, _electra, segments=2),
    Family(
        "electra-generator",
        transformers.ElectraForMaskedLM,
        tiny_tokenizers.electra,
        _electra_generator,
        segments=2,
    ),
    Family("albert", transformers.AlbertForMaskedLM, tiny_tokenizers.albert, _albert, segments=2),
    Family(
        "albert-groups", transformers.AlbertForMaskedLM, tiny_tokenizers.albert, _albert_groups, segments=2
    ),
    Family("mpnet", transformers.MPNetForMaskedLM, tiny_tokenizers.mpnet, _mpnet),
    Family("modernbert", transformers.ModernBertForMaskedLM, tiny_tokenizers.modernbert, _modernbert),
    Family(
        "modernbert-local", transformers.ModernBertForMaskedLM, tiny_tokenizers.modernbert, _modernbert_local
    ),
    Family("deberta-v3", transformers.DebertaV2ForMaskedLM, tiny_tokenizers.deberta_v2, _deberta_v3),
    Family(
        "deberta-v2-plain",
        transformers.DebertaV2ForMaskedLM,
        tiny_tokenizers.deberta_v2,
        _deberta_v2_plain,
        segments=2,
    ),
    Family("deberta-v2", transformers.DebertaV2ForMaskedLM, tiny_tokenizers.deberta_v2, _deberta_v2),
]


def build(family: Family, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """The family's model with random weights, eager attention, evaluation mode."""
    config = family.config(tokenizer)
    config._attn_implementation = "eager"
    model = family.model(config)
    randomise(model, seed)
    return model.eval()


def randomise(model: PreTrainedModel, seed: int) -> None:
    """Draws every parameter anew: norms round 1, all else round 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            parameter.copy_(1 + 0.3 * noise if _is_norm_weight(name, parameter) else _spread(name) * noise)


def _is_norm_weight(name: str, parameter: torch.Tensor) -> bool:
    return parameter.dim() == 1 and name.endswith(".weight")


def _spread(name: str) -> float:
    """Standard deviation: relative positions weigh as much as words do."""
    if "relative_attention_bias" in name or "rel_embeddings" in name:
        return 0.8
    if "embeddings" in name:
        return 0.4
    return 0.25
