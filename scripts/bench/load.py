"""Starting a load generator: a process of its own, so that its work is not the server's nor ours."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]


def run_load(module: str, **asked: Any) -> Any:
    """Run *module* to its end. It reads *asked* as JSON from its input and answers in JSON.

    :raises RuntimeError: where it failed; what it said is on standard error.
    """
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=SCRIPTS, input=json.dumps(asked), stdout=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"the load generator {module} failed")
    return json.loads(done.stdout)
