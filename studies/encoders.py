#!/usr/bin/env python3
"""When a larger encoder pays: the demo's two tasks on each encoder, side by side.

    make study-encoders      # STUDY_ENCODERS="minilm-l6 mpnet-base", those of models/catalogue.toml

Trains the demo on each encoder as `make demo` does, evaluates the test files in 32 and 8 bits, and measures
the server on it (benches/serving). Finished encoders are kept in --work; the table goes into README.md
between its markers.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DYNAMAR = "target/release/dynamar"
MARKER = "<!-- encoders -->"
DATA = Path("models/data")

# The demo's tasks in the order of the Makefile, with options of `train` and the figure that is shown.
TASKS = {
    "review-intensity": ([], "spearman", "Spearman"),
    "review-polarity": (["--tune", "head"], "accuracy", "accuracy"),
}
# The lengths that the server is asked with, and the callers that ask at once.
MIX, CALLERS = "reviews", "128"
RSS_REQUESTS = 2000


def run(command, log):
    """Runs a command; returns what it printed, its seconds and its peak of resident memory in MB."""
    words = [str(word) for word in command]
    print("$", " ".join(words), file=sys.stderr, flush=True)
    started = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, cwd=ROOT)
    printed = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"study-encoders: {words[0]} {words[1]} failed; {log.name} says why")
    return printed, time.monotonic() - started, usage.ru_maxrss / 1e3


def train(encoder, out, log):
    """Trains both tasks; returns the seconds of each and the peak of memory."""
    shutil.rmtree(out, ignore_errors=True)
    source, seconds, peak = Path("models/encoders") / encoder, {}, 0
    for task, (options, _, _) in TASKS.items():
        data = DATA / task
        _, seconds[task], memory = run(
            [DYNAMAR, "train", "--task", f"models/tasks/{task}.toml", "--encoder", source, "--out", out,
             "--train", data / "train.csv", "--dev", data / "dev.csv", *options],
            log,
        )  # fmt: skip
        source, peak = out, max(peak, memory)
    return seconds, peak


def evaluate(checkpoint, log):
    """Returns the evaluation of each task on its test file, with those of the baselines."""
    found = {}
    for task in TASKS:
        data = DATA / task
        printed, _, _ = run(
            [DYNAMAR, "evaluate", "--model", checkpoint, "--task", task, "--data", data / "test.csv",
             "--train", data / "train.csv", "--json"],
            log,
        )  # fmt: skip
        found[task] = json.loads(printed)
    return found


def serve(encoder, out, log):
    """Returns the figures of `make bench` for one encoder and the demo's lengths."""
    parts = [word for part in ("mixes", "latency", "rss", "int8") for word in ("--only", part)]
    run(
        ["cargo", "bench", "--locked", "--quiet", "--bench", "serving", "--", *parts, "--mix", MIX,
         "--rss-requests", RSS_REQUESTS, "--encoder", f"models/encoders/{encoder}", "--out", out],
        log,
    )  # fmt: skip
    return json.loads(out.read_text(encoding="utf-8"))


def measure(encoder, work):
    """Trains, evaluates and serves one encoder; what was found before is read."""
    result = work / f"{encoder}.json"
    if result.is_file():
        return json.loads(result.read_text(encoding="utf-8"))
    out, int8 = work / encoder, work / f"{encoder}-int8"
    with (work / f"{encoder}.log").open("w", encoding="utf-8") as log:
        seconds, peak = train(encoder, out, log)
        shutil.rmtree(int8, ignore_errors=True)
        run([DYNAMAR, "import", out, "--quantize", "int8", "--out", int8], log)
        found = {
            "date": datetime.date.today().isoformat(),
            "training_seconds": seconds,
            "training_peak_mb": peak,
            "fp32": evaluate(out, log),
            "int8": evaluate(int8, log),
            "encoder_mb": sum(file.stat().st_size for file in out.glob("encoder.*")) / 1e6,
            "serving": serve(encoder, work / f"{encoder}-serving.json", log),
        }
    result.write_text(json.dumps(found), encoding="utf-8")
    return found


def minutes(seconds):
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def requests(found):
    """Returns the requests answered in a second."""
    answered = found["serving"]["mixes"][MIX]["server_by_callers"][CALLERS]
    return answered["requests_per_second"]


def rows(results):
    """Yields the name of each row and the cell of each encoder."""
    for precision, suffix in (("fp32", ""), ("int8", ", in int8")):
        for task, (_, metric, name) in TASKS.items():
            cells = [f"{found[precision][task][metric]:.3f}" for found in results]
            bag = [found[precision][task]["baselines"]["bag of words"][metric] for found in results]
            yield f"{task}, {name}{suffix} (bag of words {bag[0]:.3f})", cells
    yield "training both tasks", [minutes(sum(found["training_seconds"].values())) for found in results]
    yield "peak memory of training", [f"{found['training_peak_mb']:,.0f} MB" for found in results]
    yield "encoder on disk", [f"{found['encoder_mb']:.0f} MB" for found in results]
    yield "requests/s", [f"{requests(found):.0f}" for found in results]
    yield "times the requests/s in int8 (log-normal lengths)", [
        f"{found['serving']['int8_speedup']:.1f}" for found in results
    ]
    yield "one request of 16 tokens", [f"{found['serving']['latency']['server']['p50_ms']:.1f} ms" for found in results]
    yield "memory of the server", [f"{found['serving']['rss']['resident_mb'][-1]:,.0f} MB" for found in results]


def table(encoders, results):
    """Returns the table in Markdown."""
    lines = [f"| | {' | '.join(encoders)} |", f"| --- |{' ---: |' * len(encoders)}"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows(results)]
    machine = results[-1]["serving"]
    lines += ["", f"{machine['workers']} CPUs ({machine['cpu']}), {results[-1]['date']}."]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoders", nargs="+", help="their names in models/encoders")
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "study-encoders")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    text = table(options.encoders, [measure(encoder, options.work) for encoder in options.encoders])
    print(text)
    document = ROOT / "README.md"
    before, _, rest = document.read_text(encoding="utf-8").partition(MARKER)
    _, _, after = rest.partition(MARKER)
    document.write_text(f"{before}{MARKER}\n\n{text}\n\n{MARKER}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
