"""`nigaoe train encoder`: make the encoder of a generator."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nigaoe.commands.train_options import DryRun, Overrides, ResumeFrom, TensorBoard, parse_overrides
from nigaoe.training_display import TrainingDisplay
from nigaoe_core.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from nigaoe_model.training.encoder.plan import EncoderPlan


def encoder(
    generator: Annotated[
        Path | None, typer.Argument(help="Slim checkpoint of g_ori.", metavar="G_ORI", show_default=False)
    ] = None,
    *,
    dataset: Annotated[
        Path | None, typer.Option(help="Photos, written by `nigaoe data prepare`; without them only own faces teach.")
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="Photos for examinations; default: the last ones of --dataset.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the run.")] = None,
    init: Annotated[Path | None, typer.Option(help="Encoder to train on, perhaps of an earlier g_ori.")] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Pictures to show in all.")] = None,
    resume_from: ResumeFrom = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    tensorboard: TensorBoard = False,
) -> None:
    """Train the encoder of a generator: it guesses a photo's latent, from which the search goes on.

    It learns from faces that the generator draws itself, whose latents are known, and from photos where a data set is
    given. The run's `best.safetensors` goes beside the generator, and into the manifest as `encoder`.
    """
    from nigaoe_model.training.encoder.plan import read_config

    changes = parse_overrides(overrides or []) | ({} if images is None else {"total_images": images})
    if resume_from is None:
        plan = _planned(generator, output, changes)
    else:
        _refuse_new_home(resume_from, output)
        plan = _changed(read_config(resume_from), changes)
    given = {"generator": generator, "dataset": dataset, "held_out": held_out, "init": init}
    named: dict[str, Any] = {name: path for name, path in given.items() if path is not None}
    _carry_out(replace(plan, tensorboard=tensorboard, **named), dry_run=dry_run)


def _planned(generator: Path | None, output: Path | None, changes: dict[str, Any]) -> "EncoderPlan":
    from nigaoe_model.training.config import change_config
    from nigaoe_model.training.encoder.config import EncoderConfig
    from nigaoe_model.training.encoder.plan import EncoderPlan

    if generator is None:
        raise UsageError("Name the checkpoint of the generator, or resume with --resume-from.")
    return EncoderPlan(change_config(EncoderConfig(), changes), generator, output or Path("runs") / "encoder")


def _changed(plan: "EncoderPlan", changes: dict[str, Any]) -> "EncoderPlan":
    from nigaoe_model.training.config import change_config

    return replace(plan, config=change_config(plan.config, changes))


def _refuse_new_home(folder: Path, output: Path | None) -> None:
    if output is not None and output != folder:
        raise TrainingError("A run goes on in its own folder; leave --output out.")


def _carry_out(plan: "EncoderPlan", *, dry_run: bool) -> None:
    console = Console()
    if dry_run:
        console.print_json(plan.config.model_dump_json())
        return
    photos = "own faces" if plan.dataset is None else f"own faces and {plan.dataset}"
    console.print(f"Run in [bold]{plan.folder}[/] on {photos} of {plan.generator}", highlight=False)
    with TrainingDisplay(console, plan.config.total_images) as display:
        from nigaoe_model.training.encoder.run import carry_out

        progress = carry_out(plan, display.line, display.step)
    console.print(f"Stopped after {progress.images_seen:,} images; the state is saved.", highlight=False)
