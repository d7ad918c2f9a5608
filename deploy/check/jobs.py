"""What jobs hand to each other, and to servers, has to lie where the next one looks: on the same volume, in the same directory."""

from collections.abc import Iterator
from pathlib import PurePosixPath

Place = tuple[str, str]


def complaints(load: list[dict], train: list[dict], predict: list[dict], servers: list[dict]) -> Iterator[str]:
    """Everything that does not fit together of these renderings."""
    trainer, predictor, server = pod_of(train), pod_of(predict), pod_of(servers)
    published = place(trainer, option(trainer, "out"))
    asked = place(predictor, option(predictor, "model"))
    if published != asked:
        yield f"jobs/train publishes {published}, and jobs/predict reads {asked}"
    if parent(published) != place(server, "/models"):
        yield f"jobs/train publishes {published}, and servers look in {place(server, '/models')}"
    if "@" not in published[1]:
        yield f"jobs/train publishes {published[1]}: without a version, what is trained next cannot lie beside it"
    made = set(directories(pod_of(load)))
    needed = [published, place(trainer, option(trainer, "encoder")), place(predictor, option(predictor, "out"))]
    yield from (f"jobs/load does not make {parent(one)}" for one in needed if parent(one) not in made)
    if any(claim not in claims(load) for claim in claims(servers)):
        yield "jobs/load makes another volume than overlays/cpu, which would have to be changed"
    yield from indexes(next(document["spec"] for document in predict if document["kind"] == "Job"))


def indexes(job: dict) -> Iterator[str]:
    """As many shards as indexes, and none that ends the others."""
    shards = option(job["template"]["spec"], "shards")
    if shards != str(job["completions"]):
        yield f"jobs/predict has {job['completions']} completions and {shards} shards"
    if job.get("maxFailedIndexes") is not None:
        yield "jobs/predict: maxFailedIndexes lets shards that fail end the others"


def claims(documents: list[dict]) -> list[dict]:
    """The volumes of a rendering."""
    return [document for document in documents if document["kind"] == "PersistentVolumeClaim"]


def pod_of(documents: list[dict]) -> dict:
    """The one pod of a rendering."""
    (spec,) = (document["spec"] for document in documents if document["kind"] in ("Deployment", "Job", "Pod"))
    return spec.get("template", {}).get("spec", spec)


def option(pod: dict, name: str) -> str:
    """What a container is given as --NAME=."""
    start = f"--{name}="
    return next(text.removeprefix(start) for text in pod["containers"][0]["args"] if text.startswith(start))


def directories(pod: dict) -> Iterator[Place]:
    """What the shell of the pod makes with `mkdir -p`."""
    made = pod["containers"][0]["command"][-1].split("&&")[0].split()
    if made[:2] != ["mkdir", "-p"]:
        return
    yield from (place(pod, path) for path in made[2:])


def place(pod: dict, path: str) -> Place:
    """The claim on which a path of the first container lies, and where on its volume."""
    at = PurePosixPath(path)
    mounts = [mount for mount in pod["containers"][0]["volumeMounts"] if at.is_relative_to(mount["mountPath"])]
    mount = max(mounts, key=lambda mount: len(mount["mountPath"]))
    volume = next(volume for volume in pod["volumes"] if volume["name"] == mount["name"])
    inside = PurePosixPath(mount.get("subPath", "")) / at.relative_to(mount["mountPath"])
    return volume["persistentVolumeClaim"]["claimName"], str(inside)


def parent(one: Place) -> Place:
    """The directory of a place."""
    return one[0], str(PurePosixPath(one[1]).parent)
