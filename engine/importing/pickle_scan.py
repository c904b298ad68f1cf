"""A scan of a pickle's opcodes: the names, types and arrays in it. Nothing is imported and nothing is called.

A pickle is a program for a small stack machine. Here the machine runs on placeholders: a global is its name, an object
is the name of its constructor. That is enough to list every name that unpickling would look up, and to find the arrays
that joblib writes between the opcodes, which the pickle itself does not announce.

Covers protocols 0 to 5 and joblib's format since 0.10. The scan lists names; it does not decide whether they are
harmless. Sources: `pickletools` (the opcodes), `joblib.numpy_pickle` (arrays).
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from engine.errors import ValidationError

_ARRAY = "joblib.numpy_pickle.NumpyArrayWrapper"
_RECONSTRUCTORS = ("copy_reg._reconstructor", "copyreg._reconstructor")
_DTYPE = re.compile("[?a-zA-Z]([0-9]*)")
_MARK = object()
_PLAIN = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_CHUNK_BYTES = 2**20


@dataclass
class ObjectPlaceholder:
    """A placeholder for an object: the name of its constructor, the arguments and the state."""

    maker: str
    arguments: Any = ()
    state: Any = None


@dataclass(frozen=True)
class GlobalPlaceholder:
    """A placeholder for a global, `module.name`."""

    name: str


@dataclass
class PickleContents:
    """The contents of a pickle.

    Attributes
    ----------
    names : set of str
        Every name that unpickling would look up.
    object_type : str
        Type of the object.
    versions : dict of str to str
        Versions of libraries in the pickle, by library.
    arrays : int
        Number of arrays.
    array_bytes : int
        Their total size in bytes.
    """

    names: set[str] = field(default_factory=set)
    object_type: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    arrays: int = 0
    array_bytes: int = 0


def scan_pickle(stream: BinaryIO) -> PickleContents:
    """Scan one pickle from its beginning to its end.

    Raises
    ------
    ValidationError
        If the stream is no pickle, or has opcodes that no estimator needs.
    """
    contents = PickleContents()
    try:
        contents.object_type = _kind_of(_Machine(stream, contents).run())
    except ValidationError:
        raise
    except Exception as error:  # invalid data can raise any error
        raise ValidationError(f"it is not a readable pickle ({type(error).__name__}: {error})") from error
    if stream.read(1):
        raise ValidationError("there is data after the end of the pickle: it was not written by joblib")
    return contents


class _Machine:
    """The stack machine. Opcodes are methods by name; an opcode that only pushes its argument has no method."""

    def __init__(self, stream: BinaryIO, contents: PickleContents) -> None:
        self._stream = stream
        self._contents = contents
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Run to STOP and return the top of the stack."""
        for opcode, argument, _ in pickletools.genops(self._stream):
            if opcode.name == "STOP":
                return self._stack.pop()
            if opcode.name in _PLAIN:
                self._stack.append(_PLAIN[opcode.name])
            elif (step := getattr(self, f"_{opcode.name.lower()}", None)) is not None:
                step(argument)
            elif opcode.arg is not None and opcode.stack_before == []:
                self._stack.append(argument)
            else:
                raise ValidationError(f"it uses the opcode {opcode.name}, which no estimator needs")
        raise ValidationError("it is truncated: copy it again")

    def _skip(self, argument: Any) -> None:
        pass

    _proto = _frame = _skip

    def _mark(self, argument: Any) -> None:
        self._stack.append(_MARK)

    def _pop(self, argument: Any) -> None:
        self._stack.pop()

    def _dup(self, argument: Any) -> None:
        self._stack.append(self._stack[-1])

    def _pop_mark(self, argument: Any) -> None:
        self._to_mark()

    def _to_mark(self) -> list[Any]:
        values = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    # The memo.

    def _put(self, argument: Any) -> None:
        self._memo[int(argument)] = self._stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, argument: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, argument: Any) -> None:
        self._stack.append(self._memo[int(argument)])

    _binget = _long_binget = _get

    # Containers.

    def _empty_tuple(self, argument: Any) -> None:
        self._stack.append(())

    def _tuple(self, argument: Any) -> None:
        self._stack.append(tuple(self._to_mark()))

    def _tuple1(self, argument: Any) -> None:
        self._stack[-1:] = [tuple(self._stack[-1:])]

    def _tuple2(self, argument: Any) -> None:
        self._stack[-2:] = [tuple(self._stack[-2:])]

    def _tuple3(self, argument: Any) -> None:
        self._stack[-3:] = [tuple(self._stack[-3:])]

    def _empty_list(self, argument: Any) -> None:
        self._stack.append([])

    def _list(self, argument: Any) -> None:
        self._stack.append(self._to_mark())

    _frozenset = _list

    def _append(self, argument: Any) -> None:
        value = self._stack.pop()
        self._extend(self._stack[-1], [value])

    def _appends(self, argument: Any) -> None:
        values = self._to_mark()
        self._extend(self._stack[-1], values)

    _empty_set, _additems = _empty_list, _appends

    def _extend(self, target: Any, values: list[Any]) -> None:
        if isinstance(target, list):  # an object may receive items too
            target.extend(values)

    def _empty_dict(self, argument: Any) -> None:
        self._stack.append({})

    def _dict(self, argument: Any) -> None:
        values = self._to_mark()
        self._stack.append({})
        self._fill(values)

    def _setitem(self, argument: Any) -> None:
        pair = [self._stack.pop() for _ in range(2)][::-1]
        self._fill(pair)

    def _setitems(self, argument: Any) -> None:
        self._fill(self._to_mark())

    def _fill(self, values: list[Any]) -> None:
        target = self._stack[-1]
        for key, value in zip(values[::2], values[1::2], strict=True):
            if isinstance(target, dict) and isinstance(key, str | int | bytes):
                target[key] = value
            if key == "_sklearn_version" and isinstance(value, str):
                self._contents.versions["scikit-learn"] = value

    # Globals, and the objects made with them.

    def _global(self, argument: Any) -> None:
        self._look_up(*argument.split(" ", 1))

    def _stack_global(self, argument: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValidationError("it looks up a computed name, which no estimator does")
        self._look_up(module, name)

    def _look_up(self, module: str, name: str) -> None:
        # A dotted name follows attributes, which reach any object: it must never match the name of a module's member.
        found = f"{module}.{name}" if "." not in name else f"{module}:{name}"
        self._contents.names.add(found)
        self._stack.append(GlobalPlaceholder(found))

    def _reduce(self, argument: Any) -> None:
        arguments, maker = self._stack.pop(), self._stack.pop()
        name = _kind_of(maker)
        if name in _RECONSTRUCTORS and arguments:
            name, arguments = _kind_of(arguments[0]), ()
        self._stack.append(ObjectPlaceholder(name, arguments))

    _newobj = _reduce

    def _newobj_ex(self, argument: Any) -> None:
        self._stack.pop()
        self._reduce(argument)

    def _inst(self, argument: Any) -> None:
        arguments = self._to_mark()
        self._look_up(*argument.split(" ", 1))
        self._stack[-1] = ObjectPlaceholder(_kind_of(self._stack[-1]), tuple(arguments))

    def _obj(self, argument: Any) -> None:
        maker, *arguments = self._to_mark()
        self._stack.append(ObjectPlaceholder(_kind_of(maker), tuple(arguments)))

    def _build(self, argument: Any) -> None:
        state = self._stack.pop()
        made = self._stack[-1]
        if not isinstance(made, ObjectPlaceholder):
            return
        made.state = state
        if made.maker == _ARRAY:
            self._read_array(state)

    def _read_array(self, state: dict[str, Any]) -> None:
        """Skip the array whose description has just been built, or scan the pickle that stands in its place."""
        self._contents.arrays += 1
        item_bytes = _item_bytes(state["dtype"])
        if item_bytes is None:
            _Machine(self._stream, self._contents).run()
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            self._stream.read(self._stream.read(1)[0])
        left = item_bytes
        for length in state["shape"]:
            left *= int(length)
        self._contents.array_bytes += left
        while left:
            read = len(self._stream.read(min(left, _CHUNK_BYTES)))
            if not read:
                raise ValidationError("it is truncated inside an array: copy it again")
            left -= read


def _kind_of(value: Any) -> str:
    if isinstance(value, ObjectPlaceholder):
        return value.maker
    return value.name if isinstance(value, GlobalPlaceholder) else type(value).__name__


def _item_bytes(dtype: Any) -> int | None:
    """Return the bytes of one item of a pickled `numpy.dtype`, None if items are objects."""
    if not isinstance(dtype, ObjectPlaceholder) or dtype.maker != "numpy.dtype" or not dtype.arguments:
        raise ValidationError("an array has a type that is not one of numpy's")
    if any(_is_object(part) for part in _types_in(dtype)):
        return None
    code = str(dtype.arguments[0])
    digits = _DTYPE.fullmatch(code)
    if digits is None or not digits[1]:
        raise ValidationError(f"an array has the type {code!r}, whose size is unknown")
    return int(digits[1]) * (4 if code[0] == "U" else 1)


def _types_in(value: Any) -> Iterator[ObjectPlaceholder]:
    """Yield a dtype and the dtypes of its fields."""
    if isinstance(value, ObjectPlaceholder):
        yield value
        yield from _types_in(value.state)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _types_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _types_in(item)


def _is_object(dtype: ObjectPlaceholder) -> bool:
    return bool(dtype.arguments) and str(dtype.arguments[0]).startswith("O")
