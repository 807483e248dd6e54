"""Take all measures: `python -m benchmarks [word ...]` takes those whose names have the words.

Exit code 1 if one is out of its budget. Machines differ and are shared: quote ratios, and numbers of one run only.
"""

from __future__ import annotations

import sys

from benchmarks.core import CORE
from benchmarks.durable import DURABLE
from benchmarks.measures import report
from benchmarks.page import PAGE
from benchmarks.server import SERVER
from benchmarks.simulation import SIMULATION
from benchmarks.simulator import SIMULATOR
from benchmarks.swf import SWF


def main() -> int:
    words = sys.argv[1:]
    measures = [
        measure
        for measure in [*CORE, *SIMULATOR, *SIMULATION, *DURABLE, *SERVER, *PAGE, *SWF]
        if all(word in measure.name for word in words)
    ]
    return 0 if report(measures) else 1


if __name__ == "__main__":
    sys.exit(main())
