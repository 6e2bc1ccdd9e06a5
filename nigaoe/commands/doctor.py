"""`nigaoe doctor`: what is installed, what computes, what would be slow, what is missing."""

import importlib.metadata
import json
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nigaoe.extras import EXTRAS, is_installed, missing_modules
from nigaoe_core.errors import NigaoeError
from nigaoe_core.registry import Registry
from nigaoe_core.settings import Settings, load_settings, unknown_variables

Verdict = Literal["ok", "note", "problem"]
SIGNS = {"ok": "[green]✓[/]", "note": "[yellow]![/]", "problem": "[red]✗[/]"}

USUAL_STEP_MILLISECONDS = 100.0
"""A step for one face at 128 px takes about this long on two cores; three times as long is called slow."""
MIN_FREE_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    verdict: Verdict
    subject: str
    text: str


def doctor(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Leave the speed test out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Look at this installation and say what would be missing or slow. Exit code 1 when something is wrong."""
    settings = load_settings()
    checks: list[Callable[[Settings], Iterator[Finding]]] = [
        _python,
        _extras,
        _settings,
        _storage,
        _jobs,
        _devices,
        _styles,
    ]
    if not quick and is_installed("torch"):
        checks.append(_speed)
    findings = [finding for check in checks for finding in check(settings)]
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        _print(findings)
    if any(finding.verdict == "problem" for finding in findings):
        raise typer.Exit(1)


def _print(findings: Sequence[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row(SIGNS[finding.verdict], escape(finding.subject), escape(finding.text))
    Console().print(table)


def _python(_: Settings) -> Iterator[Finding]:
    version = importlib.metadata.version("nigaoe")
    yield Finding(
        "ok", "nigaoe", f"{version}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )


def _extras(_: Settings) -> Iterator[Finding]:
    for extra in EXTRAS:
        if missing := missing_modules(extra):
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            text = f"not installed (no {', '.join(missing[:3])}{more}); `pip install 'nigaoe[{extra}]'`"
            yield Finding("note", f"extra {extra}", text)
        else:
            yield Finding("ok", f"extra {extra}", "installed")


def _settings(_: Settings) -> Iterator[Finding]:
    for name in unknown_variables():
        yield Finding("note", "settings", f"{name} is set but is no setting; is it misspelt?")


def _storage(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    verdict: Verdict = "ok" if free >= MIN_FREE_BYTES else "problem"
    yield Finding(verdict, "data folder", f"{folder}, {free / 2**30:.1f} GiB free")


def _jobs(settings: Settings) -> Iterator[Finding]:
    """The shared job store, where there is one."""
    if settings.redis_url is None:
        return
    from nigaoe_core.services import open_services

    try:
        with open_services(settings) as services:
            count, some = services.store.queue().quarantined, services.store.quarantined(limit=5)
    except NigaoeError as error:
        yield Finding("problem", "job store", error.message)
        return
    if not count:
        yield Finding("ok", "job store", "answers")
        return
    text = (
        f"{count} jobs cannot be read by this version and are in quarantine; see docs/operations.md: {', '.join(some)}"
    )
    yield Finding("note", "job store", text)


def _devices(settings: Settings) -> Iterator[Finding]:
    if not is_installed("torch"):
        yield Finding("problem", "device", "PyTorch is not installed, nothing can be drawn here")
        return
    import torch

    from nigaoe_model.device import best_device, usable_cores

    device = best_device()
    if device == "cuda":
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        yield Finding("ok", "device", f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB; PyTorch {torch.__version__}")
    elif device == "mps":
        yield Finding("ok", "device", f"Apple GPU (mps); PyTorch {torch.__version__}")
    else:
        features = torch.backends.cpu.get_cpu_capability()
        yield Finding("ok", "device", f"CPU, {usable_cores()} cores, {features}; PyTorch {torch.__version__}")
        if usable_cores() < 2:
            yield Finding("note", "device", "one core: a conversion will take twice as long as the documentation says")
    yield from _precision(settings, device)


def _precision(settings: Settings, name: str) -> Iterator[Finding]:
    """Which 16-bit types the device computes in, and whether the chosen one is among them."""
    import torch

    from nigaoe_model.precision import NAMES, serving_dtype, supports

    device = torch.device(name)
    reduced = [name for dtype, name in NAMES.items() if dtype != torch.float32 and supports(dtype, device)]
    yield Finding("ok", "precision", f"float32, {', '.join(reduced) or 'no 16-bit type: bf16 and fp16 are refused'}")
    try:
        serving_dtype(settings.precision, device)
    except NigaoeError as error:
        yield Finding("problem", "precision", error.message)


def _styles(settings: Settings) -> Iterator[Finding]:
    try:
        registry = Registry.from_settings(settings)
    except NigaoeError as error:
        yield Finding("problem", "styles", error.message)
        return
    if not registry.styles():
        yield Finding("problem", "styles", "none is installed; see `nigaoe weights import`")
    for style in registry.styles():
        try:
            registry.framed_by(style.name)
        except NigaoeError as error:
            yield Finding("problem", f"style {style.name}", error.message)
            continue
        resolution = f"{style.facts.resolution} px" if style.facts else "unreadable"
        origin = style.method if style.is_feed_forward else f"from {style.parent}"
        yield Finding("ok" if style.facts else "problem", f"style {style.name}", f"{resolution}, {origin}")


def _speed(settings: Settings) -> Iterator[Finding]:
    """Time steps of reverse generation with the first bundled pair, on the CPU: what a laptop's user waits for."""
    import statistics
    import time

    import torch

    from nigaoe_model.device import prepare_device
    from nigaoe_model.inversion.request import InversionRequest
    from nigaoe_model.inversion.settings import InversionSettings
    from nigaoe_model.portrait.convert import inversion_engine
    from nigaoe_model.portrait.pair import load_generator

    registry = Registry.from_settings(settings)
    if not registry.generators():
        return
    entry = registry.generators()[0]
    prepare_device("cpu", settings.torch_threads)
    try:
        loaded = load_generator(entry.path)
    except NigaoeError as error:
        yield Finding("problem", f"generator {entry.name}", error.message)
        return
    side = loaded.card.architecture.resolution
    engine = inversion_engine(loaded, width=1)
    engine.admit(InversionRequest(torch.zeros(3, side, side), InversionSettings(steps=13)))
    times = []
    while engine.occupied:
        start = time.perf_counter()
        engine.step()
        times.append((time.perf_counter() - start) * 1000)
    median = statistics.median(times[3:])
    slow = side <= 128 and median > 3 * USUAL_STEP_MILLISECONDS
    text = f"{median:.0f} ms a step for one face at {side} px on the CPU"
    yield Finding("note" if slow else "ok", "speed", text + (": slow, is the machine busy?" if slow else ""))
