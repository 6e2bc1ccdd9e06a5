"""The options of commands that train, made of the fields that they stand for.

A file that a run reads is declared once, in `nigaoe_model.training.run_inputs`: the field's description is the help of
its option or argument. What every run has in common is in `RunOptions`.
"""

import functools
import inspect
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console

from nigaoe.training_display import TrainingDisplay
from nigaoe_core.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from nigaoe_model.training.plan import EncoderPlan, GeneratorPlan
    from nigaoe_model.training.run_state import Progress

Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Change one setting: `optimiser.beta2=0.9`. Repeatable.")
]
AnyPlan = TypeVar("AnyPlan", "GeneratorPlan", "EncoderPlan")


@dataclass(frozen=True, slots=True)
class Setting:
    """A field that has an option or argument of its own.

    Attributes:
        parameter: How typer sees it.
        changes: Dotted name of the setting in the run's config; None: it is a field of the plan.
    """

    parameter: inspect.Parameter
    changes: str | None = None


def argument(model: type[BaseModel], name: str, metavar: str | None = None) -> Setting:
    """Return an argument that gives a field of a plan."""
    how = typer.Argument(help=_help(model, name), metavar=metavar, show_default=False)
    return Setting(_parameter(name, Path, how))


def option(model: type[BaseModel], name: str) -> Setting:
    """Return an option that gives a field of a plan: ``init_average`` is ``--init-average``."""
    return Setting(_parameter(name, Path, typer.Option(help=_help(model, name))))


def config_option(name: str, changes: str, description: str, *, least: int) -> Setting:
    """Return an option that changes a whole number of the run's config, called ``changes``, as ``--set`` would."""
    return Setting(_parameter(name, int, typer.Option(help=description, min=least)), changes)


def _help(model: type[BaseModel], name: str) -> str:
    return (model.model_fields[name].description or "").replace("``", "`")


def _parameter(name: str, kind: type, how: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, how])


def _flag(name: str, how: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, how])


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says of a run.

    Attributes:
        given: Fields of the plan that were named.
        changes: Settings of the config that were named, by their dotted names.
        output: Folder of a new run; None: the usual one.
        resume_from: Folder of the run to go on with; None: a new run.
        dry_run: Print the resolved config and stop.
        tensorboard: Also write TensorBoard events.
    """

    given: Mapping[str, Path]
    changes: Mapping[str, Any]
    output: Path | None
    resume_from: Path | None
    dry_run: bool
    tensorboard: bool

    def resumed(self, kind: type[AnyPlan]) -> AnyPlan | None:
        """Return the plan of the run to go on with, as changed by what was named; None for a new run.

        Raises:
            TrainingError: There is no such run, it shall move, or a setting is unknown or out of range.
        """
        from nigaoe_model.training.config import change_config

        if self.resume_from is None:
            return None
        if self.output not in (None, self.resume_from):
            raise TrainingError("A run goes on in its own folder; leave --output out.")
        plan = kind.read(self.resume_from)
        return plan.model_copy(update={"config": change_config(plan.config, dict(self.changes)), **self.given})


def carry_out(plan: AnyPlan, run: RunOptions, where: str, train: Callable[..., "Progress"]) -> None:
    """Carry a plan out and show how far it is; or only print its config.

    Args:
        plan: What to do.
        run: What the command line says.
        where: What it learns from, for people.
        train: Carries the plan out, with a function that gets lines of the log and one that gets every step.
    """
    console = Console()
    if run.dry_run:
        console.print_json(plan.config.model_dump_json())
        return
    plan = plan.model_copy(update={"tensorboard": run.tensorboard})
    leads = os.environ.get("RANK", "0") == "0"
    if leads:
        console.print(f"Run in [bold]{plan.folder}[/] on {where}", highlight=False)
    with TrainingDisplay(console, plan.config.total_images, quiet=not leads) as display:
        progress = train(plan, display.line, display.step)
    if leads:
        console.print(f"Stopped after {progress.images_seen:,} images; the state is saved.", highlight=False)


def run_command(*settings: Setting) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option or argument for each setting, and those that all runs share.

    The decorated function gets a `RunOptions` first; further parameters are options of its own.
    """
    output = _parameter("output", Path, typer.Option("--output", "-o", help="Folder of the run."))
    shared = [
        _parameter("resume_from", Path, typer.Option(help="Go on with the run in this folder.")),
        inspect.Parameter("overrides", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Overrides),
        _flag("dry_run", typer.Option("--dry-run", help="Print the resolved config and stop.")),
        _flag("tensorboard", typer.Option("--tensorboard", help="Also write TensorBoard events.")),
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            chosen = [(setting, values.pop(setting.parameter.name)) for setting in settings]
            named = [(setting, value) for setting, value in chosen if value is not None]
            run = RunOptions(
                given={setting.parameter.name: value for setting, value in named if setting.changes is None},
                changes=parse_overrides(values.pop("overrides") or [])
                | {setting.changes: value for setting, value in named if setting.changes is not None},
                **{name: values.pop(name) for name in ("output", "resume_from", "dry_run", "tensorboard")},
            )
            command(run, **values)

        own = list(inspect.signature(command).parameters.values())[1:]
        parameters = [*own, output, *(setting.parameter for setting in settings), *shared]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper

    return decorate


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """Turn ``name=value`` into a dictionary; values are JSON where they can be, else text.

    Raises:
        UsageError: There is no ``=``.
    """
    changes: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise UsageError(f"`--set {pair}` has no `=`; write `--set name=value`.")
        try:
            changes[name] = json.loads(text)
        except json.JSONDecodeError:
            changes[name] = text
    return changes
