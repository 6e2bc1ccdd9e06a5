"""`nigaoe convert`: photos in, anime portraits out."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from nigaoe.exit_codes import exit_code
from nigaoe_core.errors import NigaoeError, UsageError
from nigaoe_core.jobs import DEFAULT_COLOURS, Method, Preset

if TYPE_CHECKING:
    from nigaoe.conversion_run import ConversionOrder, Listener
    from nigaoe.photos import FaceChoice
    from nigaoe_core.registry import Registry


def convert(
    photos: Annotated[list[str], typer.Argument(help="Photos, folders of photos, or glob patterns.", metavar="PHOTO")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("out"),
    style: Annotated[
        str | None,
        typer.Option(
            help="Style to draw in; the first of `nigaoe styles` if none. all: every one, and a sheet that shows them."
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(help="cross: as a person, drawn in the style. direct: in the style. best: both, ranked."),
    ] = Method.CROSS,
    preset: Annotated[Preset, typer.Option(help="How much work a likeness may cost.")] = Preset.STANDARD,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of reverse generation instead of the preset's.")
    ] = None,
    space: Annotated[
        Literal["w", "w_plus"] | None,
        typer.Option(help="One style for all layers, or one a layer, instead of the preset's."),
    ] = None,
    start: Annotated[
        Literal["auto", "mean", "encoder"],
        typer.Option(
            help="Where the search begins: at the mean face, at the encoder's guess, or at the nearer of both."
        ),
    ] = "auto",
    degree: Annotated[float, typer.Option(min=0, max=1, help="0 draws the person, 1 the style.")] = 1.0,
    truncation: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="1 draws the latent as found, 0 the mean face; if none, what suits the style."),
    ] = None,
    colours: Annotated[
        float, typer.Option(min=0, max=1, help="1 draws in the person's colours, 0 in the style's own.")
    ] = DEFAULT_COLOURS,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    faces: Annotated[
        str, typer.Option(help="Which faces of a photo: largest, all, or a number by size from 0.")
    ] = "largest",
    paste_back: Annotated[
        bool, typer.Option("--paste-back", help="Also write the photo with the drawn face in it.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also write photo, crop, reconstruction and drawing side by side.")
    ] = False,
    animation: Annotated[bool, typer.Option("--animation", help="Also write a WebP film of the optimisation.")] = False,
    keep_latent: Annotated[
        bool, typer.Option("--keep-latent", help="Also write the latent; it is personal data.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON report a face to standard output.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N, mps, or auto.")] = "auto",
) -> None:
    """Turn photos of people into anime portraits of the same people.

    A photo that fails is told and the others go on. Exit codes: 0 all went well, 2 a wrong request, 3 pictures,
    4 faces, 5 weights, 6 the optimisation, 1 failures of several kinds.
    """
    from nigaoe.conversion_run import ConversionOrder
    from nigaoe.outputs import Extras
    from nigaoe.photos import find_photos
    from nigaoe_core.registry import Registry
    from nigaoe_core.settings import load_settings
    from nigaoe_model.inversion.settings import PRESETS
    from nigaoe_model.portrait.drawing import Look

    registry = Registry.from_settings(load_settings())
    asked = (("steps", steps), ("space", space), ("start", start))
    changes = {name: value for name, value in asked if value is not None}
    order = ConversionOrder(
        photos=find_photos(photos),
        folder=output,
        style=style or registry.default_style().name,
        method=method,
        settings=PRESETS[preset].model_copy(update=changes),
        look=Look(degree, colours=colours),
        truncation=truncation,
        seed=seed,
        faces=_face_choice(faces),
        extras=Extras(compare=compare, animation=animation, paste_back=paste_back, latent=keep_latent),
    )
    failures = _run(order, registry, device, as_json=as_json)
    if failures:
        raise typer.Exit(exit_code(failures))


def _face_choice(text: str) -> "FaceChoice":
    if text in ("largest", "all"):
        return "largest" if text == "largest" else "all"
    if text.isdecimal():
        return int(text)
    raise UsageError(f"--faces is `largest`, `all` or a number from 0, not `{text}`.")


def _run(order: "ConversionOrder", registry: "Registry", device: str, *, as_json: bool) -> list[NigaoeError]:
    from nigaoe.conversion_run import ConversionRun
    from nigaoe.style_sheets import orders_of
    from nigaoe_core.settings import load_settings
    from nigaoe_faces.result_encoder import ResultEncoder
    from nigaoe_model.device import prepare_device
    from nigaoe_model.portrait.pipeline import Pipeline

    if not order.photos:
        raise UsageError("There are no photos in what you named; name JPEG, PNG, WebP, AVIF or HEIC files or a folder.")
    settings = load_settings()
    results = ResultEncoder.from_settings(settings)
    pipeline = Pipeline(registry, device=prepare_device(device, settings.torch_threads))
    console = Console(stderr=True)
    # A wrong style, damaged weights or a missing encoder end the command before any photo is opened.
    orders, failures = orders_of(order, pipeline)
    for error in failures:
        console.print(f"[red]✗[/] {escape(error.message)} [dim]({error.code})[/]", highlight=False, soft_wrap=True)
    for one in orders:
        with _progress_bar(console) as bar:
            failures += ConversionRun(one, pipeline, _Reporter(one, bar, as_json=as_json).listener(), results).run()
    return failures


def _progress_bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


class _Reporter:
    """Shows a run: a bar that moves with every step, one line a face, JSON where it is asked for."""

    def __init__(self, order: "ConversionOrder", bar: Progress, *, as_json: bool) -> None:
        from nigaoe_model.portrait.convert import ROLES

        self.bar = bar
        self.as_json = as_json
        self.steps_a_face = order.settings.steps * len(ROLES[order.method])
        self.task = bar.add_task("Converting", total=self.steps_a_face * len(order.photos))

    def listener(self) -> "Listener":
        from nigaoe.conversion_run import Listener

        return Listener(self._framed, self._steps, self._report, self._failed)

    def _framed(self, _path: Path, faces: int) -> None:
        self._expect(faces - 1)

    def _steps(self, count: int) -> None:
        self.bar.advance(self.task, count)

    def _report(self, report: dict[str, Any]) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
            sys.stdout.flush()
            return
        self._say(
            f"[green]✓[/] {escape(report['photo'])} -> [bold]{escape(', '.join(report['files'].values()))}[/] "
            f"[dim](distance {report['distance_start']:.3f} -> {report['distance_end']:.3f}, "
            f"{report['steps']} steps, {sum(report['seconds'].values()):.1f} s)[/]"
        )
        for warning in report["warnings"]:
            self._say(f"  [yellow]![/] {escape(warning)}")

    def _failed(self, path: Path, error: NigaoeError) -> None:
        from nigaoe.conversion_run import failure_report

        self._expect(-1)
        if self.as_json:
            sys.stdout.write(json.dumps(failure_report(path, error), ensure_ascii=False) + "\n")
            sys.stdout.flush()
        self._say(f"[red]✗[/] {escape(str(path))}: {escape(error.message)} [dim]({error.code})[/]")

    def _expect(self, more_faces: int) -> None:
        total = self.bar.tasks[0].total or 0
        self.bar.update(self.task, total=max(total + more_faces * self.steps_a_face, 0))

    def _say(self, text: str) -> None:
        self.bar.console.print(text, highlight=False, soft_wrap=True)
