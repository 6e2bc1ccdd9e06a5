"""`nigaoe train --method`: train a method that Nigaoe is compared with."""

from pathlib import Path
from typing import TYPE_CHECKING

from nigaoe.commands.train_options import RunOptions, carry_out
from nigaoe_core.errors import UsageError
from nigaoe_model.training.run_inputs import Method, Starts

if TYPE_CHECKING:
    from nigaoe_model.training.plan import MethodPlan
    from nigaoe_model.training.run_state import Progress
    from nigaoe_model.training.session import Report, Watch

REQUIRED = ("dataset", "anime")


def train_method(run: RunOptions, method: Method, config: str | None) -> None:
    """Train a method, or go on with its run.

    Args:
        run: What the command line says.
        method: Which one.
        config: A preset or a TOML file; None: the method's first preset.

    Raises:
        UsageError: A data set was not named, or an option belongs to StyleGAN2.
        TrainingError: The config is not there or has mistakes, or there is no run to go on with.
    """
    if alien := sorted(run.given.keys() & Starts.model_fields.keys()):
        option = alien[0].replace("_", "-")
        raise UsageError(
            f"`--{option}` is for StyleGAN2; a run of --method {method} starts anew, or goes on with --resume-from."
        )
    plan = _plan(run, method, config)
    carry_out(plan, run, f"{plan.dataset} and {plan.anime}", _train)


def _plan(run: RunOptions, method: Method, config: str | None) -> "MethodPlan":
    from nigaoe_model.training.config import load_config
    from nigaoe_model.training.plan import METHOD_PLANS

    kind = METHOD_PLANS[method]
    resumed = run.resumed(kind)
    if resumed is not None:
        return resumed
    if not run.given.keys() >= set(REQUIRED):
        raise UsageError(
            f"--method {method} learns from two data sets: name the photos and the anime faces, or resume with "
            "--resume-from."
        )
    name = config or kind.settings.presets[0]
    folder = run.output or Path("runs") / Path(name).stem
    return kind.model_validate({"config": load_config(kind.settings, name, run.changes), "folder": folder, **run.given})


def _train(plan: "MethodPlan", report: "Report", watch: "Watch") -> "Progress":
    from nigaoe_model.training.methods import run

    return run.train_method(plan, report, watch)
