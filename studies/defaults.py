#!/usr/bin/env python3
"""What `dynamar train` reaches without a setting, beside a bag of words: the table of docs/results.md.

    make study-defaults DATA=DIR      # DIR/TASK/{train,dev,test}.csv

Every folder of DIR that has a task file in studies/tasks, or one of its own (task.toml), is trained as a
newcomer would and judged once on its test file. Finished tasks are kept in --work; the table goes into
docs/results.md between its markers.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DYNAMAR = "target/release/dynamar"
ENCODER = "models/encoders/minilm-l6"
MARKER = "<!-- defaults -->"

# The figures that the table shows, in this order, with what people call them.
FIGURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "f1_at_threshold": "F1 at the threshold",
    "average_precision": "average precision",
    "spearman": "Spearman",
    "rmse": "RMSE",
}


def run(command, log=None):
    """Runs a command; returns what it printed."""
    words = [str(word) for word in command]
    print("$", " ".join(words), file=sys.stderr, flush=True)
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=log).stdout.decode()


def task_file(folder):
    """The task file of a folder of data, or none."""
    candidates = (folder / "task.toml", ROOT / "studies" / "tasks" / f"{folder.name}.toml")
    return next((path for path in candidates if path.is_file()), None)


def measure(folder, file, options):
    """Trains and evaluates; returns the figures of the model and of the baselines."""
    result = options.work / f"{folder.name}.json"
    if result.is_file():
        return json.loads(result.read_text(encoding="utf-8"))
    name = re.search(r'^name\s*=\s*"([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE).group(1)
    out = options.work / folder.name
    shutil.rmtree(out, ignore_errors=True)
    started = time.monotonic()
    with (options.work / f"{folder.name}.log").open("w", encoding="utf-8") as log:
        run(
            [DYNAMAR, "train", "--task", file, "--train", folder / "train.csv", "--dev", folder / "dev.csv",
             "--encoder", ENCODER, "--out", out, "--drop-overlap", "--restart"],
            log,
        )  # fmt: skip
    seconds = time.monotonic() - started
    scored = run([DYNAMAR, "evaluate", "--model", out, "--task", name, "--data", folder / "test.csv",
                  "--train", folder / "train.csv", "--json"])  # fmt: skip
    found = {"task": name, "seconds": seconds, "evaluation": json.loads(scored)}
    result.write_text(json.dumps(found), encoding="utf-8")
    return found


def figures(metrics):
    """The figures of an evaluation, by name."""
    positive = metrics.get("positive") or {}
    decision = positive.get("at_threshold") or positive.get("at_half") or {}
    found = {name: metrics[name] for name in FIGURES if metrics.get(name) is not None}
    if "f1" in decision:
        found["f1_at_threshold"] = decision["f1"]
    return found


def table(results):
    """The table in Markdown: a row for each task and figure."""
    lines = ["| task | figure | `dynamar train` | bag of words | majority | time |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for found in results:
        ours = figures(found["evaluation"])
        baselines = {name: figures(b) for name, b in found["evaluation"].get("baselines", {}).items()}
        for name, value in ours.items():
            cells = [baselines.get(baseline, {}).get(name) for baseline in ("bag of words", "majority")]
            cells = ["–" if cell is None else f"{cell:.3f}" for cell in cells]
            minutes = f"{found['seconds'] / 60:.0f} min"
            lines.append(f"| {found['task']} | {FIGURES[name]} | {value:.3f} | {' | '.join(cells)} | {minutes} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "study-defaults")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    folders = [(folder, task_file(folder)) for folder in sorted(options.data.iterdir()) if folder.is_dir()]
    results = [measure(folder, file, options) for folder, file in folders if file]
    if not results:
        sys.exit(f"study-defaults: no folder in {options.data} has a task file")
    text = table(results)
    print(text)
    document = ROOT / "docs" / "results.md"
    before, _, rest = document.read_text(encoding="utf-8").partition(MARKER)
    _, _, after = rest.partition(MARKER)
    document.write_text(f"{before}{MARKER}\n\n{text}\n\n{MARKER}{after}", encoding="utf-8")
    print(f"study-defaults: {len(results)} tasks in {sum(f['seconds'] for f in results) / 60:.0f} minutes of training")


if __name__ == "__main__":
    main()
