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

    from nigaoe.library import Nigaoe
    from nigaoe_model.stylegan2.generator import Mapping


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
    from nigaoe.library import Nigaoe
    from nigaoe_core.settings import load_settings
    from nigaoe_faces.result_encoder import ResultEncoder

    nigaoe = Nigaoe(device=device, upscale=upscale)
    styles = _styles(nigaoe, style)
    mapping = nigaoe.pipeline.pair(styles[0]).g_ori.generator.mapping
    rows = _strips(mapping, interpolate, count, seed) if interpolate else _rows(mapping, count, seed, columns)
    sheet = _sheet(nigaoe, styles, rows, truncation, degree)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(ResultEncoder.from_settings(load_settings()).png(sheet))
    height, width, _ = sheet.shape
    if as_json:
        typer.echo(json.dumps({"file": str(output), "width": width, "height": height, "styles": styles, "seed": seed}))
        return
    Console(stderr=True).print(
        f"[green]✓[/] [bold]{escape(str(output))}[/]: {width} x {height} pixels; rows: people, {', '.join(styles)}",
        highlight=False,
    )


def _styles(nigaoe: "Nigaoe", style: str | None) -> list[str]:
    """Return the names of the styles that are drawn: one, or all of the first generator that has any."""
    from nigaoe_core.errors import NigaoeError, UnknownStyle

    def tell(error: NigaoeError) -> None:
        Console(stderr=True).print(f"[red]✗[/] {escape(error.message)} [dim]({error.code})[/]", highlight=False)

    if style != "all":
        return [style or nigaoe.pipeline.registry.default_style().name]
    for styles in nigaoe.families(tell):
        return [one.name for one in styles]
    raise UnknownStyle("No style can be drawn; see `nigaoe weights list`.")


def _rows(mapping: "Mapping", count: int, seed: int, columns: int) -> "list[Tensor]":
    import torch

    from nigaoe_model.stylegan2.latent_statistics import sample_w

    return list(torch.split(sample_w(mapping, count, seed=seed), columns))


def _strips(mapping: "Mapping", strips: int, count: int, seed: int) -> "list[Tensor]":
    """Return straight lines in w between consecutive faces, which the mapping network makes nearly perceptual."""
    import torch

    from nigaoe_model.stylegan2.latent_statistics import sample_w

    ends = sample_w(mapping, strips + 1, seed=seed)
    shares = torch.linspace(0, 1, count, device=ends.device)[:, None]
    return [torch.lerp(first, second, shares) for first, second in pairwise(ends)]


def _sheet(
    nigaoe: "Nigaoe", styles: list[str], rows: "list[Tensor]", truncation: float, degree: float
) -> "NDArray[np.uint8]":
    """Draw a line of people, and below it a line for each style, for each row of latents."""
    import numpy as np

    from nigaoe_faces.sheet import grid
    from nigaoe_model.pixels import to_rgb
    from nigaoe_model.portrait.drawing import enlarge

    columns = max(len(row) for row in rows)
    pictures: list[NDArray[np.uint8]] = []
    for row in rows:
        drawn = [nigaoe.draw(row, style=style, degree=degree, truncation=truncation) for style in styles]
        upscaler = nigaoe.pipeline.upscaler
        people = [enlarge(one.searched().portrait.person[None], upscaler, "lanczos")[0] for one in drawn[0]]
        for line in (people, *([one.searched().portrait.picture for one in drawings] for drawings in drawn)):
            pictures += [to_rgb(planes) for planes in line]
            pictures += [np.full_like(pictures[-1], 255)] * (columns - len(line))
    return grid(pictures, columns=columns)
