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

MODEL = ROOT / "models/fetched/bert-tiny"
DATA = ROOT / "models/data/review-polarity"
TRAIN_ROWS = 480
TEST_ROWS = 60
TOLERANCE = 1e-4


def blocks(language):
    """The blocks of code of the page in this language."""
    text = (ROOT / "docs/from-pytorch.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def setUpModule():
    """Trains and exports by the page's own code."""
    global HOME, LOOP, TEXTS
    directory = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(directory.cleanup)
    HOME = Path(directory.name)
    (task,) = blocks("toml")
    (HOME / "reviews.toml").write_text(task, encoding="utf-8")
    with (DATA / "train.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))[: TRAIN_ROWS + 1]
    with (HOME / "train.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
    with (DATA / "test.csv").open(encoding="utf-8", newline="") as file:
        TEXTS = [row["text"] for row in csv.DictReader(file)][:TEST_ROWS]
    # One that has to be cut.
    TEXTS.append(" ".join(TEXTS[:8]))
    random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    arguments = sys.argv
    sys.argv = ["train.py", *map(str, [MODEL, HOME / "train.csv", HOME / "reviews.toml", HOME / "exported"])]
    LOOP = {"__name__": "train"}
    for block in blocks("python"):
        exec(compile(block, "docs/from-pytorch.md", "exec"), LOOP)
    sys.argv = arguments
    LOOP["encoder"].save_pretrained(HOME / "weights")
    LOOP["tokenizer"].save_pretrained(HOME / "weights")


def of_pytorch(texts, templates):
    """Probabilities of PyTorch, the mean of these templates: one prompt at a time."""
    rows = []
    with torch.inference_mode():
        for text in texts:
            prompts = [LOOP["prompt"](template, text) for template in templates]
            shares = [LOOP["logits"]([prompt]).softmax(dim=1)[0] for prompt in prompts]
            rows.append(torch.stack(shares).mean(dim=0).tolist())
    return rows


class FromPytorch(unittest.TestCase):
    def check(self, directory, name):
        """Imports a directory with the head, and compares the server's answers with PyTorch's."""
        models = HOME / name
        printed = dynamar(
            "import", directory, "--task", HOME / "reviews.toml",
            "--head", HOME / "exported/head.safetensors", "--out", models / "reviews",
        )
        self.assertIn("with the task reviews", printed)
        server = Server(models)
        self.addCleanup(server.stop)
        with grpc.insecure_channel(server.address) as channel:
            call = Caller(channel)
            self.compare(call, LOOP["templates"][:1])
            self.compare(call, LOOP["templates"], template_mode="ENSEMBLE")
        return printed

    def compare(self, call, templates, **options):
        answer = call("Classify", task="reviews", examples=examples(*TEXTS), options=options)
        worst = 0.0
        for result, expected in zip(answer.results, of_pytorch(TEXTS, templates), strict=True):
            found = {score.label: score.probability for score in result.labels}
            for label, share in zip(LOOP["labels"], expected, strict=True):
                worst = max(worst, abs(found[label] - share))
        self.assertLess(worst, TOLERANCE)
        self.assertTrue(answer.results[-1].truncated)

    def test_the_graph_answers_as_pytorch_does(self):
        printed = self.check(HOME / "exported", "of-graph")
        self.assertIn("a graph of another exporter", printed)

    def test_the_weights_answer_as_pytorch_does(self):
        printed = self.check(HOME / "weights", "of-weights")
        self.assertIn("2 layers", printed)

    def test_the_loop_learns(self):
        with (DATA / "dev.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        shares = of_pytorch([row["text"] for row in rows], LOOP["templates"][:1])
        labels = LOOP["labels"]
        right = sum(labels[row.index(max(row))] == one["sentiment"] for row, one in zip(shares, rows))
        self.assertGreater(right / len(rows), 0.6)


if __name__ == "__main__":
    unittest.main()
