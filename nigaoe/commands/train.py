"""`nigaoe train` and `nigaoe finetune`: make generators, and their encoders."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nigaoe.commands.train_encoder import encoder
from nigaoe.commands.train_options import DryRun, Overrides, ResumeFrom, TensorBoard, parse_overrides
from nigaoe.commands.train_pair import pair, pair_report
from nigaoe.default_command import DefaultCommandGroup
from nigaoe.training_display import TrainingDisplay
from nigaoe_core.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from nigaoe_model.training.plan import RunPlan

Dataset = Annotated[Path | None, typer.Argument(help="Folder written by `nigaoe data prepare`.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the run.")]
InitDiscriminator = Annotated[Path | None, typer.Option(help="Slim checkpoint with a discriminator to start from.")]
Grow = Annotated[
    Path | None,
    typer.Option(
        help="Slim checkpoint of half the resolution, grown by one block that does not yet show; the other --init "
        "files may be of half the resolution, too."
    ),
]
InitEncoder = Annotated[Path | None, typer.Option(help="Encoder to train on, where `reconstruction.weight` is not 0.")]


class _TrainGroup(DefaultCommandGroup):
    default = "generator"


app = typer.Typer(
    name="train",
    cls=_TrainGroup,
    help="Train a generator (`nigaoe train DATASET`), its encoder (`nigaoe train encoder G_ORI`), or a whole pair "
    "(`nigaoe train pair CONFIG`).",
)


@app.command("generator")
def train(
    dataset: Dataset = None,
    *,
    config: Annotated[str, typer.Option(help="tiny64, tiny128, ffhq256, ffhq1024, or a TOML file.")] = "tiny64",
    output: Output = None,
    init: Annotated[Path | None, typer.Option(help="Slim checkpoint whose generator is trained on.")] = None,
    grow: Grow = None,
    init_average: Annotated[Path | None, typer.Option(help="Slim checkpoint of the moving average.")] = None,
    init_discriminator: InitDiscriminator = None,
    init_encoder: InitEncoder = None,
    resume_from: ResumeFrom = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    tensorboard: TensorBoard = False,
) -> None:
    """Train a generator (`g_ori`) on a packed data set; `torchrun` trains on several GPUs.

    `nigaoe train DATASET` means this command; `nigaoe train encoder G_ORI` trains the encoder of a finished generator.
    """
    from nigaoe_model.training.config import load_config
    from nigaoe_model.training.plan import RunPlan, Starts

    changes = parse_overrides(overrides or [])
    if resume_from is not None:
        plan = replace(_resumed(resume_from, dataset, output, changes), starts=Starts(encoder=init_encoder))
    else:
        generator = _start(init, grow)
        starts = Starts(generator, init_average, init_discriminator, init_encoder, grow=grow is not None)
        plan = RunPlan(load_config(config, changes), _needed(dataset), _folder(output, config), starts)
    _carry_out(replace(plan, tensorboard=tensorboard), dry_run=dry_run)


app.command()(encoder)
app.command()(pair)
app.command("pair-report")(pair_report)


def finetune(
    parent: Annotated[Path | None, typer.Argument(help="Slim checkpoint of g_ori.")] = None,
    dataset: Dataset = None,
    *,
    config: Annotated[str, typer.Option(help="anime64, or a TOML file.")] = "anime64",
    output: Output = None,
    trainable_blocks: Annotated[int | None, typer.Option(min=1, help="Last resolutions that learn.")] = None,
    freeze_d: Annotated[int | None, typer.Option(min=0, help="Finest discriminator stages that stay.")] = None,
    init: Annotated[Path | None, typer.Option(help="Slim checkpoint whose last blocks are trained on.")] = None,
    grow: Grow = None,
    init_discriminator: InitDiscriminator = None,
    init_encoder: InitEncoder = None,
    photo_latents: Annotated[
        Path | None, typer.Option(help="Latents of photos, by `nigaoe data latents`, that a part of each batch shows.")
    ] = None,
    resume_from: ResumeFrom = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    tensorboard: TensorBoard = False,
) -> None:
    """Fine-tune the last blocks of `g_ori` on drawings (`g_fin`); everything else stays as it is, bit by bit."""
    from nigaoe_model.training.config import load_config
    from nigaoe_model.training.plan import RunPlan, Starts

    changes = parse_overrides(overrides or [])
    chosen = {"freeze.trainable_blocks": trainable_blocks, "freeze.freeze_d": freeze_d}
    changes |= {name: value for name, value in chosen.items() if value is not None}
    if resume_from is not None:
        plan = replace(_resumed(resume_from, dataset, output, changes), starts=Starts(encoder=init_encoder))
        plan = replace(plan, parent=parent or plan.parent)  # It may lie elsewhere by now; its digest decides.
    else:
        generator = _start(init, grow)
        starts = Starts(generator, discriminator=init_discriminator, encoder=init_encoder, grow=grow is not None)
        folder = _folder(output, config)
        plan = RunPlan(load_config(config, changes), _needed(dataset), folder, starts, parent=_needed(parent))
    latents = photo_latents or plan.photo_latents
    _carry_out(replace(plan, tensorboard=tensorboard, photo_latents=latents), dry_run=dry_run)


def _start(init: Path | None, grow: Path | None) -> Path | None:
    if init is not None and grow is not None:
        raise UsageError("`--grow` is a way to start, as `--init` is: name one of the two.")
    return grow or init


def _needed(path: Path | None) -> Path:
    if path is None:
        raise UsageError("Name the parent checkpoint (finetune) and the data set, or resume with --resume-from.")
    return path


def _folder(output: Path | None, config: str) -> Path:
    return output if output is not None else Path("runs") / Path(config).stem


def _resumed(folder: Path, dataset: Path | None, output: Path | None, changes: dict[str, Any]) -> "RunPlan":
    from nigaoe_model.training.config import change_config
    from nigaoe_model.training.plan import read_config

    if output is not None and output != folder:
        raise TrainingError("A run goes on in its own folder; leave --output out.")
    plan = read_config(folder)
    return replace(plan, config=change_config(plan.config, changes), dataset=dataset or plan.dataset)


def _carry_out(plan: "RunPlan", *, dry_run: bool) -> None:
    console = Console()
    if dry_run:
        console.print_json(plan.config.model_dump_json())
        return
    leads = os.environ.get("RANK", "0") == "0"
    if leads:
        console.print(f"Run in [bold]{plan.folder}[/] on {plan.dataset}", highlight=False)
    with TrainingDisplay(console, plan.config.total_images, quiet=not leads) as display:
        from nigaoe_model.training.run import carry_out

        progress = carry_out(plan, display.line, display.step)
    if leads:
        console.print(f"Stopped after {progress.images_seen:,} images; the state is saved.", highlight=False)
