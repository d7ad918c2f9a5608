"""Checks that reference vectors prove something: padding changes none, each weight changes some."""

import torch
from transformers import PreTrainedModel

from inference import mask_vectors, padded_mask_vectors
from prompts import Prompt

# Without effect: a bias of keys moves all scores of a query alike, and softmax takes that out
# again. `key_proj.bias` of DeBERTa is not among them: it moves scores by position.
_WITHOUT_EFFECT = (
    "attention.self.key.bias",
    "attention.key.bias",
    "k_lin.bias",
    "attn.k.bias",
    "pos_key_proj.bias",
)


def check_padding(model: PreTrainedModel, prompts: list[Prompt], pad: int) -> None:
    apart = mask_vectors(model, prompts) - padded_mask_vectors(model, prompts, pad)
    largest = apart.abs().max().item()
    assert largest < 1e-5, f"{type(model).__name__}: {largest} apart when padded"


def check_every_weight_matters(model: PreTrainedModel, prompts: list[Prompt]) -> None:
    """Fails where a changed weight of the base model leaves all vectors as they were."""
    before = mask_vectors(model, prompts)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.base_model.named_parameters():
        if name.endswith(_WITHOUT_EFFECT) or name.startswith("pooler."):
            continue
        kept = parameter.detach().clone()
        with torch.no_grad():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        moved = (mask_vectors(model, prompts) - before).abs().max().item()
        with torch.no_grad():
            parameter.copy_(kept)
        assert moved > 1e-2, f"{type(model).__name__}: {name} moves the vectors by {moved} only"
