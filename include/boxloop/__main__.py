"""Run the command line: `python -m boxloop`."""

import sys

from boxloop.cli import main

sys.exit(main())
