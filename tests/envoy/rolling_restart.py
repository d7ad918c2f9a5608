"""Restarts two servers behind Envoy, one after the other, under load: no call may fail.

Trains both demo tasks on bert-tiny, serves them twice, puts Envoy before both, and calls through it all
the time. In every round each server gets SIGTERM, ends, is started again and takes calls again before it
is the other one's turn. Every answer is compared with what one server said of the same texts alone. Envoy
tries no call twice here, so what fails is seen.

`make rolling-restart` installs Envoy and runs this; `DYNAMAR` names another binary.
"""

import argparse
import sys
import time

import fleet

OUT = fleet.ROOT / "target/rolling-restart"


def restart_all(servers, envoy, load, rounds):
    for number in range(1, rounds + 1):
        for server in servers:
            took = server.stop()
            server.start()
            begin = time.monotonic()
            envoy.until_it_sends(server)
            back = time.monotonic() - begin
            print(
                f"round {number}: {server.address} ended in {took:.1f} s and took calls again "
                f"{back:.1f} s later; {load.calls} calls, {len(load.failures)} failed", flush=True,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="times that each server is restarted")
    parser.add_argument("--callers", type=int, default=8)
    arguments = parser.parse_args()
    with fleet.trained() as models:
        with fleet.under_load(models, OUT, arguments.callers, retries=False) as (servers, envoy, load):
            restart_all(servers, envoy, load, arguments.rounds)
    for failure in load.failures[:10]:
        print(failure)
    print(
        f"rolling-restart: {load.calls} calls, {len(load.failures)} failed, in {arguments.rounds} "
        f"rounds with {2 * arguments.rounds} restarts"
    )
    return 1 if load.failures or load.calls == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
