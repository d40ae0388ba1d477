"""Put on the path by `aicost run`: sets aicost up as the interpreter starts, then hands on to the next such file."""

import importlib.util
import logging
import os
import sys
from pathlib import Path


def _run_next() -> None:
    """Run the sitecustomize that this one hides, if there is one."""
    here = Path(__file__).resolve().parent
    for folder in sys.path:
        candidate = Path(folder or ".") / "sitecustomize.py"
        if candidate.is_file() and candidate.resolve().parent != here:
            spec = importlib.util.spec_from_file_location("_hidden_sitecustomize", candidate)
            if spec is not None and spec.loader is not None:
                spec.loader.exec_module(importlib.util.module_from_spec(spec))
            return


_run_next()
if os.environ.get("AICOST_RUN") == "1":
    try:
        import aicost

        aicost.init()
    except Exception as error:  # noqa: BLE001 - the application must start whatever happens here
        logging.getLogger("aicost").error("aicost is off: %s", error)
