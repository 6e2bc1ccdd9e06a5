"""How long the import of a 1024 px generator takes, and how much memory: `python benchmarks/import.py`.

A random generator of the published size (512 channels up to 64 px, 30 million parameters, about 120 MB) is written in
several boxes and imported by the real command. Memory is the sum over the command and the process that reads the file,
sampled from /proc (Linux). The limits are 20 s and 1.5 GB.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from nigaoe_faces.align import FFHQ
from nigaoe_model.checkpoints.exporting import export_weights
from nigaoe_model.stylegan2.architecture import published_architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint, CheckpointCard
from nigaoe_model.stylegan2.generator import Generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=1024)
    resolution = parser.parse_args().resolution
    table = Table("file", "size", "seconds", "CPU seconds", "peak memory", title=f"Import of {resolution} px")
    with tempfile.TemporaryDirectory() as folder:
        for name, path in written(Path(folder), resolution):
            seconds, cpu, peak = measure(path, Path(folder) / "data")
            table.add_row(
                name, f"{path.stat().st_size / 1e6:.0f} MB", f"{seconds:.1f}", f"{cpu:.1f}", f"{peak / 1e9:.2f} GB"
            )
            path.unlink()
    Console().print(table)


def written(folder: Path, resolution: int) -> list[tuple[str, Path]]:
    """Write the same random generator in every box that people bring."""
    torch.manual_seed(0)
    architecture = published_architecture(resolution)
    card = CheckpointCard(name="random", architecture=architecture, alignment=FFHQ, domain="human")
    checkpoint = Checkpoint(card, Generator(architecture).state_dict())
    modern, legacy, nvidia = (folder / name for name in ("rosinality.pt", "legacy.pt", "nvidia.pt"))
    export_weights(checkpoint, "rosinality", modern)
    torch.save(torch.load(modern, weights_only=True), legacy, _use_new_zipfile_serialization=False)
    export_weights(checkpoint, "nvidia-state", nvidia)
    return [("rosinality, zip", modern), ("rosinality, legacy", legacy), ("NVIDIA state dict", nvidia)]


def measure(path: Path, data: Path) -> tuple[float, float, int]:
    """Run the command; return wall seconds, processor seconds and the peak of bytes in memory."""
    command = [sys.executable, "-m", "nigaoe", "weights", "import", str(path), "--name", path.stem]
    start, cpu_before = time.perf_counter(), cpu_seconds()
    process = subprocess.Popen(command, env=os.environ | {"NIGAOE_DATA_DIR": str(data)}, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(resident(pid) for pid in family(process.pid)))
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"the import of {path.name} failed")
    return seconds, cpu_seconds() - cpu_before, peak


def cpu_seconds() -> float:
    """Processor seconds of all commands that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [pid, *(descendant for child in children.read_text().split() for descendant in family(int(child)))]
    except OSError:
        return []


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    main()
