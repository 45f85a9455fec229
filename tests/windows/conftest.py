"""Stories that only Windows tells; elsewhere they are left out. ``.ci/windows`` runs them under Wine."""

from __future__ import annotations

import sys

collect_ignore_glob = [] if sys.platform == "win32" else ["test_*.py"]
