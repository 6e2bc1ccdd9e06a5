"""`nigaoe train pair`: a whole pair within a time budget; `nigaoe train pair-report`: what came of it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nigaoe.commands.train_options import Overrides, parse_overrides
from nigaoe_core.errors import UsageError

if TYPE_CHECKING:
    from nigaoe.pair_training.config import PairConfig
    from nigaoe.pair_training.forecast import Row
    from nigaoe.pair_training.pair_folder import PairPaths


def pair(
    config: Annotated[str, typer.Argument(help="pair64, pair128, or a TOML file.", metavar="CONFIG")],
    *,
    minutes: Annotated[
        float | None, typer.Option(min=0.05, help="Budget of everything, what was done before included.")
    ] = None,
    stop_after: Annotated[
        float | None, typer.Option(min=0.05, help="Stop after so many minutes of this call; the next one goes on.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the pair.")] = None,
    overrides: Overrides = None,
    pack: Annotated[
        Path | None,
        typer.Option(help="At the end, however it comes, write the whole folder there as files under 16 MiB."),
    ] = None,
    unpack: Annotated[
        Path | None, typer.Option(help="First of all, join what --pack wrote; every part is verified.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print each stage's minutes and images, and stop.")
    ] = False,
    images_per_second: Annotated[
        float | None, typer.Option(min=0, help="With --dry-run: what one run alone shows; neighbours share it.")
    ] = None,
    trial: Annotated[
        float | None,
        typer.Option(min=0.05, help="With --dry-run: measure the pace by so many minutes of training, thrown away."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON instead of a table.")] = False,
) -> None:
    """Train g_ori, every style and the encoder within a time budget on one device; the same command goes on.

    Stages share the minutes; the runs of a stage go side by side, each in a process of its own. Ctrl-C, SIGTERM, and
    even a kill lose little: given again, the command goes on. Without --minutes it only packs or unpacks.
    """
    from nigaoe.pair_training.config import load_pair_config
    from nigaoe.pair_training.pair_folder import PairPaths

    planned = load_pair_config(config, parse_overrides(overrides or []))
    paths = PairPaths(output or Path("runs") / planned.name)
    console = Console()
    if dry_run:
        _print_forecast(planned, minutes or 10.0, images_per_second, trial, console, as_json=as_json)
        return
    if minutes is None and pack is None and unpack is None:
        raise UsageError("Say how long it may take: --minutes 10.")
    if unpack is not None:
        _unpack(unpack, paths, console)
    try:
        if minutes is not None:
            _train(planned, paths, minutes, stop_after, console)
    finally:
        if pack is not None and paths.journal.is_file():
            _pack(paths, pack, console)


def pair_report(
    folder: Annotated[Path, typer.Argument(help="Folder of a pair that was trained by `nigaoe train pair`.")],
) -> None:
    """Write the report of a pair anew: minutes, curves, sheets, and distances beside their floors."""
    from nigaoe.pair_training.pair_folder import PairPaths
    from nigaoe.pair_training.report import write_report

    page = write_report(PairPaths(folder))
    Console().print(f"The report is in [bold]{escape(str(page))}[/]", highlight=False, soft_wrap=True)


def _train(
    config: "PairConfig", paths: "PairPaths", minutes: float, stop_after: float | None, console: Console
) -> None:
    from nigaoe.pair_training.training import train_pair

    console.print(f"A pair in [bold]{escape(str(paths.root))}[/] within {minutes:g} minutes", highlight=False)
    if not train_pair(config, paths.root, minutes, console, stop_after=stop_after):
        console.print("Stopped; the same command goes on.", highlight=False)
        return
    console.print(
        f"The pair is in [bold]{escape(str(paths.weights))}[/] (use it with NIGAOE_WEIGHTS_DIR), "
        f"its report in [bold]{escape(str(paths.report / 'report.html'))}[/]",
        highlight=False,
        soft_wrap=True,
    )


def _pack(paths: "PairPaths", folder: Path, console: Console) -> None:
    from nigaoe.pair_training.packing import pack

    parts = pack(paths, folder)
    megabytes = sum(part.stat().st_size for part in parts) / 2**20
    console.print(
        f"Packed into {len(parts)} files in [bold]{escape(str(folder))}[/], {megabytes:.1f} MiB", highlight=False
    )


def _unpack(folder: Path, paths: "PairPaths", console: Console) -> None:
    from nigaoe.pair_training.packing import unpack

    unpack(folder, paths)
    console.print(f"Unpacked into [bold]{escape(str(paths.root))}[/]", highlight=False)


def _print_forecast(
    config: "PairConfig",
    minutes: float,
    images_per_second: float | None,
    trial: float | None,
    console: Console,
    *,
    as_json: bool,
) -> None:
    from nigaoe.pair_training.forecast import Pace, forecast, given_paces, measured_paces

    if images_per_second is not None and trial is not None:
        raise UsageError("A pace is either given (--images-per-second) or measured (--trial).")
    paces: dict[str, Pace] = {}
    if images_per_second is not None:
        paces = given_paces(config, images_per_second)
    elif trial is not None:
        paces = measured_paces(config, trial, Console(stderr=True))
    rows = forecast(config, minutes, paces)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    console.print(_forecast_table(rows))
    if not paces:
        console.print("For images, give --images-per-second, or measure it with --trial 1.", highlight=False)


def _forecast_table(rows: "list[Row]") -> Table:
    table = Table("stage", "run", "minutes", "images", box=None)
    for row in rows:
        images = f"{row.images:,}" if row.images is not None else "?"
        table.add_row(row.stage, row.run, f"{row.seconds / 60:.2f}", images)
    return table
