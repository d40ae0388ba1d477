"""The worker class that RQ's command line is given: its module sets aicost up."""

from __future__ import annotations

import aicost
from aicost.contrib.rq import TrackedWorker

aicost.init()
Worker = TrackedWorker
