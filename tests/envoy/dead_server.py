"""Kills one of two servers behind Envoy under load, without a warning, and starts it again.

Once as deploy/envoy/envoy.yaml is, with retries: no call may fail, and some must have been tried again, or nothing was seen.
Once without them: calls that the dead server had fail, until Envoy has found out. From then on none may.

`make dead-server` installs Envoy and runs this; `DYNAMAR` names another binary.
"""

import argparse
import sys
import time

import fleet

OUT = fleet.ROOT / "target/dead-server"
# What Envoy may take to find out: a connection that is refused, or its next question for health.
NOTICE_S = 5.0


def kill_and_return(servers, envoy, load, rounds):
    """Kills each server in turn; failures until Envoy knew, failures after that, and the longest time that it took."""
    early, late, longest = 0, 0, 0.0
    for _ in range(rounds):
        for server in servers:
            _, before = load.counts()
            server.kill()
            begin = time.monotonic()
            left_out = lambda: envoy.of_server(server.address, "health_flags") not in ("healthy", None)  # noqa: E731, B023
            fleet.wait_until(f"Envoy leaves {server.address} out", left_out)
            longest = max(longest, time.monotonic() - begin)
            # What was under way to it when Envoy found out ends with it.
            calls, _ = load.counts()
            fleet.wait_until("callers have gone on", lambda: load.counts()[0] > calls + len(load.threads))  # noqa: B023
            calls, known = load.counts()
            early += known - before
            fleet.wait_until("many calls were made without it", lambda: load.counts()[0] > calls + 500)  # noqa: B023
            server.start()
            envoy.until_it_sends(server)
            late += load.counts()[1] - known
    return early, late, longest


def attempt(models, retries, arguments):
    """One run; what was wrong with it, a line each."""
    name = "with retries" if retries else "without retries"
    with fleet.under_load(models, OUT, arguments.callers, retries) as (servers, envoy, load):
        early, late, longest = kill_and_return(servers, envoy, load, arguments.rounds)
        retried = envoy.counter("cluster.dynamar.upstream_rq_retry")
    calls, _ = load.counts()
    print(
        f"{name}: {calls} calls; {early} failed until Envoy had found out, {longest:.1f} s at most, and {late} after; "
        f"{retried} were tried again", flush=True,
    )
    for failure in load.failures[:3]:
        print(f"  {failure}")
    faults = [f"{name}: {late} calls failed while the server was known to be dead"] if late else []
    faults += [f"{name}: Envoy took {longest:.1f} s to find out"] if longest > NOTICE_S else []
    if retries and (early or not retried):
        faults.append(f"{name}: {early} calls failed, {retried} were tried again")
    if not retries and not early:
        faults.append(f"{name}: no call was lost, so that the other run shows nothing")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="times that each server is killed")
    parser.add_argument("--callers", type=int, default=8)
    arguments = parser.parse_args()
    with fleet.trained() as models:
        faults = [fault for retries in (True, False) for fault in attempt(models, retries, arguments)]
    for fault in faults:
        print(fault)
    print(f"dead-server: {4 * arguments.rounds} servers killed, {len(faults)} things were not as they should be")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
