"""`nigaoe metrics`: judge a generator, or a pair."""

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from nigaoe_core.errors import UsageError

if TYPE_CHECKING:
    from nigaoe_model.stylegan2.checkpoint import Checkpoint
    from nigaoe_model.training.dataset import PackedDataset
    from nigaoe_model.training.report import Report


def metrics(
    checkpoint: Annotated[Path, typer.Argument(help="Slim checkpoint of the generator to judge.")],
    dataset: Annotated[Path, typer.Argument(help="Packed data set that it should resemble.")],
    *,
    parent: Annotated[
        Path | None, typer.Option(help="g_ori of a fine-tuned generator: adds the measures of the pair.")
    ] = None,
    samples: Annotated[int, typer.Option(min=8, help="Pictures drawn for the distances.")] = 2000,
    faces: Annotated[int, typer.Option(min=3, help="Drawn faces that are converted for the pair's measures.")] = 100,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each reverse generation.")] = 100,
    run: Annotated[Path | None, typer.Option(help="Folder of the run, for its curves.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one HTML report with plots and sheets.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Distances to a data set (FD-effnet, KD-effnet), precision, recall, path length; with --parent also the pair's.

    Of a pair: whether conversions find the known drawing, whether pose, mouth and hair carry over, and by networks made
    for faces, whether identity, sex and age do.
    """
    from nigaoe_model.stylegan2.checkpoint import load_checkpoint
    from nigaoe_model.training.dataset import PackedDataset
    from nigaoe_model.training.evaluation import evaluate_generator
    from nigaoe_model.training.report import Report

    judged, data = load_checkpoint(checkpoint), PackedDataset(dataset)
    if data.resolution != judged.card.architecture.resolution:
        raise UsageError(f"The data set has {data.resolution} px, `{checkpoint.name}` another size.")
    tables = {"generator": evaluate_generator(judged.build_generator(), data, samples=samples).flat()}
    report = Report(f"Nigaoe: {judged.card.name} on {data.card.name}")
    if parent is not None:
        tables |= _pair_tables(parent, checkpoint, data, faces, steps)
    _print(tables, as_json=as_json)
    if html is not None:
        _fill(report, tables, judged, run)
        report.write(html)


def _pair_tables(
    parent: Path, child: Path, data: "PackedDataset", faces: int, steps: int
) -> dict[str, dict[str, float]]:
    import numpy as np
    import torch

    from nigaoe_model.inversion.settings import InversionSettings
    from nigaoe_model.portrait.pair import load_generator, load_pair
    from nigaoe_model.training.dataset import to_bytes
    from nigaoe_model.training.face_search import FaceSearch, cross_conversion
    from nigaoe_model.training.pair_metrics import draw_truth, measure_pair
    from nigaoe_model.training.person_measures import means, person_measures

    chosen = np.sort(np.random.default_rng(0).choice(len(data), min(faces, len(data)), replace=False))
    style_pictures = torch.from_numpy(np.ascontiguousarray(data.pixels[chosen]))
    pair = load_pair(child.stem, load_generator(parent), child)
    g_ori, g_fin = pair.g_ori.generator, pair.g_fin.generator
    search = FaceSearch(pair.g_ori, InversionSettings(steps=steps))
    convert = cross_conversion(pair, search)
    measured = measure_pair(g_ori, g_fin, style_pictures, convert, count=faces).flat()
    people, _ = draw_truth(g_ori, g_fin, faces)
    with torch.no_grad():
        redrawn = torch.cat([to_bytes(g_ori.draw_image(part)) for part in torch.split(search(people), 16)])
    person = means(person_measures(people, redrawn, convert(people), pair.g_ori.card.alignment))
    return {"pair": measured, "person": person}


def _print(tables: dict[str, dict[str, float]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(tables, indent=2))
        return
    for heading, rows in tables.items():
        table = Table(title=heading, title_justify="left", box=None, show_header=False)
        for name, value in rows.items():
            table.add_row(name.replace("_effnet", "-effnet").replace("_", " "), f"{value:.4g}")
        Console().print(table)


def _fill(report: "Report", tables: dict[str, dict[str, float]], judged: "Checkpoint", run: Path | None) -> None:
    from nigaoe_model.training.run_log import read_log
    from nigaoe_model.training.sample_grid import draw_pictures, fixed_latents, sheet_image

    for heading, rows in tables.items():
        report.table(heading.capitalize(), rows)
    if "pair" in tables:
        report.bars("Correspondence and retrieval", {n: v for n, v in tables["pair"].items() if "." in n and v <= 1})
    if run is not None:
        report.curves("Training", read_log(run), ("fd_effnet", "recall", "g_loss", "d_loss", "moments"))
    z = fixed_latents(64, judged.card.architecture.z_dim)
    file = BytesIO()
    sheet_image(draw_pictures(judged.build_generator(), z, truncation_psi=0.8), columns=16).save(file, "PNG")
    report.picture("Drawn faces, truncation 0.8, chosen by no one", file.getvalue())
