"""What alerts and dashboard ask Prometheus: calls that compute and no probes, and a load that is right with several encoders."""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

import metric_names

ROOT = Path(__file__).resolve().parents[2]
# Of calls of all kinds.
OF_CALLS = re.compile(r"dynamar_(?:requests_total|request_duration_seconds(?:_bucket|_sum|_count)?)(?:\{([^}]*)\})?")
METHODS = re.compile(r'method=~"([^"]*)"')
# What tools and probes ask: it computes nothing.
ASKING = {"ListTasks", "GetTask", "ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata"}
# Shows all of them beside each other.
OF_ALL_METHODS = {"dashboard.json: Calls by method"}
LOAD = "dashboard.json: Load"


def complaints() -> Iterator[str]:
    """Expressions in which probes count as calls."""
    wanted = set(re.findall(r"\brpc (\w+)", "".join(file.read_text(encoding="utf-8") for file in (ROOT / "proto").rglob("*.proto"))))
    wanted -= ASKING
    for where, expression in metric_names.expressions():
        for labels in OF_CALLS.findall(expression):
            methods = METHODS.search(labels)
            if where not in OF_ALL_METHODS and (not methods or set(methods[1].split("|")) != wanted):
                yield f"{where}: asks for other methods than {'|'.join(sorted(wanted))}"


def load_test(file: Path) -> None:
    """Writes a test for promtool down: what the dashboard calls load, with two encoders that share the CPUs of a server."""
    average, busiest = [fill_in(expression) for where, expression in metric_names.expressions() if where == LOAD]
    series = []
    # Of server a one encoder is saturated; of b each has a quarter of the time, and a third was never measured; c is idle.
    for server, encoder, computed, speed in [
        ("a", "x", 200, 100), ("a", "y", 0, 50), ("b", "x", 50, 100), ("b", "y", 25, 50), ("b", "new", 9, None),
    ]:  # fmt: skip
        labels = f'{{namespace="n",instance="{server}",encoder="{encoder}"}}'
        series += [(f"dynamar_batch_tokens_sum{labels}", f"0+{60 * computed}x30"), (f"dynamar_workers{labels}", "2x30")]
        series += [(f"dynamar_encoder_tokens_per_second{labels}", f"{speed}x30")] if speed else []
    series += [(f'dynamar_serving{{namespace="n",instance="{server}"}}', "1x30") for server in "abc"]
    asked = [{"expr": expression, "eval_time": "20m", "exp_samples": [{"labels": "{}", "value": value}]}
             for expression, value in ((average, 0.5), (busiest, 1))]  # fmt: skip
    inputs = [{"series": name, "values": values} for name, values in series]
    tests = [{"interval": "1m", "input_series": inputs, "promql_expr_test": asked}]
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": tests}), encoding="utf-8")


def fill_in(expression: str) -> str:
    """An expression of the dashboard, with all of everything chosen."""
    return re.sub(r"\$(namespace|instance|task)\b", ".*", expression).replace("$__rate_interval", "5m")
