"""`nigaoe sample`: what a pair draws when nobody is in front of it."""

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from nigaoe_model.portrait.pair import Pair
    from nigaoe_model.portrait.pipeline import Pipeline


def sample(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file to write.")] = Path("out/sample.png"),
    style: Annotated[
        str | None,
        typer.Option(
            help="Style to draw in; the first of `nigaoe styles` if none. all: every one of that one's generator."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1024, help="Faces, or steps of an interpolation.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the latents.")] = 0,
    truncation: Annotated[
        float, typer.Option(min=0, max=1, help="truncation_psi: 1 the whole variety, 0 the mean face.")
    ] = 0.8,
    degree: Annotated[float, typer.Option(min=0, max=1, help="0 draws the person, 1 the style.")] = 1.0,
    interpolate: Annotated[
        int,
        typer.Option(
            min=0, max=64, help="Instead of a grid, write this many strips that lead from one face to another."
        ),
    ] = 0,
    upscale: Annotated[bool, typer.Option("--upscale", help="Enlarge the drawings four times.")] = False,
    columns: Annotated[int, typer.Option(min=1, max=64, help="Faces a row of the grid.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print file and size as JSON.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N, mps, or auto.")] = "auto",
) -> None:
    """Draw people and, from the same latents, the same people in a style, or in all of them: rows in turns."""
    from nigaoe_core.registry import Registry
    from nigaoe_core.settings import load_settings
    from nigaoe_faces.result_encoder import ResultEncoder
    from nigaoe_model.device import prepare_device
    from nigaoe_model.portrait.pipeline import Pipeline

    settings = load_settings()
    place = prepare_device(device, settings.torch_threads)
    pipeline = Pipeline(Registry.from_settings(settings), device=place, upscale=upscale)
    pairs = _pairs(pipeline, style)
    rows = _strips(pairs[0], interpolate, count, seed) if interpolate else _rows(pairs[0], count, seed, columns)
    sheet = _sheet(pipeline, pairs, rows, truncation, degree)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(ResultEncoder.from_settings(settings).png(sheet))
    height, width, _ = sheet.shape
    styles = [pair.style for pair in pairs]
    if as_json:
        typer.echo(json.dumps({"file": str(output), "width": width, "height": height, "styles": styles, "seed": seed}))
        return
    Console(stderr=True).print(
        f"[green]✓[/] [bold]{escape(str(output))}[/]: {width} x {height} pixels; rows: people, {', '.join(styles)}",
        highlight=False,
    )


def _pairs(pipeline: "Pipeline", style: str | None) -> "list[Pair]":
    from nigaoe.style_sheets import ALL_STYLES, loadable
    from nigaoe_core.errors import UnknownStyle

    if style != ALL_STYLES:
        return [pipeline.pair(style or pipeline.registry.default_style().name)]
    for styles in pipeline.registry.usable_styles().values():
        loaded, failures = loadable(pipeline, styles)
        for error in failures:
            Console(stderr=True).print(f"[red]✗[/] {escape(error.message)} [dim]({error.code})[/]", highlight=False)
        if loaded:
            return [pipeline.pair(one.name) for one in loaded]
    raise UnknownStyle("No style can be drawn; see `nigaoe weights list`.")


def _rows(pair: "Pair", count: int, seed: int, columns: int) -> "list[Tensor]":
    from nigaoe_model.stylegan2.latent_statistics import sample_w

    w = sample_w(pair.g_ori.generator.mapping, count, seed=seed)
    return [w[first : first + columns] for first in range(0, count, columns)]


def _strips(pair: "Pair", strips: int, count: int, seed: int) -> "list[Tensor]":
    """Return straight lines in w between consecutive faces, which the mapping network makes nearly perceptual."""
    import torch

    from nigaoe_model.stylegan2.latent_statistics import sample_w

    ends = sample_w(pair.g_ori.generator.mapping, strips + 1, seed=seed)
    shares = torch.linspace(0, 1, count, device=ends.device)[:, None]
    return [torch.lerp(first, second, shares) for first, second in pairwise(ends)]


def _sheet(
    pipeline: "Pipeline", pairs: "list[Pair]", rows: "list[Tensor]", truncation: float, degree: float
) -> "NDArray[np.uint8]":
    import numpy as np

    from nigaoe_faces.sheet import grid
    from nigaoe_model.pixels import to_rgb
    from nigaoe_model.portrait.drawing import Look, draw_portraits, enlarge

    columns = max(len(row) for row in rows)
    mapping, look = pairs[0].g_ori.generator.mapping, Look(degree)
    pictures: list[NDArray[np.uint8]] = []
    for row in rows:
        ws = mapping.truncate(mapping.broadcast(row), truncation)
        drawn = [draw_portraits(pair, ws, look, pipeline.upscaler) for pair in pairs]
        people = [enlarge(portrait.person[None], pipeline.upscaler, "lanczos")[0] for portrait in drawn[0]]
        for tensors in (people, *([portrait.picture for portrait in portraits] for portraits in drawn)):
            line = [to_rgb(tensor) for tensor in tensors]
            pictures += line + [np.full_like(line[0], 255)] * (columns - len(line))
    return grid(pictures, columns=columns)
