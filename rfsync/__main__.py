"""``python -m rfsync``."""

import sys

from rfsync.cli import main

sys.exit(main())
