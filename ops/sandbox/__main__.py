"""Run the sandbox: `python -m ops.sandbox --port 8701`."""

import argparse
import sys

from ops.sandbox.server import serve


def main() -> int:
    """Read the options and serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m ops.sandbox", description="A simulator of Iron's onboarding API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8701)
    parser.add_argument("--speed", type=float, default=1.0, help="divides the times of every customer's script")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        serve(options.host, options.port, options.speed, seed=options.seed)
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
