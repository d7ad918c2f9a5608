"""Makes the *.bin files beside it with torch.save; the tests of src/import/model_files read them.

    python3 make_pickles.py

Made with torch 2.8.0. Values are k/2 for k = 0, 1, ..., which every float type holds exactly.
"""

from collections import OrderedDict
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent


def halves(*shape, dtype=torch.float32):
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float64) / 2).reshape(shape).to(dtype)


def main():
    embeddings = halves(4, 3)
    row = halves(10)
    tensors = OrderedDict(
        [
            ("f32", halves(2, 3)),
            ("f16", halves(2, 3, dtype=torch.float16)),
            ("bf16", halves(2, 3, dtype=torch.bfloat16)),
            ("f64", halves(2, 3, dtype=torch.float64)),
            ("i64", torch.arange(5).unsqueeze(0)),
            ("bool", torch.tensor([True, False])),
            ("scalar", torch.tensor(1.5)),
            ("empty", torch.zeros(0, 3)),
            ("transposed", halves(2, 3).t()),
            ("tied.encoder", embeddings),
            ("tied.decoder", embeddings),
            ("offset", row[3:7]),
            ("strided", row[::2]),
            ("parameter", torch.nn.Parameter(halves(3))),
        ]
    )
    torch.save(tensors, HERE / "tensors.bin")
    torch.save(tensors, HERE / "protocol-4.bin", pickle_protocol=4)

    # A module's own state has metadata, as an attribute of its OrderedDict.
    torch.manual_seed(0)
    linear = torch.nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.copy_(halves(2, 2))
        linear.bias.copy_(halves(2))
    state = linear.state_dict()
    torch.save(state, HERE / "module.bin")
    torch.save({"epoch": 3, "rate": 0.1, "notes": ["a", "b"], "state_dict": state}, HERE / "nested.bin")

    torch.save({"a": halves(2)}, HERE / "old-format.bin", _use_new_zipfile_serialization=False)
    torch.save({f"t{i}": halves(1) for i in range(3)}, HERE / "small.bin")
    torch.save({"a": halves(2), "b": torch.zeros(2).to(torch.float8_e4m3fn)}, HERE / "float8.bin")
    # A whole module names its class.
    torch.save(linear, HERE / "whole-module.bin")


main()
