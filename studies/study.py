#!/usr/bin/env python3
"""The study of docs/results.md, from the four tasks' files to its tables, pages and pictures.

    make study DATA=DIR        # DIR/TASK/{train,dev,test}.csv for each of the four tasks

Everything that takes long is kept in --work: finished cells, the pretrained encoder's state, SetFit's
results. The same command goes on where it was stopped. The pages go to docs/results, the tables into
docs/results.md between its markers. Pictures need a headless Chromium and are left as they are without one.
"""

import argparse
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DYNAMAR = "target/release/dynamar"
SETFIT_PYTHON = "target/setfit-venv/bin/python"
TASKS = ("product-category", "product-match", "review-intensity", "review-polarity")
PLAIN, PRETRAINED = "minilm-l6", "minilm-l6-mask"

# Texts of the product tasks that are pretrained on; of the reviews all are.
TEXTS_PER_PRODUCT_TASK = 3000

PRETRAINING = ["--similarity", "1", "--masking-weight", "0.2", "--learning-rate", "1e-4", "--steps", "500"]

# What all experiments have in common.
COMMON = ["--batch-size", "16", "--max-scored", "400", "--allow-overlap", "--metric", "product-match=f1_positive"]
FEW_OF_ONE = ["--steps", "40", "--seeds", "3", "--learning-rates", "5e-5,2e-4", "--shots", "8,32"]
FEW = [
    *FEW_OF_ONE, "--task-shots", "product-category=8", "--task-shots", "product-match=32",
    "--task-shots", "review-intensity=32,128",
]  # fmt: skip
ALL = [
    "--steps", "40", "--seeds", "1", "--learning-rate", "1e-4", "--shots", "all",
    "--methods", "standard,dynamic",
]  # fmt: skip
REVIEWS, PRODUCTS = ("review-intensity", "review-polarity"), ("product-category", "product-match")


@dataclass(frozen=True)
class Experiment:
    """One call of `dynamar compare`, by the encoder that it begins with."""

    name: str
    encoder: str
    arguments: tuple
    tasks: tuple = TASKS

    def command(self, options):
        """The call, without where its report goes."""
        files = []
        for task in self.tasks:
            files += ["--task", f"studies/tasks/{task}.toml"]
            for split in ("train", "dev", "test"):
                files += [f"--{split}", options.data / task / f"{split}.csv"]
        own = ["--encoder", options.encoders / self.encoder, "--work", options.work / self.name]
        # Names of tasks that the experiment lacks would be mistakes.
        common = COMMON if "product-match" in self.tasks else COMMON[:-2]
        return [DYNAMAR, "compare", *files, *own, *common, *self.arguments]

    def record(self, options):
        """What it found."""
        return json.loads((options.work / self.name / "results.json").read_text(encoding="utf-8"))


FEW_PLAIN = Experiment("few-plain", PLAIN, (*FEW, "--methods", "frozen,standard,static,dynamic"))
FEW_PRETRAINED = Experiment("few-pretrained", PRETRAINED, (*FEW, "--contrastive", "1"))
THREE_EPOCHS = (*ALL, "--full-epochs", "3")
ONE_EPOCH = (*ALL, "--full-epochs", "1")
FEW_PLAIN_LOSS = Experiment("few-plain-loss", PRETRAINED, (*FEW, "--methods", "standard"))
# On the encoder that SetFit has, what SetFit's loss is nearest to.
FEW_CONTRASTIVE = Experiment(
    "few-contrastive",
    PLAIN,
    (*FEW_OF_ONE, "--contrastive", "1", "--methods", "standard,dynamic"),
    ("review-polarity",),
)
ALL_DATA = (
    Experiment("all-reviews-plain", PLAIN, THREE_EPOCHS, REVIEWS),
    Experiment("all-reviews-pretrained", PRETRAINED, THREE_EPOCHS, REVIEWS),
    Experiment("all-products-pretrained", PRETRAINED, ONE_EPOCH, PRODUCTS),
    Experiment("all-match-pretrained", PRETRAINED, THREE_EPOCHS, ("product-match",)),
)

# SetFit is given the sets of these: text columns, label column, labels, K.
SETFIT = (
    ("review-polarity", "text", "sentiment", "negative,positive", ("8", "32")),
)  # fmt: skip


def run(command):
    """Runs a command and returns what it printed."""
    words = [str(word) for word in command]
    print("$", " ".join(words), file=sys.stderr, flush=True)
    return subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout.decode()


def below_root(path):
    """The path as commands and reports show it: from the project's directory, if it lies there."""
    path = path.absolute()
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def write(path, text):
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def texts(options):
    """The tasks' unlabelled training texts, one a line."""

    def column(task, *names):
        with (options.data / task / "train.csv").open(encoding="utf-8", newline="") as stream:
            found = {" ".join(row[name].split()) for row in csv.DictReader(stream) for name in names}
        # In an order that has nothing to do with the file's.
        return sorted(found - {""}, key=lambda text: hashlib.sha256(text.encode()).digest())

    reviews = set(column("review-intensity", "text")) | set(column("review-polarity", "text"))
    lines = sorted(reviews, key=lambda text: hashlib.sha256(text.encode()).digest())
    lines += column("product-category", "title")[:TEXTS_PER_PRODUCT_TASK]
    lines += column("product-match", "left_title", "right_title")[:TEXTS_PER_PRODUCT_TASK]
    path = options.work / "texts.txt"
    write(path, "\n".join(lines) + "\n")
    return path


def pretrain(options):
    """The second encoder."""
    out = options.encoders / PRETRAINED
    if (out / "manifest.json").exists():
        return
    tasks = [word for task in (*REVIEWS, "product-category") for word in ("--task", f"studies/tasks/{task}.toml")]
    encoder = ["--encoder", options.encoders / PLAIN, "--out", out]
    run([DYNAMAR, "pretrain", "--text", texts(options), *tasks, *encoder, *PRETRAINING, "--resume"])


def setfit(options):
    """SetFit on the very sets of the first experiment."""
    out = options.work / "setfit.json"
    for task, columns, label, labels, shots in SETFIT:
        sets = options.work / FEW_PLAIN.name
        run([
            SETFIT_PYTHON, "studies/setfit_baseline.py", "--work", sets, "--task", task,
            "--test", sets / task / "test.csv", "--text-columns", columns, "--label-column", label,
            "--labels", labels, "--shots", *shots, "--seeds", "0", "1", "2",
            "--encoder", "models/fetched/minilm-l6", "--out", out,
        ])  # fmt: skip
    return out


def columns(options, experiment, suffix, methods):
    """Some methods of another experiment, as files for --add-results."""
    record = experiment.record(options)
    for method in record["methods"]:
        if method["id"] not in methods:
            continue
        name = f"{method['id']}, {suffix}"
        results = [
            {"task": task["name"], "shots": shot["shot"], "seed": run["seed"], "metrics": run["metrics"],
             "seconds": run["seconds"]}
            for task in record["tasks"]
            for shot in task["methods"].get(method["id"], [])
            for run in shot["runs"]
        ]  # fmt: skip
        path = options.work / f"{experiment.name}-{method['id'].replace(' ', '-')}.json"
        description = f"{method['description']}; encoder {record['encoder']}"
        write(path, json.dumps({"method": name, "description": description, "results": results}))
        yield from ("--add-results", path)


def tables(options):
    """The experiments' tables in Markdown, by the marker at which they stand in the document."""
    page = lambda name: ("--html", options.out / f"{name}.html", "--markdown")  # noqa: E731
    outside = ["--add-results", setfit(options)]
    contrastive = columns(
        options, FEW_CONTRASTIVE, "contrastive", ("M0 standard", "M3 DynaMaR", "M3 ensemble")
    )
    command = [*FEW_PLAIN.command(options), *outside, *contrastive]
    found = {"few-plain": run([*command, *page("few-plain")])}
    outside += columns(options, FEW_PLAIN, "as it comes", ("M0 standard", "M3 DynaMaR"))
    outside += columns(options, FEW_PLAIN_LOSS, "plain loss", ("M0 standard",))
    command = [*FEW_PRETRAINED.command(options), *outside]
    for name, baseline in (("few-against-plain", "as it comes"), ("few-against-plain-loss", "plain loss")):
        found[name] = run([*command, "--baseline", f"M0 standard, {baseline}", "--markdown"])
    found["few-pretrained"] = run([*command, *page("few-pretrained")])
    for experiment in ALL_DATA:
        found[experiment.name] = run([*experiment.command(options), *page(experiment.name)])
    return found


def excerpt(markdown, captions):
    """The tables whose caption matches one of the patterns."""
    blocks = re.split(r"\n(?=[^|\n][^\n]*:\n\n\|)", markdown)
    return "\n".join(block for block in blocks if any(re.match(pattern, block) for pattern in captions))


def fill(document, found):
    """Puts the tables between the document's markers: `<!-- NAME: pattern | pattern -->` and `<!-- end -->`."""
    text = document.read_text(encoding="utf-8")

    def replaced(match):
        name, patterns = match["name"], match["patterns"].split(" | ")
        if name not in found:
            raise SystemExit(f"{document}: there is no experiment {name!r}")
        tables = excerpt(found[name], patterns)
        if not tables:
            raise SystemExit(f"{document}: {name} has no table that matches {patterns}")
        return f"{match['begin']}\n\n{tables.strip()}\n\n<!-- end -->"

    pattern = r"(?P<begin><!-- (?P<name>[a-z-]+): (?P<patterns>[^>]+) -->).*?<!-- end -->"
    write(document, re.sub(pattern, replaced, text, flags=re.DOTALL))


# Pictures: the page, the section's heading and the number of the figure in it.
PICTURES = (
    ("average", "few-pretrained", "Improvement over", 0),
    ("review-polarity", "few-pretrained", "review-polarity", 0),
    ("review-polarity-templates", "few-pretrained", "review-polarity", 1),
    ("review-intensity", "few-pretrained", "review-intensity", 0),
    ("product-category", "few-pretrained", "product-category", 0),
    ("reliability-standard", "few-pretrained", "review-polarity", 5),
    ("reliability-dynamic", "few-pretrained", "review-polarity", 8),
)


def pictures(options):
    """The figures that the document shows, as PNG."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        print("no chromium: the pictures stay as they are", file=sys.stderr)
        return
    for name, page, heading, number in PICTURES:
        html = (options.out / f"{page}.html").read_text(encoding="utf-8")
        section = next(part for part in html.split("<h2>")[1:] if part.startswith(heading))
        figure = re.findall(r"<figure.*?</figure>", section, flags=re.DOTALL)[number]
        style = re.search(r"<style>.*?</style>", html, flags=re.DOTALL)[0]
        width, height = picture_size(figure)
        with tempfile.TemporaryDirectory() as scratch:
            alone = Path(scratch) / "figure.html"
            alone.write_text(f"<!DOCTYPE html><meta charset=utf-8>{style}<body>{figure}</body>", encoding="utf-8")
            subprocess.run(
                [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
                 f"--user-data-dir={scratch}/profile", "--force-device-scale-factor=2",
                 f"--window-size={width},{height}", f"--screenshot={(options.out / name).absolute()}.png", alone.as_uri()],
                check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip


def picture_size(figure):
    """Room for the drawing, its caption and its legend, as the style lays them out."""
    boxes = re.findall(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', figure)
    width, height = max(((float(w), float(h)) for w, h in boxes), key=lambda box: box[0] * box[1])
    shown = 376 if 'class="narrow"' in figure else 460
    entries = figure.count("<li>")
    return shown, int((shown - 24) * height / width) + 96 + 24 * -(-entries // 2)


def main():
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--work", type=Path, default=ROOT / "target/study", metavar="DIR")
    parser.add_argument("--encoders", type=Path, default=ROOT / "models/encoders", metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/results", metavar="DIR")
    parser.add_argument("--document", type=Path, default=ROOT / "docs/results.md", metavar="FILE")
    options = parser.parse_args()
    for name in ("data", "work", "encoders", "out", "document"):
        setattr(options, name, below_root(getattr(options, name)))
    os.chdir(ROOT)
    missing = [options.data / task for task in TASKS if not (options.data / task / "train.csv").is_file()]
    if missing:
        raise SystemExit(f"{missing[0]} has no train.csv; --data needs the four tasks' folders")
    pretrain(options)
    for experiment in (FEW_PLAIN, FEW_PRETRAINED, FEW_PLAIN_LOSS, FEW_CONTRASTIVE, *ALL_DATA):
        run(experiment.command(options))
    fill(options.document, tables(options))
    pictures(options)
    print(f"study: {options.document}")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{Path(error.cmd[0]).name} ended with {error.returncode}")
