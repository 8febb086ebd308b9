"""Measure the server against the goals of BENCHMARKS.md and print one table and a JSON.

    python scripts/bench.py                 everything, about ten minutes
    python scripts/bench.py --only start    one section; may be given more than once

Nothing else should run on the machine meanwhile: the load generators share its cores with the server.
"""

import argparse
import sys
from pathlib import Path

from bench import forecast, gap, jobs, local, page, reads, sockets, start, swaps, table
from bench.figures import Report

MODULES = (start, page, jobs, reads, sockets, table, local, gap, forecast, swaps)
SECTIONS = {module.NAME: module for module in MODULES}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=SECTIONS, help="a section; all where left out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the JSON here instead of printing it")
    arguments = parser.parse_args()
    report = Report()
    for name in arguments.only or SECTIONS:
        with report.section(name):
            SECTIONS[name].run(report)
    print(f"\n{report.table()}\n")
    if arguments.json:
        arguments.json.write_text(report.json() + "\n", "utf-8")
    else:
        print(report.json())
    for figure in report.missed():
        print(f"missed: {figure.section}: {figure.what}: {figure.value:.4g} {figure.unit} ({figure.goal})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
