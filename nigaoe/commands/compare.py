"""`nigaoe compare`: photos beside what every method draws of them, as the thesis shows them."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nigaoe.exit_codes import exit_code
from nigaoe_core.errors import NigaoeError, UsageError

if TYPE_CHECKING:
    from nigaoe.comparison import Comparison
    from nigaoe.comparison_columns import Column, LeftOut
    from nigaoe.library import Nigaoe
    from nigaoe.photos import Photo

METHODS: Final = "gans-n-roses,swapping-autoencoder,thesis,nigaoe"


def compare(
    photos: Annotated[list[str], typer.Argument(help="Photos, folders of photos, or glob patterns.", metavar="PHOTO")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file to write.")] = Path("out/compare.png"),
    methods: Annotated[
        str, typer.Option(help="Columns from left to right: methods, or styles that draw in one pass.")
    ] = METHODS,
    style: Annotated[
        str | None,
        typer.Option(help="In which the thesis's method and Nigaoe draw; the first of reverse generation if none."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    reference: Annotated[
        str | None,
        typer.Option(help="Anime picture whose style or texture is used by the methods that read one."),
    ] = None,
    side: Annotated[int, typer.Option(min=64, max=1024, help="Side of every cell in pixels.")] = 384,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line a photo, with measures for every method.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N, mps, or auto.")] = "auto",
) -> None:
    """Set photos beside what every method draws of them: the thesis's figure, for the largest face of each photo.

    The methods are GANs N' Roses, the Swapping Autoencoder, plain cross-domain reverse generation as in the thesis
    (1,000 steps from the mean face, drawn as found), and Nigaoe with its defaults. A method without installed weights
    is left out, with a sentence that says how to get them; a photo that fails is reported and the others go on.
    """
    from nigaoe.comparison import compare
    from nigaoe.comparison_columns import columns_of
    from nigaoe.library import Nigaoe
    from nigaoe.photos import find_photos

    paths = find_photos(photos)
    if not paths:
        raise UsageError("There are no photos in what you named; name JPEG, PNG, WebP, AVIF or HEIC files or a folder.")
    names = [name.strip() for name in methods.split(",") if name.strip()]
    nigaoe = Nigaoe(device=device)
    columns, left_out = columns_of(nigaoe, names, style=style, seed=seed, reference=reference)
    report = _Report(left_out, as_json=as_json)
    with _progress_bar(report.console) as bar:
        tasks = {column.name: bar.add_task(escape(column.caption.title), total=len(paths)) for column in columns}
        comparison = compare(
            nigaoe,
            paths,
            columns,
            on_progress=lambda column, done: bar.update(tasks[column.name], completed=done),
            on_error=report.failed,
        )
    if comparison.photos:
        _write(comparison, output, side)
        report.finished(nigaoe, comparison, output)
    if report.failures:
        raise typer.Exit(exit_code(report.failures))


class _Report:
    """What people and programs read: one line a photo, and once what failed for it."""

    def __init__(self, left_out: "list[LeftOut]", *, as_json: bool) -> None:
        self.as_json = as_json
        self.left_out = left_out
        self.failures: list[NigaoeError] = []
        self.console = Console(stderr=True)
        self._reported: set[tuple[str, str]] = set()
        for one in left_out:
            self._say(f"[yellow]![/] {escape(one.message)}")

    def failed(self, photo: "Photo", column: "Column", error: NigaoeError) -> None:
        """Report a failure; what is wrong with a photo itself only for the first method."""
        if (known := (str(photo), error.code)) in self._reported:
            return
        self._reported.add(known)
        self.failures.append(error)
        if self.as_json:
            from nigaoe.commands.convert import failure_report

            _print_json(failure_report(str(photo), error) | {"method": column.name})
        self._say(f"[red]✗[/] {escape(str(photo))}: {escape(error.message)} [dim]({error.code})[/]")

    def finished(self, nigaoe: "Nigaoe", comparison: "Comparison", output: Path) -> None:
        """Report the photos and the figure."""
        if self.as_json:
            from nigaoe.comparison_measures import measured

            shared = {
                "sheet": str(output),
                "left_out": [{"method": one.name, "message": one.message} for one in self.left_out],
            }
            for line in measured(nigaoe, comparison):
                _print_json(line | shared)
        seconds = {
            column.name: [photo.drawn[column.name].seconds for photo in comparison.photos if column.name in photo.drawn]
            for column in comparison.columns
        }
        took = ", ".join(f"{name} {sum(s) / len(s):.2f} s" for name, s in seconds.items() if s)
        self._say(f"[green]✓[/] [bold]{escape(str(output))}[/] [dim](a photo: {escape(took)})[/]")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)


def _write(comparison: "Comparison", output: Path, side: int) -> None:
    import numpy as np

    from nigaoe_core.settings import load_settings
    from nigaoe_faces.result_encoder import COMPOSITE, ResultEncoder

    data = ResultEncoder.from_settings(load_settings()).png(np.asarray(comparison.picture(side)), COMPOSITE)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(data)
    except OSError as error:
        raise UsageError(f"`{output}` cannot be written ({error.strerror}); choose another file with -o.") from error


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _progress_bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)
