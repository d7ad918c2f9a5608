"""docs/from-pytorch.md as it stands: trains, exports, imports, serves, and compares the answers.

`make test-pytorch` installs PyTorch and runs this. `DYNAMAR` names another binary.
"""

import csv
import random
import re
import sys
import tempfile
import unittest
from pathlib import Path

import grpc
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients"))
from stage import ROOT, Caller, Server, dynamar, examples  # noqa: E402

# The encoder that is trained and the longest prompt: real weights, and small ones with byte-level tokens, where
# white space belongs to the word that follows.
MODELS = {
    "bert-tiny": (ROOT / "models/fetched/bert-tiny", 96),
    "roberta": (ROOT / "tests/data/families/roberta", 48),
}
DATA = ROOT / "models/data/review-polarity"
TRAIN_ROWS = 480
TEST_ROWS = 60
TOLERANCE = 1e-4


def blocks(language):
    """The blocks of code of the page in this language."""
    text = (ROOT / "docs/from-pytorch.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def setUpModule():
    """Trains and exports by the page's own code, on each encoder."""
    global LOOPS, TEXTS
    directory = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(directory.cleanup)
    with (DATA / "test.csv").open(encoding="utf-8", newline="") as file:
        TEXTS = [row["text"] for row in csv.DictReader(file)][:TEST_ROWS]
    # One that has to be cut.
    TEXTS.append(" ".join(TEXTS[:8]))
    LOOPS = {name: Loop(Path(directory.name) / name, *MODELS[name]) for name in MODELS}


class Loop:
    """One run of the page: its names after the last block, and the files that it made."""

    def __init__(self, home, model, max_length):
        self.home = home
        home.mkdir()
        (task,) = blocks("toml")
        task = re.sub("max_length = .*", f"max_length = {max_length}", task)
        (home / "reviews.toml").write_text(task, encoding="utf-8")
        with (DATA / "train.csv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))[: TRAIN_ROWS + 1]
        with (home / "train.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(lines)
        random.seed(0)
        torch.manual_seed(0)
        torch.set_num_threads(1)
        arguments = sys.argv
        files = [model, home / "train.csv", home / "reviews.toml", home / "exported"]
        sys.argv = ["train.py", *map(str, files)]
        self.names = {"__name__": "train"}
        for block in blocks("python"):
            exec(compile(block, "docs/from-pytorch.md", "exec"), self.names)
        sys.argv = arguments
        self.names["encoder"].save_pretrained(home / "weights")
        self.names["tokenizer"].save_pretrained(home / "weights")

    def probabilities(self, texts, templates):
        """Probabilities of PyTorch, the mean of these templates: one prompt at a time."""
        rows = []
        with torch.inference_mode():
            for text in texts:
                prompts = [self.names["prompt"](template, text) for template in templates]
                shares = [self.names["logits"]([prompt]).softmax(dim=1)[0] for prompt in prompts]
                rows.append(torch.stack(shares).mean(dim=0).tolist())
        return rows


class FromPytorch(unittest.TestCase):
    def check(self, directory):
        """Imports a directory of each loop with its head, and compares the server's answers with PyTorch's."""
        for name, loop in LOOPS.items():
            with self.subTest(name):
                models = loop.home / f"models-of-{directory}"
                printed = dynamar(
                    "import", loop.home / directory, "--task", loop.home / "reviews.toml",
                    "--head", loop.home / "exported/head.safetensors", "--out", models / "reviews",
                )
                self.assertIn("with the task reviews", printed)
                self.assertEqual("a graph of another exporter" in printed, directory == "exported")
                server = Server(models)
                self.addCleanup(server.stop)
                with grpc.insecure_channel(server.address) as channel:
                    call = Caller(channel)
                    templates = loop.names["templates"]
                    self.compare(loop, call, templates[:1])
                    self.compare(loop, call, templates, template_mode="ENSEMBLE")

    def compare(self, loop, call, templates, **options):
        answer = call("Classify", task="reviews", examples=examples(*TEXTS), options=options)
        worst = 0.0
        for result, expected in zip(answer.results, loop.probabilities(TEXTS, templates), strict=True):
            found = {score.label: score.probability for score in result.labels}
            for label, share in zip(loop.names["labels"], expected, strict=True):
                worst = max(worst, abs(found[label] - share))
        self.assertLess(worst, TOLERANCE)
        self.assertTrue(answer.results[-1].truncated)

    def test_the_graph_answers_as_pytorch_does(self):
        self.check("exported")

    def test_the_weights_answer_as_pytorch_does(self):
        self.check("weights")

    def test_the_loop_learns(self):
        with (DATA / "dev.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        loop = LOOPS["bert-tiny"]
        shares = loop.probabilities([row["text"] for row in rows], loop.names["templates"][:1])
        labels = loop.names["labels"]
        right = sum(labels[row.index(max(row))] == one["sentiment"] for row, one in zip(shares, rows))
        self.assertGreater(right / len(rows), 0.6)


if __name__ == "__main__":
    unittest.main()
