"""Pickles of plain data and NumPy arrays, read without running anything that they name.

A pickle is a program; the ordinary reader imports and calls whatever it names. This one knows a handful of names, for
each of which a stand-in is called that only keeps what it is given; arrays are built from it afterwards, with every
size checked. Any other name ends the reading.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

_CODES = {f"{kind}{size}" for kind, sizes in {"f": "248", "i": "1248", "u": "1248", "b": "1"}.items() for size in sizes}


class Dtype:
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: Any, *flags: Any) -> None:
        if not isinstance(code, str) or code.lstrip("<>|=") not in {*_CODES, "O8", "?"}:
            raise pickle.UnpicklingError(f"an array of type {code!r:.40}")
        self.code, self.order = code.lstrip("<>|="), code[0] if code[0] in "<>" else "<"

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"byte order {order!r:.40}")
        self.order = ">" if order == ">" else "<"

    def real(self) -> np.dtype[Any]:
        if self.code == "O8":
            raise pickle.UnpicklingError("an array of Python objects")
        return np.dtype(self.order + ("b1" if self.code == "?" else self.code))


class Array:
    """Stands for ``numpy.ndarray``; :func:`array` makes the real one."""

    def __init__(self, *arguments: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Call:
    """A function that a pickle may name; an object whose attributes a pickle cannot set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes a function")


def _latin1(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r:.40}")
    return text.encode("latin1")


def _scalar(dtype: Any, data: Any = b"") -> Any:
    if not isinstance(dtype, Dtype) or not isinstance(data, bytes):
        raise pickle.UnpicklingError("a number that is none")
    [value] = np.frombuffer(data, dtype=dtype.real()).tolist()
    return value


def _buffer(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    found = Array()
    found.state = (1, shape, dtype, order == "F", data)
    return found


_RECONSTRUCT, _SCALAR, _FROM_BUFFER = (_Call(f) for f in (Array, _scalar, _buffer))
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _SCALAR for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FROM_BUFFER for core in ("core", "_core")},
    ("_codecs", "encode"): _Call(_latin1),
    ("collections", "OrderedDict"): OrderedDict,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside of it")


_ARGUMENTS: dict[int, Any] = {}


def _check_memo(data: bytes) -> None:
    """Refuse a pickle that keeps an object under a number far beyond its size: the table of them would be as long.

    Raises:
        pickle.UnpicklingError: so large a number, or no pickle.
    """
    if not _ARGUMENTS:
        import pickletools  # here, because it is long

        _ARGUMENTS.update({ord(op.code): op.arg for op in pickletools.opcodes})
    at, size = 0, len(data)
    while at < size:
        code = data[at]
        at += 1
        if code not in _ARGUMENTS:
            raise pickle.UnpicklingError(f"byte {at - 1} is no part of a pickle")
        argument = _ARGUMENTS[code]
        if argument is None:
            if code == _STOP:
                return
            continue
        if argument.n >= 0:
            if code == _LONG_PUT and int.from_bytes(data[at : at + 4], "little") > size:
                raise pickle.UnpicklingError("it numbers more objects than it can hold")
            at += argument.n
        elif argument.n == _TO_NEWLINE:
            lines = 2 if argument.name == "stringnl_noescape_pair" else 1
            for _ in range(lines):
                end = data.find(b"\n", at)
                if end < 0:
                    raise pickle.UnpicklingError("it is cut off")
                if code == _PUT and (end - at > 10 or int(data[at:end] or b"0") > size):
                    raise pickle.UnpicklingError("it numbers more objects than it can hold")
                at = end + 1
        else:  # a length of 1, 4 or 8 bytes, then as many bytes
            width = {-2: 1, -3: 4, -4: 4, -5: 8}[argument.n]
            at += width + int.from_bytes(data[at : at + width], "little")
    raise pickle.UnpicklingError("it is cut off")


_STOP, _LONG_PUT, _PUT = b".rp"
_TO_NEWLINE = -1


def load(stream: IO[bytes]) -> Any:
    """What the pickle holds; arrays are :class:`Array` until :func:`array` is called on them.

    Raises:
        Exception: of any kind, since a damaged pickle may do anything to itself; nothing else is touched.
    """
    data = stream.read()
    _check_memo(data)
    return _Unpickler(io.BytesIO(data), encoding="latin1").load()


def numbers(held: Any) -> npt.NDArray[Any]:
    """The array that an :class:`Array` stands for, or that lists of numbers and arrays are.

    Raises:
        ValueError: it is none of these.
    """

    def plain(part: Any) -> Any:
        if isinstance(part, list | tuple):
            return [plain(p) for p in part]
        return array(part) if isinstance(part, Array) else part

    if not isinstance(held, list | tuple):
        return array(held)
    found = np.array(plain(held))
    if found.dtype.kind not in "fiub":
        raise ValueError("not a list of numbers")
    return found


def array(held: Any) -> npt.NDArray[Any]:
    """The array that an :class:`Array` stands for.

    Raises:
        ValueError: not an array of numbers, or not as many bytes as its shape wants.
        pickle.UnpicklingError: an array of Python objects.
    """
    if not isinstance(held, Array) or not isinstance(held.state, tuple) or len(held.state) != 5:
        raise ValueError("not an array of numbers")
    _, shape, dtype, fortran, data = held.state
    if not isinstance(dtype, Dtype) or not isinstance(data, bytes | bytearray):
        raise ValueError("not an array of numbers")
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array without a shape")
    return np.frombuffer(data, dtype=dtype.real()).reshape(shape, order="F" if fortran else "C")
