"""Nothing that lives as long as its process is started without `nigaoe_core.guarded_loop`; all of it is tested."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("api", "core", "faces", "nigaoe", "worker")
"""Of the service. Training ends with what it raises, and a generator starts nothing."""

STARTERS = frozenset(
    {"Thread", "Timer", "Process", "start_new_thread", "ThreadPoolExecutor", "ProcessPoolExecutor"}
    | {"create_task", "ensure_future", "run_coroutine_threadsafe", "TaskGroup", "create_task_group", "call_later"}
)
ALLOWED = {
    ("core/nigaoe_core/guarded_loop.py", "Thread"): "The rule itself.",
    ("core/nigaoe_core/guarded_loop.py", "create_task"): "The rule itself.",
    ("api/nigaoe_api/app.py", "ThreadPoolExecutor"): "A request awaits what runs there and gets what it raises.",
}
GUARDS = frozenset({"GuardedThread", "guarded_task", "contained_task"})
STORIES = ("tests/api/test_neighbours.py", "tests/worker/test_neighbours.py")


def called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def calls(repository: Path, names: frozenset[str]) -> Iterator[tuple[str, ast.Module, ast.Call]]:
    for package in PACKAGES:
        for path in sorted((repository / package).rglob("*.py")):
            tree = ast.parse(path.read_text())
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and called(node) in names:
                    yield path.relative_to(repository).as_posix(), tree, node


def constant(tree: ast.Module, node: ast.expr) -> str:
    """A text, or what a module calls it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    for line in tree.body:
        target = (
            line.target
            if isinstance(line, ast.AnnAssign)
            else line.targets[0]
            if isinstance(line, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and isinstance(node, ast.Name) and target.id == node.id:
            value = line.value  # type: ignore[union-attr]  # One of the two above.
            assert isinstance(value, ast.Constant)
            return str(value.value)
    raise AssertionError(f"{ast.unparse(node)} is no constant of its module.")


def test_nothing_is_started_without_the_rule(repository: Path) -> None:
    """A thread or task of its own dies in silence of the first exception that nobody expected."""
    found = {(path, called(node)) for path, _, node in calls(repository, STARTERS)}
    assert found - ALLOWED.keys() == set()
    assert ALLOWED.keys() - found == set()


@pytest.mark.parametrize("where", ["lease_keeper", "webhook_sender"])
def test_the_search_finds_something(repository: Path, where: str) -> None:
    """Or the next story would be content with nothing."""
    assert where in guarded(repository)


def guarded(repository: Path) -> set[str]:
    return {
        constant(tree, node.args[0])
        for path, tree, node in calls(repository, GUARDS)
        if path != "core/nigaoe_core/guarded_loop.py"
    }


def test_every_loop_has_its_story(repository: Path) -> None:
    """One raises in it and looks at its neighbours."""
    told: set[str] = set()
    for story in STORIES:
        for line in ast.parse((repository / story).read_text()).body:
            if (
                isinstance(line, ast.AnnAssign)
                and ast.unparse(line.target) == "LOOPS"
                and isinstance(line.value, ast.Dict)
            ):
                told |= {str(key.value) for key in line.value.keys if isinstance(key, ast.Constant)}
    assert guarded(repository) - told == set()
