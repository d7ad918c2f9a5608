"""Runs prompts through a model of transformers."""

import torch
from transformers import PreTrainedModel

from prompts import Prompt


def mask_vectors(model: PreTrainedModel, prompts: list[Prompt]) -> torch.Tensor:
    """last_hidden_state of the base model at each mask, shape [prompts, hidden], one prompt at a time."""
    rows = []
    for prompt in prompts:
        with torch.inference_mode():
            hidden = model.base_model(**_inputs(model, [prompt], pad=0)).last_hidden_state
        rows.append(hidden[0, prompt.mask_position])
    return torch.stack(rows)


def padded_mask_vectors(model: PreTrainedModel, prompts: list[Prompt], pad: int) -> torch.Tensor:
    """The vectors of `mask_vectors`, but from one batch padded at the right."""
    with torch.inference_mode():
        hidden = model.base_model(**_inputs(model, prompts, pad)).last_hidden_state
    masks = [prompt.mask_position for prompt in prompts]
    return hidden[torch.arange(len(prompts)), masks]


def has_masked_lm_head(model: PreTrainedModel) -> bool:
    return type(model).__name__.endswith("ForMaskedLM")


def mask_logits(model: PreTrainedModel, prompt: Prompt) -> torch.Tensor:
    """Values of the masked-LM head at the mask, shape [vocabulary]."""
    with torch.inference_mode():
        return model(**_inputs(model, [prompt], pad=0)).logits[0, prompt.mask_position]


def _inputs(model: PreTrainedModel, prompts: list[Prompt], pad: int) -> dict[str, torch.Tensor]:
    length = max(len(prompt.input_ids) for prompt in prompts)
    rows = [(prompt, length - len(prompt.input_ids)) for prompt in prompts]
    inputs = {
        "input_ids": torch.tensor([prompt.input_ids + [pad] * fill for prompt, fill in rows]),
        "attention_mask": torch.tensor([[1] * (length - fill) + [0] * fill for _, fill in rows]),
    }
    if getattr(model.config, "type_vocab_size", 0) > 1:
        inputs["token_type_ids"] = torch.tensor([prompt.token_type_ids + [0] * fill for prompt, fill in rows])
    return inputs
