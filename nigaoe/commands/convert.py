"""`nigaoe convert`: photos in, anime portraits out."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from nigaoe.exit_codes import exit_code
from nigaoe_core.errors import NigaoeError, OptionNotTaken, UnknownStyle, UsageError
from nigaoe_core.jobs import DEFAULT_COLOURS, Method, Preset

if TYPE_CHECKING:
    from nigaoe.library import ConvertOptions, DrawOptions, Nigaoe
    from nigaoe.outputs import OutputFolder
    from nigaoe.photos import FaceChoice, Photo
    from nigaoe.results import Result
    from nigaoe_core.registry import Style

ALL_STYLES: Final = "all"
ANIMATION_FRAMES: Final = 48


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
    preset: Annotated[
        Preset, typer.Option(help="instant: the encoder's guess. draft, standard, best: searches, ever longer.")
    ] = Preset.STANDARD,
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
    reference: Annotated[
        str | None,
        typer.Option(help="Anime picture whose style or texture is used, by styles that draw in one pass."),
    ] = None,
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

    A photo that fails is reported and the others go on. Exit codes: 0 all went well, 2 a wrong request, 3 pictures,
    4 faces, 5 weights, 6 the optimisation, 1 failures of several kinds.
    """
    from nigaoe.library import ConvertOptions, DrawOptions, Nigaoe
    from nigaoe.outputs import Extras, OutputFolder
    from nigaoe.photos import find_photos
    from nigaoe_core.settings import load_settings
    from nigaoe_faces.result_encoder import ResultEncoder

    paths, choice = find_photos(photos), _face_choice(faces)
    if not paths:
        raise UsageError("There are no photos in what you named; name JPEG, PNG, WebP, AVIF or HEIC files or a folder.")
    look: DrawOptions = {"degree": degree, "truncation": truncation, "colours": colours}
    options: ConvertOptions = {
        "method": method,
        "preset": preset,
        "steps": steps,
        "space": space,
        "start": None if start == "auto" else start,  # Every preset's own is `auto`.
        "seed": seed,
        "reference": reference,
        **look,
    }
    extras = Extras(compare=compare, animation=animation, paste_back=paste_back, latent=keep_latent)
    folder = OutputFolder(output, extras, ResultEncoder.from_settings(load_settings()))
    run = _Run(Nigaoe(device=device), folder, options, look, as_json=as_json)
    if style == ALL_STYLES:
        run.convert_all_styles(paths, choice, method)
    else:
        run.convert_one_style(paths, choice, style)
    if run.failures:
        raise typer.Exit(exit_code(run.failures))


def _face_choice(text: str) -> "FaceChoice":
    if text in ("largest", "all"):
        return "largest" if text == "largest" else "all"
    if text.isdecimal():
        return int(text)
    raise UsageError(f"--faces is `largest`, `all` or a number from 0, not `{text}`.")


class _Run:
    """One `nigaoe convert`: a bar that moves with every step, one line a face, JSON where it is asked for."""

    def __init__(
        self,
        nigaoe: "Nigaoe",
        folder: "OutputFolder",
        options: "ConvertOptions",
        look: "DrawOptions",
        *,
        as_json: bool,
    ) -> None:
        self.nigaoe = nigaoe
        self.folder = folder
        self.look = look
        self.options = options
        self.as_json = as_json
        self.failures: list[NigaoeError] = []
        self.console = Console(stderr=True)

    def convert_one_style(self, photos: Sequence[Path], faces: "FaceChoice", style: str | None) -> None:
        """Write each face in one style."""
        registry = self.nigaoe.pipeline.registry
        entry = registry.style(style) if style else registry.default_style()
        if entry.is_feed_forward and (self.folder.extras.animation or self.folder.extras.latent):
            raise OptionNotTaken(
                f"The style `{entry.name}` draws in one pass: there is neither a search for --animation to show nor a "
                "latent for --keep-latent to write. Leave both out."
            )
        for result in self._results(photos, faces, style):
            self._finish(result, partial(self.folder.write, result))

    def convert_all_styles(self, photos: Sequence[Path], faces: "FaceChoice", method: Method) -> None:
        """Write each face in every style, and a sheet of them; one search serves all styles of a generator."""
        if method is not Method.CROSS:
            raise UsageError(
                f"Method `{method.value}` searches in one style; name it with --style, or leave --method out."
            )
        families = list(self.nigaoe.families(self.failures.append))
        if not families:
            nothing = UnknownStyle("No style is installed; see `nigaoe weights import`.")
            raise self.failures[0] if self.failures else nothing
        for error in self.failures:
            self._say(f"[red]✗[/] {escape(error.message)} [dim]({error.code})[/]")
        for styles in families:
            self.nigaoe.check(styles[0].name, **self.options)
        for number, styles in enumerate(families):
            name = f"{ALL_STYLES}-{styles[0].parent}" if number else ALL_STYLES
            for result in self._results(photos, faces, styles[0].name):
                self._finish(result, partial(self._write_styles, result, styles, name), name)

    def _results(self, photos: Sequence[Path], faces: "FaceChoice", style: str | None) -> "Iterator[Result]":
        with _progress_bar(self.console) as bar:
            task = bar.add_task("Converting")
            yield from self.nigaoe.convert_all(
                photos,
                style=style,
                faces=faces,
                frames=ANIMATION_FRAMES if self.folder.extras.animation else 0,
                on_progress=lambda news: bar.update(task, completed=news.step, total=news.steps),
                on_error=self._failed,
                **self.options,
            )

    def _write_styles(self, result: "Result", styles: "Sequence[Style]", name: str) -> dict[str, str]:
        """Draw a result of the first style in the others, too, and write them all."""
        others = [self.nigaoe.restyle(result, style.name, **self.look) for style in styles[1:]]
        drawn = zip(styles, [result, *others], strict=True)
        return self.folder.write_styles(name, [(_title(style), one) for style, one in drawn])

    def _finish(self, result: "Result", write: Callable[[], dict[str, str]], style: str | None = None) -> None:
        """Write a result's files and report them; ``style`` takes the place of the result's own in the report."""
        start = time.perf_counter()
        try:
            files = write()
        except NigaoeError as error:
            self._failed(result.face.source, error)
            return
        known = result.report
        seconds = known["seconds"] | {"write": time.perf_counter() - start}
        known["seconds"] = {stage: round(value, 4) for stage, value in seconds.items()}
        report = {"photo": known["photo"], "files": files} | known | ({"style": style} if style else {})
        if self.as_json:
            _print_json(report)
            return
        self._say(
            f"[green]✓[/] {escape(report['photo'])} -> [bold]{escape(', '.join(files.values()))}[/] "
            f"[dim]({_work(report)}, {sum(report['seconds'].values()):.1f} s)[/]"
        )
        for warning in report["warnings"]:
            self._say(f"  [yellow]![/] {escape(warning)}")

    def _failed(self, photo: "Photo", error: NigaoeError) -> None:
        self.failures.append(error)
        if self.as_json:
            _print_json(failure_report(str(photo), error))
        self._say(f"[red]✗[/] {escape(str(photo))}: {escape(error.message)} [dim]({error.code})[/]")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)


def failure_report(photo: str, error: NigaoeError) -> dict[str, Any]:
    """Return the machine-readable report of a photo that failed, JSON-ready."""
    details = json.loads(json.dumps(error.details, default=str))
    return {"photo": photo, "error": {"code": error.code, "message": error.message, **details}}


def _work(report: dict[str, Any]) -> str:
    """Say what a drawing took."""
    if not report.get("steps"):
        return "drawn in one pass"
    return f"distance {report['distance_start']:.3f} -> {report['distance_end']:.3f}, {report['steps']} steps"


def _title(style: "Style") -> str:
    """Return a style's title, or its name where the title has letters that a sheet cannot write."""
    return style.title if style.title.isascii() else style.name


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


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
