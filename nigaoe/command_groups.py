"""Groups of Typer commands: commands that are imported when they are run, and a command that is meant by default."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Location of a command, and its help until it is imported.

    Attributes:
        name: What the user types.
        place: Module and attribute, as ``package.module:attribute``: a function, or an application of several.
        help: The first sentence of its own help; a test compares them.
    """

    name: str
    place: str
    help: str

    def load(self) -> Any:
        """Import the command."""
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            command: Any = get_group(found)
        else:
            alone = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
            alone.command(self.name)(found)
            command = get_command(alone)
        command.name = self.name
        return command


class _Unloaded(TyperCommand):
    """Placeholder of a command in lists."""

    def __init__(self, lazy: LazyCommand) -> None:
        super().__init__(lazy.name, help=lazy.help)
        self.lazy = lazy


class LazyGroup(TyperGroup):
    """Group that lists its commands by name and first sentence, and imports the one that is run."""

    lazy: ClassVar[Sequence[LazyCommand]]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands.update({command.name: _Unloaded(command) for command in self.lazy})
        self._is_listing = False

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, imported unless it is only listed."""
        command = super().get_command(ctx, cmd_name)
        if isinstance(command, _Unloaded) and not self._is_listing:
            command = self.commands[cmd_name] = command.lazy.load()
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without importing what it lists."""
        self._is_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_listing = False


class DefaultCommandGroup(TyperGroup):
    """Group whose command ``default`` gets whatever does not begin with a command's name, its help included."""

    default: ClassVar[str]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default's name in front where no command is named."""
        named = bool(args) and args[0] in self.commands
        return super().parse_args(ctx, args if named else [self.default, *args])
