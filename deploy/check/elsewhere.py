"""Kustomizations as somebody else would have them: with a registry of one's own, said once, and in another namespace."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml

import manifests

NAMESPACE = "elsewhere"
IMAGE = re.compile(r"\bimage: (\S+)")
REGISTRY = "registry.internal/"


def kustomization(given: Path, registry: Path, place: Path) -> Path:
    """Writes it down anew with another namespace, and an overlay on top of it with a component for the registry: that one's place."""
    shutil.rmtree(place, ignore_errors=True)
    copy, own = place / "copy", place / "own"
    shutil.copytree(given, copy)
    own.mkdir()
    document = yaml.safe_load((given / "kustomization.yaml").read_text(encoding="utf-8"))
    for key in ("resources", "components"):
        paths = document.get(key, [])
        document[key] = [os.path.relpath(given / path, copy) if path.startswith("..") else path for path in paths]
    document["namespace"] = NAMESPACE
    (copy / "kustomization.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    on_top = {"kind": "Kustomization", "resources": ["../copy"], "components": [os.path.relpath(registry, own)]}
    (own / "kustomization.yaml").write_text(yaml.safe_dump(on_top), encoding="utf-8")
    return own


def complaints(given: str, rendered: str, defaults: dict) -> Iterator[str]:
    """What did not follow; `given` is the rendering as it is shipped."""
    images = IMAGE.findall(rendered)
    yield from (f"{image} is not from one's own registry" for image in images if not image.startswith(REGISTRY))
    tags = [[image.rsplit(":", 1)[1] for image in found] for found in (IMAGE.findall(given), images)]
    if tags[0] != tags[1]:
        yield f"one's own registry makes {tags[1]} of the tags {tags[0]}"
    yield from manifests.complaints([document for document in yaml.safe_load_all(rendered) if document], defaults)
