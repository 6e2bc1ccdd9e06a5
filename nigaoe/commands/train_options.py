"""The options of commands that train, made of the fields that they stand for.

A file that a run reads is declared once, in `nigaoe_model.training.run_inputs`: the field's description is the help of
its option or argument. What every run has in common is in `RunOptions`.
"""

import functools
import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console

from nigaoe.training_display import TrainingDisplay
from nigaoe_core.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from nigaoe_model.training.plan import EncoderPlan, GeneratorPlan, MethodPlan
    from nigaoe_model.training.run_state import Progress

Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Change one setting: `optimiser.beta2=0.9`. Repeatable.")
]
AnyPlan = TypeVar("AnyPlan", "GeneratorPlan", "EncoderPlan", "MethodPlan")


def number(name: str, description: str, *, least: int) -> inspect.Parameter:
    """Return an option that gives a whole number of the run's config."""
    return _parameter(name, int, typer.Option(help=description, min=least))


def _parameter(name: str, kind: Any, how: Any, default: Any = None) -> inspect.Parameter:
    kind = kind if default is not None else kind | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, how])


_OUTPUT = _parameter("output", Path, typer.Option("--output", "-o", help="Folder of the run."))
_SHARED = (
    _parameter("resume_from", Path, typer.Option(help="Go on with the run in this folder.")),
    inspect.Parameter("overrides", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Overrides),
    _parameter("dry_run", bool, typer.Option("--dry-run", help="Print the resolved config and stop."), default=False),
    _parameter(
        "tensorboard", bool, typer.Option("--tensorboard", help="Also write TensorBoard events."), default=False
    ),
)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says of a run.

    Attributes:
        given: Files that were named, by their fields.
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


def run_command(
    *inputs: type[BaseModel],
    arguments: Mapping[str, str | None],
    options: Sequence[str],
    numbers: Mapping[str, inspect.Parameter] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command arguments and options for the files that it reads, and those that all runs share.

    The decorated function gets a `RunOptions` first; its further parameters are options of its own.

    Args:
        inputs: Describe the files; what several describe, the first one does.
        arguments: Fields that are arguments, with what help calls them; None: by their name.
        options: Fields that are options: ``init_average`` is ``--init-average``.
        numbers: Dotted name in the run's config to an option by `number`, which changes it as ``--set`` would.
    """
    numbers = numbers or {}
    described = {
        name: (field.description or "").replace("``", "`")
        for kind in reversed(inputs)
        for name, field in kind.model_fields.items()
    }
    files = [
        _parameter(name, Path, typer.Argument(help=described[name], metavar=metavar, show_default=False))
        for name, metavar in arguments.items()
    ] + [_parameter(name, Path, typer.Option(help=described[name])) for name in options]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command).parameters.values())[1:]

        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            changed = {dotted: values[parameter.name] for dotted, parameter in numbers.items()}
            run = RunOptions(
                given=_named({parameter.name: values[parameter.name] for parameter in files}),
                changes=parse_overrides(values["overrides"] or []) | _named(changed),
                **{name: values[name] for name in ("output", "resume_from", "dry_run", "tensorboard")},
            )
            command(run, **{parameter.name: values[parameter.name] for parameter in own})

        parameters = [*own, _OUTPUT, *numbers.values(), *files, *_SHARED]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper

    return decorate


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


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
