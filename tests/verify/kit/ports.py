"""Ports for programs that are told one before they listen."""

import random
import socket

# Below those that kernels take outgoing connections from: between the choice and the listener, a call of another suite
# would take such a port. And apart from those that the programs' own sandbox draws.
FIRST, LAST = 10_000, 19_999
TRIES = 1_000
given = set()


def free():
    """A port of 127.0.0.1 on which nobody listens, and that was not given away by this process before."""
    for _ in range(TRIES):
        port = random.SystemRandom().randint(FIRST, LAST)
        if port in given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        given.add(port)
        return port
    raise OSError(f"no free port between {FIRST} and {LAST}")


def taken(port):
    """Whether somebody takes connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
