#!/usr/bin/env python3
"""What fewer bits cost: the four tasks, trained, and evaluated with the encoder in fp32, fp16 and int8.

    make study-precision DATA=DIR      # DIR/TASK/{train,dev,test}.csv for each of the four tasks

Each task is trained once, encoder and head, from minilm-l6; the checkpoint is then stored anew with
`dynamar import --quantize` and evaluated on the same test examples. Trained checkpoints are kept in
--work. The table goes to stdout and its figures to --out.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DYNAMAR = "target/release/dynamar"
ENCODER = "models/encoders/minilm-l6"

# The metric of each task, and the steps of training, of 32 examples.
TASKS = {
    "product-category": ("accuracy", 400),
    "product-match": ("positive.at_threshold.f1", 400),
    "review-intensity": ("spearman", 200),
    "review-polarity": ("accuracy", 60),
}
PRECISIONS = ("fp32", "fp16", "int8")


def run(*arguments):
    """What a command prints."""
    done = subprocess.run([DYNAMAR, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"precision: dynamar {' '.join(map(str, arguments))} failed")
    return done.stdout


def train(task, steps, data, out):
    if not (out / "manifest.json").exists():
        run(
            "train", "--task", f"studies/tasks/{task}.toml", "--encoder", ENCODER, "--out", out,
            "--train", data / task / "train.csv", "--dev", data / task / "dev.csv", "--allow-overlap",
            "--steps", steps, "--score-every", steps, "--restart",
        )  # fmt: skip


def evaluate(task, checkpoint, data):
    """Metrics on the test set."""
    arguments = ["--model", checkpoint, "--task", task, "--data", data / task / "test.csv", "--json"]
    return json.loads(run("evaluate", *arguments))


def megabytes(checkpoint):
    return sum(file.stat().st_size for file in checkpoint.glob("encoder.*")) / 1e6


def figures(task, data, work):
    """The metric and size in each precision."""
    metric, steps = TASKS[task]
    trained = work / task / "fp32"
    train(task, steps, data, trained)
    rows = {}
    for precision in PRECISIONS:
        checkpoint = work / task / precision
        if precision != "fp32":
            run("import", trained, "--quantize", precision, "--out", checkpoint, "--replace")
        metrics = evaluate(task, checkpoint, data)
        rows[precision] = {"metric": metric, "value": find(metrics, metric), "encoder_mb": megabytes(checkpoint)}
    return rows


def find(metrics, path):
    """A metric by its path in the report."""
    for name in path.split("."):
        metrics = metrics[name]
    return metrics


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the directory with the four tasks' folders")
    parser.add_argument("--work", type=Path, default=ROOT / "target/study-precision")
    parser.add_argument("--out", type=Path, default=ROOT / "target/study-precision/precision.json")
    arguments = parser.parse_args()
    data, work = arguments.data.resolve(), arguments.work.resolve()
    results = {}
    print("| task | metric | fp32 | fp16 | int8 | int8 - fp32, points |\n| --- | --- | --- | --- | --- | --- |")
    for task in TASKS:
        rows = results[task] = figures(task, data, work)
        values = [rows[precision]["value"] for precision in PRECISIONS]
        cells = " | ".join(f"{value:.4f}" for value in values)
        print(f"| {task} | {rows['fp32']['metric']} | {cells} | {100 * (values[2] - values[0]):+.2f} |", flush=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    worst = min(100 * (rows["int8"]["value"] - rows["fp32"]["value"]) for rows in results.values())
    print(f"study-precision: the most that int8 costs a task is {abs(min(worst, 0.0)):.2f} points")


if __name__ == "__main__":
    main()
