"""What loading the code location costs: seconds and memory of fresh processes, beside Dagster alone.

python benchmarks/code_location.py [--times 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

_CODE = """
import json, resource, sys, time
start = time.perf_counter()
import dagster
alone = time.perf_counter() - start
{load}
seconds = time.perf_counter() - start
print(json.dumps([alone, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 'torch' in sys.modules]))
"""
_LOAD = "from em_assets.definitions import defs; defs().get_repository_def()"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    print("| loaded | seconds (median) | worst | MB | torch loaded |\n|---|---|---|---|---|")
    for name, load in (("dagster alone", ""), ("the code location", _LOAD)):
        runs = []
        for _ in range(times):
            command = [sys.executable, "-c", _CODE.format(load=load)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        seconds = [run[1] for run in runs]
        megabytes = max(run[2] for run in runs)
        print(f"| {name} | {statistics.median(seconds):.2f} | {max(seconds):.2f} | {megabytes:.0f} | {runs[0][3]} |")


if __name__ == "__main__":
    main()
