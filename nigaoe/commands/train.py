"""`nigaoe train` and `nigaoe finetune`: make generators, and their encoders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nigaoe.command_groups import DefaultCommandGroup
from nigaoe.commands.train_method import train_method
from nigaoe.commands.train_options import RunOptions, carry_out, number, run_command
from nigaoe.commands.train_pair import pair, pair_report
from nigaoe_core.errors import TrainingError, UsageError
from nigaoe_model.training.run_inputs import EncoderInputs, GeneratorInputs, Method, MethodInputs, Starts

if TYPE_CHECKING:
    from nigaoe_model.training.plan import GeneratorPlan
    from nigaoe_model.training.run_state import Progress


class _TrainGroup(DefaultCommandGroup):
    default = "generator"


app = typer.Typer(
    name="train",
    cls=_TrainGroup,
    help="Train a generator (`nigaoe train DATASET`), its encoder (`nigaoe train encoder G_ORI`), or a whole pair "
    "(`nigaoe train pair CONFIG`).",
)


@app.command("generator")
@run_command(
    GeneratorInputs,
    MethodInputs,
    arguments={"dataset": None, "anime": None},
    options=("held_out", *Starts.model_fields),
)
def train(
    run: RunOptions,
    *,
    config: Annotated[
        str | None,
        typer.Option(
            help="tiny64 (the default), tiny128, ffhq256, ffhq1024, or a TOML file; each --method has its own: "
            "gans-n-roses64, gans-n-roses128, swapping-autoencoder64, "
            "swapping-autoencoder64-cpu."
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            help="A method that Nigaoe is compared with, which learns from photos (DATASET) and anime faces (ANIME)."
        ),
    ] = None,
) -> None:
    """Train a generator (`g_ori`) on a packed data set; `torchrun` trains on several GPUs.

    `nigaoe train DATASET` means this command; `nigaoe train encoder G_ORI` trains the encoder of a finished generator,
    and `nigaoe train --method gans-n-roses DATASET ANIME` a method that Nigaoe is compared with.
    """
    chosen = _method(run, method)
    if chosen is not Method.STYLEGAN2:
        train_method(run, chosen, config)
        return
    if run.given.keys() & {"anime", "held_out"}:
        raise UsageError("ANIME and --held-out are for methods that learn from photos and anime; name one by --method.")
    plan = _generator_plan(run, config or "tiny64", "dataset")
    carry_out(plan, run, str(plan.dataset), _generator_run)


@run_command(
    GeneratorInputs,
    arguments={"parent": None, "dataset": None},
    options=("init", "grow", "init_discriminator", "init_encoder", "photo_latents"),
    numbers={
        "freeze.trainable_blocks": number("trainable_blocks", "Last resolutions that learn.", least=1),
        "freeze.freeze_d": number("freeze_d", "Finest discriminator stages that stay.", least=0),
    },
)
def finetune(
    run: RunOptions, *, config: Annotated[str, typer.Option(help="anime64, or a TOML file.")] = "anime64"
) -> None:
    """Fine-tune the last blocks of `g_ori` on drawings (`g_fin`); everything else stays as it is, bit by bit."""
    plan = _generator_plan(run, config, "parent", "dataset")
    carry_out(plan, run, str(plan.dataset), _generator_run)


@app.command("encoder")
@run_command(
    EncoderInputs,
    arguments={"generator": "G_ORI"},
    options=("dataset", "held_out", "init"),
    numbers={"total_images": number("images", "Pictures to show in all.", least=1)},
)
def encoder(run: RunOptions) -> None:
    """Train the encoder of a generator: it guesses a photo's latent, from which the search goes on.

    It learns from faces that the generator draws itself, whose latents are known, and from photos where a data set is
    given. The run's `best.safetensors` goes beside the generator, and into the manifest as `encoder`.
    """
    from nigaoe_model.training.config import change_config
    from nigaoe_model.training.encoder.config import EncoderConfig
    from nigaoe_model.training.plan import EncoderPlan

    plan = run.resumed(EncoderPlan)
    if plan is None:
        if "generator" not in run.given:
            raise UsageError("Name the checkpoint of the generator, or resume with --resume-from.")
        config = change_config(EncoderConfig(), run.changes)
        plan = EncoderPlan.model_validate({"config": config, "folder": run.output or Path("runs/encoder"), **run.given})
    photos = "own faces" if plan.dataset is None else f"own faces and {plan.dataset}"
    carry_out(plan, run, f"{photos} of {plan.generator}", _encoder_run)


app.command()(pair)
app.command("pair-report")(pair_report)


def _method(run: RunOptions, named: Method | None) -> Method:
    """Return what is trained: as it was named, or what the run to go on with trains.

    Raises:
        TrainingError: There is no run to go on with, or it trains something else.
    """
    if run.resume_from is None:
        return named or Method.STYLEGAN2
    from nigaoe_model.training.plan import method_of

    found = method_of(run.resume_from)
    if named not in (None, found):
        raise TrainingError(f"`{run.resume_from}` holds a run of --method {found}; leave --method out.")
    return found


def _generator_plan(run: RunOptions, config: str, *needed: str) -> "GeneratorPlan":
    """Return the plan of the run to go on with, or of a new one.

    Raises:
        UsageError: A file that a new run cannot do without was not named, or two ways to start were.
        TrainingError: The config is not there or has mistakes, or there is no run to go on with.
    """
    from nigaoe_model.training.config import TrainingConfig, load_config
    from nigaoe_model.training.plan import GeneratorPlan

    resumed = run.resumed(GeneratorPlan)
    if resumed is not None:
        return resumed
    if "init" in run.given and "grow" in run.given:
        raise UsageError("`--grow` is a way to start, as `--init` is: name one of the two.")
    if not run.given.keys() >= set(needed):
        raise UsageError("Name the parent checkpoint (finetune) and the data set, or resume with --resume-from.")
    folder = run.output or Path("runs") / Path(config).stem
    return GeneratorPlan.model_validate(
        {"config": load_config(TrainingConfig, config, run.changes), "folder": folder, **run.given}
    )


def _generator_run(*arguments: Any) -> "Progress":
    from nigaoe_model.training.run import train_generator

    return train_generator(*arguments)


def _encoder_run(*arguments: Any) -> "Progress":
    from nigaoe_model.training.encoder.run import train_encoder

    return train_encoder(*arguments)
