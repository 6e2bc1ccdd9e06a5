"""Inert pickle machine: a pickle is a program, which runs here without its two dangerous instructions.

The standard library's `pickletools` takes the program apart, and the machine below keeps its stack. Where unpickling
would import a name, a :class:`GlobalName` is put on the stack; where it would call something, a :class:`Call` is. No
name is ever looked up and nothing is ever called, so there is nothing to escape from.

Pickle's opcodes: PEP 3154 and `pickletools`.
"""

import pickletools
import warnings
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, cast

from nigaoe_core.errors import BrokenCheckpoint, UnsafeCheckpoint
from nigaoe_model.checkpoints.records import Call, GlobalName, PersistentId

MAX_OPERATIONS = 2_000_000
MAX_LINE = 64 * 2**10
COPY_BELOW = 256
_MARK = object()


class Window:
    """File-like reading without copies: long reads are views, so a text of 10 GB that is not there costs nothing.

    Args:
        view: The bytes.
        position: Where the cursor begins.
    """

    def __init__(self, view: memoryview, position: int = 0) -> None:
        self.view = view
        self.position = position

    def read(self, count: int) -> bytes | memoryview:
        """Return the next ``count`` bytes, fewer at the end; a view when they are many."""
        part = self.view[self.position : self.position + count]
        self.position += len(part)
        return bytes(part) if count < COPY_BELOW else part

    def readline(self) -> bytes:
        """Return the rest of a line with its end.

        Raises:
            UnsafeCheckpoint: It is longer than any honest pickle writes.
        """
        head = bytes(self.view[self.position : self.position + MAX_LINE])
        end = head.find(b"\n") + 1
        if not end and len(head) == MAX_LINE:
            raise UnsafeCheckpoint("The pickle holds a line of more than 64 KiB: it was not written by torch.")
        line = head[: end or len(head)]
        self.position += len(line)
        return line

    def tell(self) -> int:
        """Return the cursor's place."""
        return self.position


@dataclass(slots=True)
class Trace:
    """What pickles refer to; filled while they are read, so that it tells something even when reading fails.

    Attributes:
        names: Everything that unpickling would import.
        persistent: Every reference to a storage outside of the pickle.
    """

    names: set[GlobalName] = field(default_factory=set)
    persistent: list[PersistentId] = field(default_factory=list)


def run_pickle(window: Window, trace: Trace) -> Any:
    """Read the pickle under the cursor and leave the cursor behind it.

    Args:
        window: Where the pickle lies.
        trace: Gets every name and reference.

    Returns:
        Plain Python values, with :class:`Call`, :class:`GlobalName` and :class:`PersistentId` among them.

    Raises:
        BrokenCheckpoint: The pickle is truncated or damaged.
        UnsafeCheckpoint: It uses an instruction that no honest checkpoint has, or does not end.
    """
    machine = _Machine(trace)
    try:
        with warnings.catch_warnings(action="ignore"):  # `pickletools` warns of odd escapes in texts.
            for operation, argument in _operations(window):
                machine.step(operation, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, AssertionError) as error:
        raise BrokenCheckpoint(f"The pickle is damaged ({type(error).__name__}: {error}).") from error
    return machine.result()


def _operations(window: Window) -> Iterator[tuple[str, Any]]:
    for count, (opcode, argument, _) in enumerate(pickletools.genops(cast("IO[bytes]", window))):
        if count >= MAX_OPERATIONS:
            raise UnsafeCheckpoint(f"The pickle has more than {MAX_OPERATIONS} instructions: no checkpoint needs them.")
        yield opcode.name, argument


class _Machine:
    """The stack, the memo, and one method for each kind of instruction."""

    def __init__(self, trace: Trace) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.trace = trace

    def step(self, operation: str, argument: Any) -> None:
        if operation in _IGNORED:
            return
        if operation in _LITERALS:
            self.stack.append(argument)
        elif operation in _MAKERS:
            self.stack.append(_MAKERS[operation]())
        elif (action := _ACTIONS.get(operation)) is not None:
            action(self, argument)
        else:
            raise UnsafeCheckpoint(f"The pickle uses the instruction {operation}, which no honest checkpoint has.")

    def result(self) -> Any:
        if len(self.stack) != 1 or self.stack[0] is _MARK:
            raise BrokenCheckpoint("The pickle is damaged: it leaves no single value.")
        return self.stack[0]

    def take(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def top(self) -> Any:
        if self.stack[-1] is _MARK:
            raise ValueError("a mark where a value should be")
        return self.stack[-1]

    def take_marked(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("no mark on the stack")
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def put_memo(self, number: int) -> None:
        self.memo[number] = self.top()

    def name(self, module: Any, name: Any) -> GlobalName:
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnsafeCheckpoint("The pickle computes the name of what it would import: no honest checkpoint does.")
        found = GlobalName(module, name)
        self.trace.names.add(found)
        return found

    def call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, GlobalName):
            raise UnsafeCheckpoint("The pickle would call something that it computed: no honest checkpoint does.")
        if not isinstance(arguments, tuple):
            raise TypeError("arguments that are no tuple")
        self.stack.append(Call(function, arguments))

    def build(self) -> None:
        state, target = self.take(), self.top()
        if not isinstance(target, Call):
            raise UnsafeCheckpoint("The pickle would change something that it did not make: no honest checkpoint does.")
        target.state = state

    def store(self, pairs: list[Any]) -> None:
        target = self.top()
        if len(pairs) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if isinstance(target, Call):
                target.items.append((_key(key), value))
            else:
                _expect(target, dict)[_key(key)] = value

    def extend(self, values: list[Any]) -> None:
        target = self.top()
        (target.elements if isinstance(target, Call) else _expect(target, list)).extend(values)

    def add(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, Call):
            target.elements.extend(values)
        else:
            _expect(target, set).update(_key(value) for value in values)

    def dictionary(self, pairs: list[Any]) -> None:
        self.stack.append({})
        self.store(pairs)

    def refer(self, identity: Any) -> None:
        reference = PersistentId(identity)
        self.trace.persistent.append(reference)
        self.stack.append(reference)


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} where {kind.__name__} should be")
    return value


def _key(value: Any) -> Hashable:
    """Allow only keys whose hash is cheap: a tuple nested a million times would overflow the stack."""
    if isinstance(value, str | bytes | int | float | bool | GlobalName) or value is None:
        return value
    if isinstance(value, tuple) and all(isinstance(part, str | int | float) for part in value):
        return value
    raise TypeError(f"{type(value).__name__} as a key")


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def make(machine: _Machine, _: Any) -> None:
        values = [machine.take() for _ in range(count)]
        machine.stack.append(tuple(reversed(values)))

    return make


def _global(machine: _Machine, argument: str) -> None:
    # `pickletools` joins module and name by a space; a module never contains one.
    module, _, name = argument.partition(" ")
    machine.stack.append(machine.name(module, name))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.take(), machine.take()
    machine.stack.append(machine.name(module, name))


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, function = machine.take(), machine.take()
    machine.call(function, arguments)


def _new_with_keywords(machine: _Machine, _: Any) -> None:
    keywords, arguments, function = machine.take(), machine.take(), machine.take()
    if keywords:
        raise UnsafeCheckpoint("The pickle makes an object with keyword arguments: no honest checkpoint does.")
    machine.call(function, arguments)


def _instance(machine: _Machine, argument: str) -> None:
    values = machine.take_marked()
    module, _, name = argument.partition(" ")
    machine.call(machine.name(module, name), tuple(values))


def _object(machine: _Machine, _: Any) -> None:
    function, *arguments = machine.take_marked()
    machine.call(function, tuple(arguments))


def _pop(machine: _Machine, _: Any) -> None:
    machine.stack.pop()


def _pop_to_mark(machine: _Machine, _: Any) -> None:
    machine.take_marked()


_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})

_LITERALS = frozenset(
    {
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
        "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
        "BINBYTES8", "BYTEARRAY8",
    }
)  # fmt: skip

_MAKERS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}

_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "POP": _pop,
    "POP_MARK": _pop_to_mark,
    "DUP": lambda machine, _: machine.stack.append(machine.top()),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.take_marked())),
    "LIST": lambda machine, _: machine.stack.append(machine.take_marked()),
    "DICT": lambda machine, _: machine.dictionary(machine.take_marked()),
    "FROZENSET": lambda machine, _: machine.stack.append(frozenset(map(_key, machine.take_marked()))),
    "SETITEM": lambda machine, _: machine.store([machine.take(), machine.take()][::-1]),
    "SETITEMS": lambda machine, _: machine.store(machine.take_marked()),
    "APPEND": lambda machine, _: machine.extend([machine.take()]),
    "APPENDS": lambda machine, _: machine.extend(machine.take_marked()),
    "ADDITEMS": lambda machine, _: machine.add(machine.take_marked()),
    "GET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "LONG_BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "PUT": lambda machine, number: machine.put_memo(number),
    "BINPUT": lambda machine, number: machine.put_memo(number),
    "LONG_BINPUT": lambda machine, number: machine.put_memo(number),
    "MEMOIZE": lambda machine, _: machine.put_memo(len(machine.memo)),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_with_keywords,
    "INST": _instance,
    "OBJ": _object,
    "BUILD": lambda machine, _: machine.build(),
    "PERSID": lambda machine, identity: machine.refer(identity),
    "BINPERSID": lambda machine, _: machine.refer(machine.take()),
}
