"""What Envoy must not do to servers that are well: reset a stream that says nothing, or leave one out for a bad client's calls.

Two servers with next to nothing to do. A stream is quiet for longer than Envoy's limit for streams, which is made seconds of its five
minutes. One client calls a method that there is not, and another with a deadline that nobody can keep; both servers stay in.

`make quiet-fleet` installs Envoy and runs this; `DYNAMAR` names another binary.
"""

import queue
import sys
import time

import grpc

import fleet
from fleet import clients

OUT = fleet.ROOT / "target/quiet-fleet"
LIMIT_S, QUIET_S = 2, 5
BAD_CALLS = 30


def quiet_stream(channel, call):
    """What became of a stream that said nothing for a while; `None` if it was answered on."""
    request, answer = call.types("ClassifyStream")
    asked = request(task=fleet.TASK, examples=clients.examples(clients.PRAISE))
    requests = queue.SimpleQueue()
    method = channel.stream_stream(
        f"/{clients.SERVICE}/ClassifyStream",
        request_serializer=lambda message: message.SerializeToString(), response_deserializer=answer.FromString,
    )
    answers = method(iter(requests.get, None))
    try:
        requests.put(asked)
        next(answers)
        time.sleep(QUIET_S)
        requests.put(asked)
        next(answers)
    except grpc.RpcError as error:
        return f"a stream that said nothing for {QUIET_S} s: {error.code()}: {error.details()}"
    finally:
        requests.put(None)
    return None


def bad_calls(channel, call, look):
    """Makes calls that fail by their caller's fault, looking round after each, and returns their codes."""
    request, _ = call.types("Classify")
    # More than can be computed in the time given.
    large = request(task=fleet.TASK, examples=clients.examples(*[f"{clients.BLAME} {at}" * 50 for at in range(200)]))
    plain = lambda name: channel.unary_unary(f"/{clients.SERVICE}/{name}")  # noqa: E731
    codes = []
    for _ in range(BAD_CALLS):
        for name, message, seconds in (("Nothing", b"", 5), ("Classify", large.SerializeToString(), 0.02)):
            try:
                plain(name)(message, timeout=seconds)
            except grpc.RpcError as error:
                codes.append(error.code().name)
            look()
    return codes


def main():
    with fleet.trained() as models, fleet.idle(models, OUT, stream_idle_timeout=f"{LIMIT_S}s") as (servers, envoy):
        with grpc.insecure_channel(f"127.0.0.1:{envoy.listener}") as channel:
            call = clients.Caller(channel)
            faults = [fault] if (fault := quiet_stream(channel, call)) else []
            # Envoy puts a server out at once, and back when it has asked it for its health.
            flags = set()
            look = lambda: flags.update(envoy.of_server(server.address, "health_flags") for server in servers)  # noqa: E731
            codes = bad_calls(channel, call, look)
    faults += [f"a server that is well was {flag}" for flag in flags - {"healthy"}]
    faults += [f"no call ended as {code}" for code in ("UNIMPLEMENTED", "DEADLINE_EXCEEDED") if code not in codes]
    for fault in faults:
        print(fault)
    print(f"quiet-fleet: a stream quiet for {QUIET_S} s, {len(codes)} calls failed by their callers' fault, {len(faults)} things wrong")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
