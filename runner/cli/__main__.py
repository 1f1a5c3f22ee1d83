"""`python -m runner.cli` is `afk-runner`."""

import sys

from runner.cli import main

sys.exit(main())
