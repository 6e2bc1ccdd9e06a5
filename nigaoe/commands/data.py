"""`nigaoe data`: from folders and archives to packed data sets."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from nigaoe.training_display import picture_progress
from nigaoe_core.errors import UsageError
from nigaoe_core.jobs import Preset

if TYPE_CHECKING:
    from nigaoe_faces.align import AlignmentTemplate
    from nigaoe_model.training.preparation import PictureSource, Preparation

app = typer.Typer(name="data", help="Data sets to train on.", no_args_is_help=True)

Sources = Annotated[list[Path], typer.Argument(help="Folders, tar and zip archives of pictures.")]
Boxes = Annotated[
    list[str] | None,
    typer.Option("--box", help="With --as-is: `left,top,right,bottom` as shares; once, or once a source."),
]
Slices = Annotated[
    list[str] | None,
    typer.Option("--slice", help="Of each source, sorted by name, as in Python: `:-200` leaves the last 200 out."),
]


@app.command()
def prepare(
    sources: Sources,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the packed data set.")],
    alignment: Annotated[str, typer.Option(help="demo, ffhq, or a JSON file with a template; none for drawings.")],
    resolution: Annotated[int, typer.Option(min=16, max=1024, help="Side of the pictures in pixels.")] = 64,
    as_is: Annotated[bool, typer.Option("--as-is", help="The pictures are framed already; look for no faces.")] = False,
    box: Boxes = None,
    part: Slices = None,
    max_yaw: Annotated[float, typer.Option(help="Drop heads turned further than this, in degrees.")] = 50.0,
    duplicate_distance: Annotated[
        int, typer.Option(help="Drop pictures whose hash differs in at most so many of 64 bits; -1 keeps all.")
    ] = 4,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = max(1, (os.cpu_count() or 1) - 1),
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Find and align faces, drop what is no use, and pack the rest; an interrupted preparation goes on."""
    from nigaoe_model.training.framing import WHOLE, AsIsFraming, DetectedFraming
    from nigaoe_model.training.preparation import PictureSource, prepare_dataset

    template = read_template(alignment)
    if not as_is and template is None:
        raise UsageError("Without --as-is faces are aligned, so name a template: --alignment demo or ffhq.")
    if box and not as_is:
        raise UsageError("--box belongs to --as-is; detected faces are framed by --alignment.")
    boxes = [parse_box(text) for text in _one_each(box, sources, "--box")] or [WHOLE] * len(sources)
    parts = [parse_slice(text) for text in _one_each(part, sources, "--slice")] or [(None, None)] * len(sources)
    chosen: list[PictureSource] = []
    for path, edges, (start, stop) in zip(sources, boxes, parts, strict=True):
        framing: AsIsFraming | DetectedFraming
        if as_is or template is None:
            framing = AsIsFraming(resolution, edges)
        else:
            framing = DetectedFraming(resolution, template, max_yaw)
        chosen.append(PictureSource(path, framing, start, stop))
    with picture_progress() as bar:
        card = prepare_dataset(
            chosen,
            output,
            resolution=resolution,
            alignment=template,
            duplicate_distance=duplicate_distance,
            workers=workers,
            settings={"framing": "as-is" if as_is else "detected", "duplicate_distance": str(duplicate_distance)},
            report=_reporter(bar, chosen),
        )
    if as_json:
        typer.echo(json.dumps({"folder": str(output), "pictures": card.count, "dropped": card.dropped}))
    else:
        _print_summary(card.count, card.dropped, output)


@app.command()
def latents(
    generator: Annotated[Path, typer.Argument(help="Slim checkpoint of g_ori.", metavar="G_ORI")],
    photos: Annotated[Path, typer.Argument(help="Photos, written by `nigaoe data prepare`.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (safetensors).")],
    encoder: Annotated[Path | None, typer.Option(help="Encoder of g_ori, from whose guesses searches start.")] = None,
    preset: Annotated[Preset, typer.Option(help="How far each photo is searched.")] = Preset.DRAFT,
    count: Annotated[int, typer.Option(min=1, help="Photos to search, chosen at random.")] = 1_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N, mps, or auto.")] = "auto",
    width: Annotated[int, typer.Option(min=1, help="Photos that are searched as one batch; a GPU takes 64.")] = 8,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """Find the latents of photos by reverse generation, for `nigaoe finetune --photo-latents`.

    A style that also draws such latents while it learns draws photos better. They can rebuild faces: keep the file as
    you keep the photos. Ctrl-C or SIGTERM keeps what was found so far.
    """
    import torch

    from nigaoe_model.device import prepare_device
    from nigaoe_model.inversion.settings import PRESETS
    from nigaoe_model.portrait.pair import load_generator
    from nigaoe_model.training.dataset import PackedDataset
    from nigaoe_model.training.encoder.faces import check_framing
    from nigaoe_model.training.photo_latents import find_photo_latents
    from nigaoe_model.training.schedule import stop_signals

    device = prepare_device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    loaded, dataset = load_generator(generator, device, encoder=encoder), PackedDataset(photos)
    check_framing(dataset, loaded)
    stopped = Event()
    with picture_progress() as bar, stop_signals(stopped.set):
        task = bar.add_task("photos", total=min(count, len(dataset)))
        found = find_photo_latents(
            loaded,
            dataset,
            PRESETS[preset],
            count=count,
            seed=seed,
            width=width,
            report=lambda done: bar.update(task, completed=done),
            stop=stopped.is_set,
        )
    found.save(output)
    Console().print(f"[bold]{len(found)}[/] latents in {escape(str(output))}", highlight=False)


def read_template(name: str) -> "AlignmentTemplate | None":
    """Return the template that ``--alignment`` names.

    Raises:
        UsageError: There is no such template.
    """
    from pydantic import ValidationError

    from nigaoe_faces.align import DEMO, FFHQ, AlignmentTemplate

    known = {"demo": DEMO, "ffhq": FFHQ, "none": None}
    if name in known:
        return known[name]
    try:
        return AlignmentTemplate.model_validate_json(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"There is no alignment template `{name}`; use demo, ffhq, none or a JSON file.") from error
    except ValidationError as error:
        raise UsageError(f"`{name}` is no alignment template: {error}") from error


def parse_box(text: str) -> tuple[float, float, float, float]:
    """Turn ``left,top,right,bottom`` into shares of width and height.

    Raises:
        UsageError: These are no four ascending shares.
    """
    try:
        left, top, right, bottom = (float(edge) for edge in text.split(","))
    except ValueError as error:
        raise UsageError(f"`--box {text}` must be four numbers: left,top,right,bottom.") from error
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UsageError(f"`--box {text}` must lie within 0..1, left before right and top before bottom.")
    return left, top, right, bottom


def parse_slice(text: str) -> tuple[int | None, int | None]:
    """Turn ``start:stop`` into two numbers, each of which may be missing.

    Raises:
        UsageError: This is no slice.
    """
    start, colon, stop = text.partition(":")
    if not colon:
        raise UsageError(f"`--slice {text}` has no colon; write it like `:-200` or `100:`.")
    try:
        return (int(start) if start else None), (int(stop) if stop else None)
    except ValueError as error:
        raise UsageError(f"`--slice {text}` must look like `:-200` or `100:`.") from error


def _one_each(values: list[str] | None, sources: list[Path], option: str) -> list[str]:
    """Repeat a single value for every source.

    Raises:
        UsageError: There are several values, but not one a source.
    """
    if values and len(values) not in (1, len(sources)):
        raise UsageError(f"Give {option} once, or once for each of the {len(sources)} sources.")
    return (values or []) * (len(sources) if values and len(values) == 1 else 1)


def _reporter(bar: Progress, sources: "list[PictureSource]") -> "Callable[[Preparation], None]":
    from nigaoe_model.training.sources import count_pictures

    total = sum(len(range(*slice(s.start, s.stop).indices(count_pictures(s.path)))) for s in sources)
    task = bar.add_task("pictures", total=total)

    def report(done: "Preparation") -> None:
        bar.update(task, completed=sum(done.done.values()), description=f"pictures, {done.kept} kept")

    return report


def _print_summary(count: int, dropped: dict[str, int], folder: Path) -> None:
    console = Console()
    console.print(f"[bold]{count}[/] pictures in {escape(str(folder))}", highlight=False)
    for reason, number in sorted(dropped.items(), key=lambda item: -item[1]):
        console.print(f"  {number} dropped: {reason.replace('_', ' ')}", highlight=False)
