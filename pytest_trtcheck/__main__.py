"""``python -m pytest_trtcheck``."""

import sys

from pytest_trtcheck.cli import main

sys.exit(main())
