"""`nigaoe data latents`: find the latents of photos, for a fine-tune to draw."""

from pathlib import Path
from threading import Event
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from nigaoe.commands.train_options import picture_progress
from nigaoe_core.jobs import Preset


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
    from nigaoe_model.training.stop_signals import stop_signals

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
