#!/usr/bin/env python3
"""The yardstick of the training benchmark: fine-tuning with PyTorch and transformers.

Does what a PyTorch user does on a CPU: transformers' `AutoModel` without its pooler, batches padded
to their longest sequence with an attention mask, the last hidden state at one position of each
sequence -> dropout -> linear -> cross-entropy or squared error, AdamW with the usual two groups for
weight decay, gradients clipped to a norm, a linear schedule with warm-up.

It speaks lines of JSON on stdin and stdout, one answer to each request, in this order:

  {"do": "load", "encoder": DIR, "threads": 2, ...the fields of `Setup`}
      -> {"torch": ..., "transformers": ..., "python": ..., "parameters": ...}
  {"do": "batches", "file": FILE}       a JSON list of batches, each a list of examples
      {"ids": [..], "segments": [..], "position": 5, "target": 1}
      -> {"batches": ..., "examples": ...}
  {"do": "choose", "batches": [0]}      times the ways to set PyTorch up and keeps the fastest
      -> {"attention": "sdpa", "optimizer": "fused", "seconds": {"sdpa fused": ..., ...}}
  {"do": "begin", "steps": 100, "dropout": 0.1, "head": {"weight": [..], "bias": [..]} or null}
      starts over from the encoder's weights and this head (`weight` is row-major,
      [hidden][outputs]) with a schedule of so many steps -> {}
  {"do": "run", "batches": [0, 1, 2]}   a training step on each of these batches
      -> {"seconds": ..., "examples": ..., "losses": [..]}
  {"do": "memory"}                      -> {"peak_rss_mb": ...}

A request that fails is answered with {"error": MESSAGE} and ends the process.
"""

import contextlib
import inspect
import json
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModel

ATTENTIONS = ("sdpa", "eager")
OPTIMIZERS = {"fused": {"fused": True}, "foreach": {"foreach": True}}

# As dynamar's optimiser has it.
EPSILON = 1e-6

# Rounds in which `choose` times each way, after one that does not count.
CHOOSING_ROUNDS = 2


@dataclass(frozen=True)
class Setup:
    """What stays the same for the life of the process."""

    encoder: str
    threads: int
    outputs: int
    regression: bool
    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    max_gradient_norm: float
    warm_up: float
    # dynamar drops no attention weights; transformers' default for BERT is 0.1.
    attention_dropout: float
    seed: int


@dataclass(frozen=True)
class Batch:
    """Tensors of one batch, padded: `[examples, longest]`, `position` and `target` `[examples]`."""

    inputs: dict
    position: torch.Tensor
    target: torch.Tensor

    def __len__(self):
        return len(self.position)


def collate(examples, regression):
    """Pads to the longest of the batch, as transformers' collators do."""
    longest = max(len(example["ids"]) for example in examples)

    def padded(values):
        return torch.tensor([row + [0] * (longest - len(row)) for row in values])

    inputs = {
        "input_ids": padded([example["ids"] for example in examples]),
        "token_type_ids": padded([example["segments"] for example in examples]),
        "attention_mask": padded([[1] * len(example["ids"]) for example in examples]),
    }
    target = torch.tensor([example["target"] for example in examples])
    return Batch(
        inputs,
        torch.tensor([example["position"] for example in examples]),
        target.float() if regression else target.long(),
    )


class PositionModel(nn.Module):
    """An encoder and a linear head on its last hidden state at one position of each sequence."""

    def __init__(self, setup, attention, dropout):
        super().__init__()
        config = AutoConfig.from_pretrained(setup.encoder)
        config.hidden_dropout_prob = dropout
        config.attention_probs_dropout_prob = setup.attention_dropout if dropout else 0.0
        self.encoder = AutoModel.from_pretrained(
            setup.encoder,
            config=config,
            add_pooling_layer=False,
            attn_implementation=attention,
            dtype=torch.float32,
        )
        # Not every family tells segments apart.
        self.known = inspect.signature(self.encoder.forward).parameters
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(config.hidden_size, setup.outputs)

    def forward(self, batch):
        inputs = {name: values for name, values in batch.inputs.items() if name in self.known}
        hidden = self.encoder(**inputs).last_hidden_state
        rows = torch.arange(len(batch))
        return self.head(self.dropout(hidden[rows, batch.position]))


class Training:
    """A model in training."""

    def __init__(self, setup, attention, optimizer, steps, dropout, head=None):
        torch.manual_seed(setup.seed)
        self.model = PositionModel(setup, attention, dropout)
        if head is not None:
            outputs, hidden = self.model.head.weight.shape
            with torch.no_grad():
                self.model.head.weight.copy_(torch.tensor(head["weight"]).view(hidden, outputs).T)
                self.model.head.bias.copy_(torch.tensor(head["bias"]))
        self.model.train()
        self.regression = setup.regression
        self.max_gradient_norm = setup.max_gradient_norm
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, setup), eps=EPSILON, **OPTIMIZERS[optimizer]
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: schedule_factor(step, steps, setup.warm_up)
        )

    def step(self, batch):
        """One step; returns the loss before it."""
        outputs = self.model(batch)
        if self.regression:
            loss = nn.functional.mse_loss(outputs.squeeze(-1), batch.target)
        else:
            loss = nn.functional.cross_entropy(outputs, batch.target)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.max_gradient_norm)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()


def parameter_groups(model, setup):
    """Head and encoder learn at their own rates; biases and norms do not decay."""
    groups = {}
    for name, parameter in model.named_parameters():
        in_head = name.startswith("head.")
        decays = not (name.endswith(".bias") or "LayerNorm" in name)
        groups.setdefault((in_head, decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": setup.head_learning_rate if in_head else setup.learning_rate,
            "weight_decay": setup.weight_decay if decays else 0.0,
        }
        for (in_head, decays), parameters in groups.items()
    ]


def schedule_factor(step, steps, warm_up):
    """Linear warm-up and decay, the same as dynamar's: the first step has a rate above 0."""
    warm_up_steps = int(steps * warm_up + 0.5)
    if step < warm_up_steps:
        return (step + 1) / warm_up_steps
    return max(steps - step, 0) / max(steps - warm_up_steps, 1)


class Peer:
    """The requests."""

    def __init__(self):
        self.setup = None
        self.batches = []
        self.attention, self.optimizer = ATTENTIONS[-1], "fused"
        self.training = None

    def load(self, request):
        self.setup = Setup(**{field.name: request[field.name] for field in fields(Setup)})
        if not Path(self.setup.encoder, "config.json").is_file():
            raise ValueError(f"{self.setup.encoder} is no Hugging Face directory")
        torch.set_num_threads(self.setup.threads)
        model = PositionModel(self.setup, self.attention, 0.0)
        return {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": sys.version.split()[0],
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        }

    def load_batches(self, request):
        examples = json.loads(Path(request["file"]).read_text(encoding="utf-8"))
        self.batches = [collate(batch, self.setup.regression) for batch in examples]
        return {"batches": len(self.batches), "examples": sum(map(len, self.batches))}

    def choose(self, request):
        ways = [(attention, optimizer) for attention in ATTENTIONS for optimizer in OPTIMIZERS]
        trainings = {}
        for way in ways:
            # transformers has no `sdpa` for every family.
            with contextlib.suppress(ValueError):
                trainings[way] = Training(self.setup, *way, steps=1000, dropout=0.1)
        ways = list(trainings)
        seconds = {way: [] for way in ways}
        # In turn, so that a slow spell of the machine hits all of them.
        for turn in range(1 + CHOOSING_ROUNDS):
            for way, training in trainings.items():
                taken, _ = self.timed(training, request["batches"])
                if turn > 0:
                    seconds[way].append(taken)
        self.attention, self.optimizer = min(ways, key=lambda way: min(seconds[way]))
        seconds = {" ".join(way): min(times) for way, times in seconds.items()}
        return {"attention": self.attention, "optimizer": self.optimizer, "seconds": seconds}

    def begin(self, request):
        self.training = None  # freed before the next one is made
        self.training = Training(
            self.setup,
            self.attention,
            self.optimizer,
            request["steps"],
            request["dropout"],
            request.get("head"),
        )
        return {}

    def run(self, request):
        seconds, losses = self.timed(self.training, request["batches"])
        examples = sum(len(self.batches[at]) for at in request["batches"])
        return {"seconds": seconds, "examples": examples, "losses": losses}

    def timed(self, training, batches):
        begin = time.perf_counter()
        losses = [training.step(self.batches[at]) for at in batches]
        return time.perf_counter() - begin, losses

    def memory(self, _):
        # Not getrusage, whose figure a process inherits from the one that started it.
        status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        line = next(line for line in status if line.startswith("VmHWM:"))
        return {"peak_rss_mb": int(line.split()[1]) * 1024 / 1e6}


def main():
    peer = Peer()
    actions = {
        "load": peer.load,
        "batches": peer.load_batches,
        "choose": peer.choose,
        "begin": peer.begin,
        "run": peer.run,
        "memory": peer.memory,
    }
    # Nothing but answers may reach the driver.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = actions[request["do"]](request)
        except Exception as error:  # whatever it is, the driver has to say it
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)
            return 1
        print(json.dumps(answer), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
