"""`nigaoe video`: one person of a video, drawn in every frame."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from nigaoe_core.errors import UsageError
from nigaoe_core.jobs import DEFAULT_COLOURS, Preset

if TYPE_CHECKING:
    from nigaoe.video.conversion import VideoProgress


def video(
    clip: Annotated[Path, typer.Argument(help="The video.", metavar="VIDEO")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The new video: .mp4, .mov, .mkv or .webm. By default VIDEO-STYLE.mp4."),
    ] = None,
    style: Annotated[str | None, typer.Option(help="Style to draw in; the first of `nigaoe styles` if none.")] = None,
    face: Annotated[
        str, typer.Option(help="Which face of each shot is drawn: largest, or a number by size from 0.")
    ] = "largest",
    first_frame_search: Annotated[
        bool,
        typer.Option(
            "--first-frame-search",
            help="Search for the person in the first frame of each shot, and carry what that adds along the shot.",
        ),
    ] = False,
    preset: Annotated[Preset, typer.Option(help="How much work such a search may cost.")] = Preset.STANDARD,
    degree: Annotated[float, typer.Option(min=0, max=1, help="0 draws the person, 1 the style.")] = 1.0,
    truncation: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="1 draws the latent as found, 0 the mean face; if none, what suits the style."),
    ] = None,
    colours: Annotated[
        float, typer.Option(min=0, max=1, help="1 draws in the person's colours, 0 in the style's own.")
    ] = DEFAULT_COLOURS,
    smooth: Annotated[
        bool, typer.Option("--smooth/--no-smooth", help="Take frames together, or draw each for itself: it flickers.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    max_minutes: Annotated[float, typer.Option(min=0, help="Refuse longer videos.")] = 10.0,
    max_megapixels: Annotated[float, typer.Option(min=0, help="Refuse videos with larger frames.")] = 8.9,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report to standard output.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N, mps, or auto.")] = "auto",
) -> None:
    """Draw one person through a video.

    The face is found again in every shot; frames without it stay as they are, and so do sound, timing and size. The new
    file appears when it is whole: Ctrl-C leaves nothing behind.
    """
    from nigaoe.library import Nigaoe
    from nigaoe.video.reader import VideoLimits

    choice, limits = _face_choice(face), VideoLimits(max_minutes * 60, round(max_megapixels * 1e6))
    console = Console(stderr=True)
    nigaoe = Nigaoe(device=device)
    style = style or nigaoe.pipeline.registry.default_style().name
    with _progress_bar(console) as bar:
        task = bar.add_task("Drawing", total=None)

        def show(progress: "VideoProgress") -> None:
            expected = max(progress.expected, progress.frames) if progress.expected is not None else None
            bar.update(task, completed=progress.frames, total=expected)

        report = nigaoe.convert_video(
            clip,
            output or clip.with_name(f"{clip.stem}-{style}.mp4"),
            style=style,
            face=choice,
            smooth=smooth,
            first_frame_search=first_frame_search,
            limits=limits,
            on_progress=show,
            preset=preset,
            degree=degree,
            truncation=truncation,
            colours=colours,
            seed=seed,
        )
    if as_json:
        sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
        return
    console.print(
        f"[green]✓[/] {escape(report['video'])} -> [bold]{escape(report['output'])}[/] "
        f"[dim]({report['drawn']} of {report['frames']} frames drawn, {report['shots']} shots, "
        f"{report['frames'] / report['seconds']:.1f} frames a second)[/]",
        highlight=False,
        soft_wrap=True,
    )
    for warning in report["warnings"]:
        console.print(f"  [yellow]![/] {escape(warning)}", highlight=False, soft_wrap=True)


def _face_choice(text: str) -> Literal["largest"] | int:
    if text == "largest":
        return "largest"
    if text.isdecimal():
        return int(text)
    raise UsageError(f"--face is `largest` or a number from 0, not `{text}`.")


def _progress_bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)
