"""Run the command line without its installed script: `python -m ops.cli`."""

import sys

from ops.cli import main

if __name__ == "__main__":
    sys.exit(main())
