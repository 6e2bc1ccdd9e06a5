"""What faults cost: a thousand of them, drawn at random with a seed, over a running service with three workers.

After each a job is ordered; its end is the recovery. API, workers, Celery, Valkey, blobs and webhooks are real; only
the searches' arithmetic is replaced by a short sleep. Run: ``python benchmarks/faults.py [--faults 1000] [--seed 15]``;
Ctrl-C ends the storm early, and what became of it is still looked at.
The exit status is 1 if a job was lost, told twice or never, if something was left over, or if one recovery took longer
than 45 seconds.
"""

import argparse
import signal
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "parts"))

from random_faults import FAULTS, WORKERS, Result, Storm
from site_of_processes import write_weights

LONGEST_RECOVERY = 45.0


def table_of(result: Result) -> Table:
    """A row for each kind of fault."""
    table = Table(title=f"{sum(result.faults.values())} faults over {WORKERS} workers in {result.seconds:.0f} s")
    for column in ("fault", "times", "recovery, median s", "slowest s"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for kind in FAULTS:
        times = result.recoveries.get(kind, [])
        numbers = (f"{statistics.median(times):.1f}", f"{max(times):.1f}") if times else ("", "")
        table.add_row(kind, str(result.faults[kind]), *numbers)
    every = [seconds for times in result.recoveries.values() for seconds in times]
    table.add_section()
    table.add_row("all", str(sum(result.faults.values())), f"{statistics.median(every):.1f}", f"{max(every):.1f}")
    return table


def main() -> int:
    """Let them happen, and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=15)
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = folder / "weights"
        weights.mkdir()
        storm = Storm(folder, write_weights(weights), options.seed)
        signal.signal(signal.SIGINT, lambda *_: setattr(storm, "is_over", True))
        try:
            storm.wait_until_ready()
            with console.status("") as status:
                result = storm.run(options.faults, lambda number: status.update(f"{number} of {options.faults}"))
        finally:
            storm.close()
    console.print(table_of(result))
    console.print(f"ends: {dict(result.ends)}; deleted while open: {result.deleted}")
    console.print(
        f"lost {len(result.lost)}, ends told twice or never {len(result.twice)}, left over {len(result.leftovers)}, "
        f"webhooks missing {len(result.unreported)}, repeated under their id {result.repeated}"
    )
    is_whole = not (result.lost or result.twice or result.leftovers or result.unreported)
    return 0 if is_whole and result.slowest <= LONGEST_RECOVERY else 1


if __name__ == "__main__":
    sys.exit(main())
