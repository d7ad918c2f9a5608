#!/usr/bin/env python3
"""SetFit on the few-shot subsets that `dynamar compare` drew, for its `--add-results`.

SetFit (Tunstall et al., 2022) tunes a sentence encoder on pairs of examples, then fits a logistic
regression on its embeddings. Here the encoder is a local Hugging Face directory with mean pooling
and normalisation; nothing is downloaded. For each K and seed it reads

    WORK/TASK/kK-seedS/train.csv

tunes, predicts the test file and adds a cell to the results file, which is written anew, whole or
not at all, after each. A cell that is there already is skipped, so a run can be stopped and begun
again. Settings are SetFit's defaults (one epoch, batches of 16 pairs, learning rate 2e-5) with the
paper's 20 iterations: 20 pairs of like and 20 of unlike examples for each example. The library's own
default since 1.0, oversampling, is there with `--num-iterations 0`; it takes every pair, which is few
steps with few examples and hundreds of thousands of pairs with many. `description` in the results
says what was used.

    python3 -m venv target/setfit-venv
    target/setfit-venv/bin/pip install --requirement studies/requirements-setfit.txt
    target/setfit-venv/bin/python studies/setfit_baseline.py --work target/compare \\
        --task review-polarity --test target/compare/review-polarity/test.csv \\
        --text-columns text --label-column sentiment --shots 8 16 32 --seeds 0 1 2 \\
        --encoder models/fetched/minilm-l6 --out target/compare/setfit.json

Regression is no SetFit task.
"""

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

# Before the libraries are loaded, which read them: no network, and the CPU as dynamar has it.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
    CUDA_VISIBLE_DEVICES="",
)

import datasets
import sentence_transformers
import setfit
import torch
from sentence_transformers import SentenceTransformer, models
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from transformers.trainer_callback import PrinterCallback, ProgressCallback

METHOD = "SetFit"
BATCH_SIZE = 16
PREDICTION_BATCH_SIZE = 32


class Refused(Exception):
    """What was asked for cannot be done; the message is for people."""


@dataclass(frozen=True)
class Rows:
    """Texts with the indices of their labels."""

    texts: list
    labels: list


def text_of(row, groups, separator):
    """The columns of a group by spaces, the groups by the separator; empty ones are left out."""
    joined = (" ".join(row[name].strip() for name in group if row[name].strip()) for group in groups)
    return separator.join(text for text in joined if text)


def read_rows(path, options, names=None):
    """Reads a CSV; returns the rows and the label names, which are sorted unless given."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            records, columns = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"cannot read {path}: {error}") from error
    groups = [group.split("+") for group in options.text_columns.split(",")]
    for column in [options.label_column, *(name for group in groups for name in group)]:
        if column not in columns:
            raise Refused(f"{path} has no column {column!r}; it has: {', '.join(columns)}")
    if any(None in record.values() or None in record for record in records):
        raise Refused(f"{path} has rows with too few or too many values")
    found = [record[options.label_column].strip() for record in records]
    names = names or options.labels or sorted(set(found))
    if unknown := sorted(set(found) - set(names)):
        raise Refused(f"{path} has the unknown label {unknown[0]!r}; known are: {', '.join(names)}")
    texts = [text_of(record, groups, options.separator) for record in records]
    return Rows(texts, [names.index(label) for label in found]), names


def sentence_encoder(options):
    """The directory's encoder with mean pooling over its tokens and embeddings of length 1."""
    words = models.Transformer(str(options.encoder), max_seq_length=options.max_length)
    pooling = models.Pooling(words.get_embedding_dimension(), pooling_mode="mean")
    return SentenceTransformer(modules=[words, pooling, models.Normalize()], device="cpu")


def pairs_of(labels, iterations):
    """How many pairs SetFit makes for an epoch: of each example with itself and all others, as
    many alike as unlike, the rarer repeated; or 2 for each example and iteration."""
    if iterations:
        return 2 * iterations * len(labels)
    counts = [labels.count(label) for label in set(labels)]
    alike = sum(count * (count + 1) // 2 for count in counts)
    unlike = len(labels) * (len(labels) + 1) // 2 - alike
    return 2 * max(alike, unlike)


def train(rows, options, seed):
    """Tunes a fresh encoder on the pairs of the rows and fits the head."""
    model = setfit.SetFitModel(model_body=sentence_encoder(options), model_head=LogisticRegression())
    steps = -(-pairs_of(rows.labels, options.num_iterations) // BATCH_SIZE)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = setfit.TrainingArguments(
            output_dir=scratch,
            batch_size=BATCH_SIZE,
            num_epochs=1,
            num_iterations=options.num_iterations or None,
            max_steps=options.max_steps if steps > options.max_steps else -1,
            body_learning_rate=options.learning_rate,
            seed=seed,
            report_to="none",
            logging_strategy="no",
            save_strategy="no",
            show_progress_bar=False,
        )
        dataset = datasets.Dataset.from_dict({"text": rows.texts, "label": rows.labels})
        trainer = setfit.Trainer(model=model, args=arguments, train_dataset=dataset)
        trainer.st_trainer.args.dataloader_pin_memory = False
        for talkative in (PrinterCallback, ProgressCallback):
            trainer.st_trainer.remove_callback(talkative)
        trainer.train()
    return model, min(steps, options.max_steps)


def measure(model, test, names):
    """The figures that compare knows, by its definitions."""
    probabilities = model.predict_proba(
        test.texts, batch_size=PREDICTION_BATCH_SIZE, as_numpy=True, show_progress_bar=False
    )
    classes = [int(label) for label in model.model_head.classes_]
    predicted = [classes[at] for at in probabilities.argmax(axis=1)]
    right = sum(a == b for a, b in zip(predicted, test.labels))
    metrics = {
        "accuracy": right / len(test.labels),
        "macro_f1": f1_score(test.labels, predicted, average="macro", zero_division=0),
    }
    precisions = {}
    for column, label in enumerate(classes):
        truth = [gold == label for gold in test.labels]
        if any(truth) and not all(truth):
            precisions[label] = average_precision_score(truth, probabilities[:, column])
    if len(names) == 2:
        # The last label is the positive one, as dynamar has it.
        metrics["f1_positive"] = f1_score(test.labels, predicted, pos_label=1, zero_division=0)
        precisions = {label: value for label, value in precisions.items() if label == 1}
    if precisions:
        metrics["average_precision"] = sum(precisions.values()) / len(precisions)
    return {name: float(value) for name, value in metrics.items()}


def description(options):
    """What was done, for whoever reads the results."""
    pairs = f"{options.num_iterations} iterations" if options.num_iterations else "oversampling"
    return (
        f"setfit {setfit.__version__} (sentence-transformers {sentence_transformers.__version__},"
        f" torch {torch.__version__}), encoder {options.encoder.name} with mean pooling, at most"
        f" {options.max_length} tokens; 1 epoch, batch size {BATCH_SIZE}, learning rate"
        f" {options.learning_rate:g}, pairs by {pairs}, at most"
        f" {options.max_steps} steps; logistic regression; {options.threads} threads"
    )


def read_results(options):
    """The results so far."""
    begun = {"method": METHOD, "description": description(options), "results": []}
    try:
        found = json.loads(options.out.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return begun
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Refused(f"cannot read {options.out}: {error}") from error
    if not isinstance(found, dict) or set(found) != set(begun):
        raise Refused(f"{options.out} holds something else than results; name another --out")
    if found["description"] != begun["description"]:
        raise Refused(
            f"{options.out} was made with other settings ({found['description']}); name another --out"
        )
    return found


def write_results(path, results):
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(results, stream, indent=1)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def run(options):
    """Computes every cell that the results lack."""
    torch.set_num_threads(options.threads)
    datasets.disable_progress_bars()
    setfit.logging.set_verbosity_error()
    test, names = read_rows(options.test, options)
    if not test.texts:
        raise Refused(f"{options.test} has no rows")
    results = read_results(options)
    done = {(cell["task"], cell["shots"], cell["seed"]) for cell in results["results"]}
    cells = [(shots, seed) for shots in options.shots for seed in options.seeds]
    for shots, seed in cells:
        where = f"{options.task} k={shots} seed={seed}"
        if (options.task, shots, seed) in done:
            print(f"{where}: there already", flush=True)
            continue
        rows, _ = read_rows(options.work / options.task / f"k{shots}-seed{seed}/train.csv", options, names)
        begin = time.perf_counter()
        model, steps = train(rows, options, seed)
        seconds = time.perf_counter() - begin
        metrics = measure(model, test, names)
        cell = {"task": options.task, "shots": shots, "seed": seed, "metrics": metrics, "seconds": seconds}
        results["results"].append(cell)
        write_results(options.out, results)
        figures = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"{where}: {len(rows.texts)} examples, {steps} steps, {seconds:.1f} s, {figures}", flush=True)


def parse_arguments(arguments):
    """What was typed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--work", type=Path, required=True, metavar="DIR", help="where compare wrote the subsets")
    add("--task", required=True, metavar="NAME")
    add("--test", type=Path, required=True, metavar="FILE", help="the task's test set (CSV)")
    add("--text-columns", required=True, metavar="A,B",
        help="columns of the text; those joined by + come after each other with a space")  # fmt: skip
    add("--separator", default=" [SEP] ", metavar="TEXT", help="between columns separated by commas")
    add("--label-column", required=True, metavar="NAME")
    add("--labels", type=lambda text: text.split(","), metavar="A,B",
        help="in the task file's order; of two the last is the positive one (default: sorted)")  # fmt: skip
    add("--shots", type=int, nargs="+", required=True, metavar="K", help="examples of each label")
    add("--seeds", type=int, nargs="+", required=True, metavar="S")
    add("--encoder", type=Path, required=True, metavar="DIR", help="a Hugging Face directory")
    add("--out", type=Path, required=True, metavar="FILE", help="the results (JSON)")
    add("--threads", type=int, default=2)
    add("--max-length", type=int, default=128, help="tokens of a text (default: 128)")
    add("--max-steps", type=int, default=2000, help="steps at most (default: 2000)")
    add("--num-iterations", type=int, default=20, metavar="N",
        help="2 N pairs for each example (default: 20), or 0 for oversampling")  # fmt: skip
    add("--learning-rate", type=float, default=2e-5)
    return parser.parse_args(arguments)


def main(arguments):
    """Exit status 0 if every cell is there."""
    try:
        run(parse_arguments(arguments))
    except Refused as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
