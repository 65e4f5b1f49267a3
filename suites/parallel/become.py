"""Become another program: what a child process runs to be a launcher, so that its end is the launcher's.

Arguments: a descriptor that is not needed here, then the command. The alarm that the child has set goes on.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # What the interpreter of the child ignored must not be ignored by the launcher.
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is wanted
