"""Try each module and each door of Traction in an environment, and print what each raised as JSON."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator
from functools import partial

DOORS = {
    "from traction.testing import simulate; from hello import hello; assert simulate(hello('x')).result": "",
    "from traction import WorkerSystem; WorkerSystem('local:').close()": "",
    "from traction import WorkerSystem; WorkerSystem('local:hello.db').close()": "",
    "from traction.plugins.otel import Tracing; Tracing()": "otel",
    "from traction.payloads.encryption import Encrypt, KeyRing; Encrypt(KeyRing({'a': bytes(32)}))": "crypto",
    "from traction_local.server.app import serving": "server",
    "from traction.ui import Page, serve_page": "server",
    "import traction.cli": "cli",
    "from traction import WorkerSystem; WorkerSystem('swf://acme?region=us-east-1').close()": "swf",
    "from traction import WorkerSystem; WorkerSystem('local:', payloads='s3://acme?region=us-east-1').close()": "swf",
    "from traction.testing import SimulationMachine": "testing",
    "from traction.testing.strategies import schedules, inputs, signals, executions, histories": "testing",
    "from traction.testing import explore; from hello import hello; explore(hello('x'))(lambda run: None)": "testing",
    "from traction.testing import explore; from hello import hello\n"
    "explore(hello('x'), deviations=1)(lambda run: None)()": "",
}
"""What a user may write, and the extra that it needs, if any."""


def list_modules() -> Iterator[str]:
    for package in "traction", "traction_local", "traction_swf":
        yield package
        # A package that cannot be imported here is not walked into.
        walk = pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.", onerror=str)
        yield from (found.name for found in walk)


def find_error(act: Callable[[], object]) -> str:
    """Do something, and give what it raises; nothing if it raises nothing."""
    try:
        act()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    sys.path.insert(0, "")
    imports = {name: find_error(partial(importlib.import_module, name)) for name in list_modules()}
    doors = {code: find_error(partial(exec, code, {})) for code in DOORS}
    print(json.dumps({"imports": imports, "doors": doors}))
