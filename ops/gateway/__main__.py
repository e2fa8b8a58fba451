"""Run the gateway: `python -m ops.gateway --port 8700`."""

import argparse
import sys

from ops.gateway.server import HOST, PORT, serve
from workers.settings import SettingsError


def main() -> int:
    """Read the options and serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m ops.gateway", description="The HTTP gateway.")
    parser.add_argument("--host", default=HOST)
    parser.add_argument(
        "--port", type=int, default=PORT, help="0 takes a free one; the first line of the log says which"
    )
    options = parser.parse_args()
    try:
        serve(options.host, options.port)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
