"""The command: `python -m docs_tools update` or `check`, for all labs or for some."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from docs_tools import labs, structure
from docs_tools.errors import DocsError
from docs_tools.session import ROOT


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, 1 if a check failed, or 2 if a block or the command was wrong."""
    parser = argparse.ArgumentParser(prog="python -m docs_tools", description=__doc__)
    parser.add_argument("what", choices=["update", "check"], help="write the labs, or compare")
    parser.add_argument("labs", nargs="*", metavar="LAB", help="such as 03 (default: all)")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    # The labs run `make build`, too, and it must find everything built already.
    subprocess.run(["make", "--silent", "build"], cwd=ROOT, check=True)
    try:
        wanted = _wanted(options.labs)
        stale = labs.run(ROOT, wanted, options.what == "update")
    except DocsError as error:
        print(error, file=sys.stderr)
        return 2
    for one in stale:
        print(f"{one}\n" if options.what == "check" else f"{one.place}: {'; '.join(one.reasons)}")
    faults = structure.faults(ROOT)
    for fault in faults:
        print(fault)
    print(f"{len(wanted)} labs in {time.perf_counter() - began:.0f} s: ", end="")
    done = "were rewritten" if options.what == "update" else "are stale; to renew: make docs-update"
    print(f"{len(stale)} blocks and figures {done}; {len(faults)} other faults")
    return 1 if faults or (stale and options.what == "check") else 0


def _wanted(numbers: list[str]) -> list[str]:
    known = {lab.partition("-")[0]: lab for lab in labs.all_labs(ROOT)}
    for number in numbers:
        if number.zfill(2) not in known:
            raise DocsError(f"there is no lab {number}, only {', '.join(known)}")
    return sorted({known[number.zfill(2)] for number in numbers}) or list(known.values())


if __name__ == "__main__":
    sys.exit(main())
