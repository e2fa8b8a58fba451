"""Run the sandbox: `python -m ops.sandbox --port 8701`."""

import argparse
import sys

from ops.sandbox.hosts.server import serve
from ops.sandbox.world.switches import chosen


def main() -> int:
    """Read the options and serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m ops.sandbox", description="A simulator of Iron's onboarding API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8701)
    parser.add_argument("--speed", type=float, default=1.0, help="divides the times of every customer's script")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--by-call", action="store_true", help="approve when told, as Iron's own sandbox does")
    parser.add_argument("--strict", action="store_true", help="refuse members of bodies that no document names")
    parser.add_argument("--strange", type=int, metavar="SEED", help="be the provider of a seed, with moods")
    options = parser.parse_args()
    switches = chosen(by_call=options.by_call, strict=options.strict)
    try:
        serve(
            options.host,
            options.port,
            options.speed,
            seed=options.seed,
            switches=switches,
            strange=options.strange,
        )
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
