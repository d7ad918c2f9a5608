"""What manifests set has to be among the server's settings, be of their kind, and have an effect; and leave it time to stop."""

import re
import tomllib
from collections.abc import Iterator

SETTING = re.compile(r"^DYNAMAR_[A-Z0-9_]+$")
# Beyond server.stop_delay_ms and server.drain_timeout_ms: the log of predictions and the last traces are written, a checkpoint may be
# in the middle of being loaded, and whoever stops the server takes some time to say so.
HEADROOM_S = 10
FORMS = {bool: r"true|false", int: r"\d+", float: r"\d+(\.\d+)?"}


def environment(container: dict, defaults: dict) -> Iterator[str]:
    """The program refuses settings that it does not know, or that are not numbers where they should be."""
    given = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
    for name, value in given.items():
        if not SETTING.match(name):
            continue
        default = default_of(name, defaults)
        if default is None:
            yield f"default.toml has no key for {name}"
        elif value is not None and not re.fullmatch(FORMS.get(type(default), ".*"), value):
            yield f"{name} is {value!r}, where {default!r} stands by default"
    if given.get("DYNAMAR_INFERENCE__EXECUTION_PROVIDER") == "cuda" and "DYNAMAR_BATCHING__MAX_BATCH_TOKENS" in given:
        yield "DYNAMAR_BATCHING__MAX_BATCH_TOKENS has no effect on a GPU"


def default_of(variable: str, defaults: dict) -> object:
    """What default.toml has for an environment variable; `None` if it has no such key."""
    at = defaults
    for part in variable.removeprefix("DYNAMAR_").lower().split("__"):
        if not isinstance(at, dict) or part not in at:
            return None
        at = at[part]
    return None if isinstance(at, dict) else at


def configuration(documents: list[dict]) -> dict:
    """The dynamar.toml of a rendering."""
    for document in documents:
        if document["kind"] == "ConfigMap" and "dynamar.toml" in document["data"]:
            return tomllib.loads(document["data"]["dynamar.toml"])
    return {}


def grace(pod: dict, documents: list[dict], defaults: dict) -> Iterator[str]:
    """Kubernetes must not kill what still answers."""
    own = configuration(documents)
    for section, keys in own.items():
        for key in keys:
            if key not in defaults.get(section, {}):
                yield f"dynamar.toml: default.toml has no {section}.{key}"
    yield from patience(pod.get("terminationGracePeriodSeconds", 30), {**defaults["server"], **own.get("server", {})})


def patience(granted_s: float, server: dict) -> Iterator[str]:
    """Whether whoever stops a server with these settings waits long enough."""
    needed = (server["stop_delay_ms"] + server["drain_timeout_ms"]) / 1000
    if granted_s < needed + HEADROOM_S:
        yield f"{granted_s} s to stop, where the server may take {needed} s, and {HEADROOM_S} s more are wanted"
