#!/usr/bin/env python3
"""Turns the rated Amazon review snippets of VADER into two demo tasks.

Input: one snippet a line, `id<TAB>rating<TAB>text`, where the id `12_3` is
sentence 3 of review 12 and the rating is the mean of twenty raters, -4 to 4.

Output, as CSV with a header, each in train, dev and test:

    review-intensity   text,rating,review_id      every snippet
    review-polarity    text,sentiment,review_id   only the clearly rated ones

Everything here is a pure function of the input bytes: `fetch.py` writes the
result and checks it against the hashes in `catalogue.toml`. Run by itself,
this file writes nothing; it prints the row counts and those hashes:

    python3 models/demo_data.py FILE
"""

import collections
import csv
import hashlib
import io
import math
import re
import sys
from dataclasses import dataclass

SPLITS = ("train", "dev", "test")

# A review falls into a split by its hash, a number in 0..99.
TRAIN_BELOW = 75
DEV_BELOW = 84

# Ratings nearer to zero than this say neither positive nor negative.
CLEAR_RATING = 1.0
RATING_LIMIT = 4.0

SNIPPET_ID = re.compile(r"([0-9]+)_[0-9]+")


class BadSource(Exception):
    """The input is not what it should be; the message names the line."""


@dataclass(frozen=True)
class Snippet:
    """One rated sentence. The rating stays text, so it is copied, not rounded."""

    review_id: str
    rating: str
    text: str


def build(source: bytes) -> dict[str, bytes]:
    """The CSV files of both tasks, by path, e.g. `review-polarity/test.csv`."""
    files = {}
    snippets = without_repeats(parse(source))
    for task, (header, row_of) in TASKS.items():
        rows = {split: [] for split in SPLITS}
        for snippet in snippets:
            row = row_of(snippet)
            if row is not None:
                rows[split_of(snippet.review_id)].append(row)
        for split in SPLITS:
            files[f"{task}/{split}.csv"] = to_csv(header, rows[split])
    return files


def parse(source: bytes) -> list[Snippet]:
    """All snippets with text, in the order of the file."""
    try:
        lines = source.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise BadSource(f"not UTF-8 text: {error}") from error
    snippets = [parse_line(number, line) for number, line in enumerate(lines, start=1)]
    return [snippet for snippet in snippets if snippet.text]


def parse_line(number: int, line: str) -> Snippet:
    """One line of the source. Quotes are plain text there, so no CSV reader."""
    columns = line.split("\t")
    if len(columns) != 3:
        raise BadSource(f"line {number}: expected id, rating and text, found {len(columns)} columns")
    snippet_id, rating, text = (column.strip() for column in columns)
    match = SNIPPET_ID.fullmatch(snippet_id)
    if match is None:
        raise BadSource(f"line {number}: the id {snippet_id!r} is not of the form 12_3")
    if not is_rating(rating):
        raise BadSource(f"line {number}: the rating {rating!r} is not a number from -4 to 4")
    return Snippet(match.group(1), rating, text)


def is_rating(word: str) -> bool:
    """Whether the word is a finite number in the raters' range."""
    try:
        value = float(word)
    except ValueError:
        return False
    return math.isfinite(value) and abs(value) <= RATING_LIMIT


def without_repeats(snippets: list[Snippet]) -> list[Snippet]:
    """Keeps the first of each text, so that no text is in two splits.

    Upper and lower case and runs of blanks do not make a text another one:
    most tokenizers here would turn both into the same ids.
    """
    first_of = {}
    for snippet in snippets:
        first_of.setdefault(" ".join(snippet.text.casefold().split()), snippet)
    return list(first_of.values())


def split_of(review_id: str) -> str:
    """The split of a whole review.

    It depends on the review id alone, so a review is in the same split of
    both tasks, and a model trained on one task never saw the other's test.
    """
    bucket = int(hashlib.sha256(review_id.encode("ascii")).hexdigest(), 16) % 100
    if bucket < TRAIN_BELOW:
        return "train"
    return "dev" if bucket < DEV_BELOW else "test"


def intensity_row(snippet: Snippet) -> tuple[str, ...]:
    """How strongly the snippet praises or blames."""
    return (snippet.text, snippet.rating, snippet.review_id)


def polarity_row(snippet: Snippet) -> tuple[str, ...] | None:
    """Praise or blame, or None where the raters were not clear."""
    rating = float(snippet.rating)
    if abs(rating) < CLEAR_RATING:
        return None
    return (snippet.text, "positive" if rating > 0 else "negative", snippet.review_id)


TASKS = {
    "review-intensity": (("text", "rating", "review_id"), intensity_row),
    "review-polarity": (("text", "sentiment", "review_id"), polarity_row),
}


def to_csv(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> bytes:
    """The same bytes on every platform."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def describe(name: str, content: bytes) -> str:
    """Row counts of a file for people, and its entry for the catalogue."""
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))
    classes = collections.Counter(row["sentiment"] for row in rows if "sentiment" in row)
    counts = "".join(f", {count} {label}" for label, count in sorted(classes.items()))
    digest = hashlib.sha256(content).hexdigest()
    return f'# {name}: {len(rows)} rows{counts}\nsha256 = "{digest}", bytes = {len(content)}'


def main(arguments: list[str]) -> int:
    """Describes what `build` makes of the file named."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python3 models/demo_data.py FILE", file=sys.stderr)
        return 2
    try:
        with open(arguments[0], "rb") as source:
            files = build(source.read())
    except (OSError, BadSource) as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return 1
    for name, content in files.items():
        print(describe(name, content))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
