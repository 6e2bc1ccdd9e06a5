"""What Python and autograd's bookkeeping cost a step of the slot engine.

`python benchmarks/experiments/step_overhead.py`: one step is traced to the flat list of operators that it consists of,
forward and backward; both compute the same bits, and what the list saves is the price of modules, of custom autograd
functions and of the graph that is built and walked each time. Calling an operator from Python is priced by itself. One
table.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from benchmarks.step_graphs import markdown
from nigaoe_core.bundled import BUNDLED_WEIGHTS
from nigaoe_core.registry import Registry
from nigaoe_model.inversion.algorithm import evaluate, weight_columns
from nigaoe_model.inversion.batch import Evaluation, StepInput
from nigaoe_model.inversion.settings import InversionSettings
from nigaoe_model.portrait.convert import search_objective
from nigaoe_model.portrait.pair import load_generator
from nigaoe_model.stylegan2.inference.synthesis import FrozenSynthesis
from nigaoe_model.stylegan2.latent_statistics import sample_w

COLUMNS = (
    "batch",
    "operators",
    "a step, CPU ms",
    "the flat list, CPU ms",
    "share saved",
    "calling operators, share",
    "both",
)
NOTHING = (torch.ops.aten.detach.default, torch.ops.aten.alias.default)
CALLS = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    entry = Registry.load(BUNDLED_WEIGHTS).generator("g_ori")
    loaded = load_generator(entry.path, encoder=entry.encoder)
    objective = search_objective(loaded)
    step = partial(evaluate, FrozenSynthesis(loaded.generator.synthesis), objective)
    call = calling_seconds()
    print(f"calling an operator that does next to nothing: {call * 1e6:.2f} us\n")
    print(markdown(COLUMNS), markdown(["---"] * len(COLUMNS)), sep="\n", flush=True)
    for batch in arguments.batches:
        with torch.no_grad():
            ws = loaded.generator.mapping.broadcast(sample_w(loaded.generator.mapping, batch, seed=batch))
            faces = loaded.generator.draw_image(ws).clamp(-1, 1)
        weights = weight_columns((InversionSettings().weights,) * batch, ws.device)
        start = objective.prior.mean.repeat(batch, 1, 1)
        given = StepInput(start, None, objective.describe(faces), weights)
        print(markdown(row(step, given, arguments.rounds, call)), flush=True)


def row(step: Callable[[StepInput], Evaluation], given: StepInput, rounds: int, call: float) -> list[str]:
    flat = flattened(step, given)
    if not all(map(torch.equal, step(given).columns, flat(*given.columns))):
        raise SystemExit("the flat list does not compute what the step computes")
    operators = sum(node.op == "call_function" for node in flat.graph.nodes)
    times = interleaved([lambda: step(given), lambda: flat(*given.columns)], rounds)
    saved, calling = 1 - times[1] / times[0], operators * call / times[0]
    return [
        str(len(given.w_plus)),
        str(operators),
        *(f"{seconds * 1e3:.1f}" for seconds in times),
        *(f"{share:.1%}" for share in (saved, calling, saved + calling)),
    ]


def flattened(step: Callable[[StepInput], Evaluation], given: StepInput) -> fx.GraphModule:
    """Trace a step, forth and back, to the operators that it calls."""

    def work(*columns: Tensor) -> Sequence[Tensor]:
        places = {id(column): place for column, place in zip(given.columns, columns, strict=True)}
        return step(given.map(lambda column: places[id(column)])).columns

    flat = make_fx(work, tracing_mode="real")(*given.columns)
    for node in list(flat.graph.nodes):
        if node.target in NOTHING:
            node.replace_all_uses_with(node.args[0])
            flat.graph.erase_node(node)
    flat.graph.eliminate_dead_code()
    flat.recompile()
    return flat


def calling_seconds() -> float:
    """Seconds to call an operator of one number through Python, the work itself included."""
    one = torch.ones(1)
    started = time.process_time()
    for _ in range(CALLS):
        torch.ops.aten.view.default(one, [1])
    return (time.process_time() - started) / CALLS


@torch.no_grad()
def interleaved(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    seen: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, times in zip(works, seen, strict=True):
            started = time.process_time()
            work()
            times.append(time.process_time() - started)
    return [statistics.median(times) for times in seen]


if __name__ == "__main__":
    main()
