"""The keys of a ``config.json`` with their types checked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from simulator.errors import InputError

MOST = 10**12  # of any number; the fields of an architecture have closer ranges of their own


class Config(NamedTuple):
    """The mapping of a file, or of a part of it, and where it stands for errors."""

    where: str
    data: dict[str, Any]

    def whole(self, *keys: str, default: int | None = None, least: int = 1) -> int | None:
        """Return the first of some spellings that holds a number; an explicit null is None, and absence the default.

        Raises:
            InputError: not a whole number, or one that is too small.
        """
        given = [key for key in keys if key in self.data]
        key = next((key for key in given if self.data[key] is not None), None)
        if key is None:
            return None if given else default
        value = self.data[key]
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(f"{key} is {value!r}; it must be a whole number")
        if value < least:
            raise self.error(f"{key} is {value}; it must be at least {least}")
        if value > MOST:
            raise self.error(f"{key} is above {MOST}")
        return value

    def sized(self, key: str, layers: int, kind: type[int] | type[str]) -> Sequence[Any]:
        """Return a list of one entry a layer; empty where there is none.

        Raises:
            InputError: not a list of the kind, or of another length.
        """
        items = self.items(key, kind)
        if items and len(items) != layers:
            raise self.error(f"{key} has {len(items)} entries; there are {layers} layers")
        return items

    def types(self, key: str, layers: int, known: Collection[str]) -> Sequence[str]:
        """A list of one of some types for each layer; empty where it is missing.

        Raises:
            InputError: a list of another length or with an unknown type.
        """
        types = self.sized(key, layers, str)
        unknown = next((kind for kind in types if kind not in known), None)
        if unknown is not None:
            raise self.error(f"{key}: '{unknown}' is not supported (known: {', '.join(known)})")
        return types

    def flag(self, *keys: str, default: bool = False) -> bool:
        """Return the first of some spellings that holds true or false; null is the default too.

        Raises:
            InputError: neither true nor false.
        """
        key = next((key for key in keys if self.data.get(key) is not None), None)
        if key is None:
            return default
        value = self.data[key]
        if not isinstance(value, bool):
            raise self.error(f"{key} is {value!r}; it must be true or false")
        return value

    def items(self, key: str, kind: type[int] | type[str]) -> Sequence[Any]:
        """Return a list of numbers or of texts; empty where there is none.

        Raises:
            InputError: not a list, or one that holds something else.
        """
        value = self.data.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
            raise self.error(f"{key} must be a list of {'whole numbers' if kind is int else 'texts'}")
        return value

    def part(self, key: str) -> Config | None:
        """Return the mapping that a key holds; None where there is none.

        Raises:
            InputError: not a mapping.
        """
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(f"{key} must be a mapping")
        return Config(f"{self.where}: {key}", value)

    def model_type(self, default: str = "") -> str:
        """Return the model type.

        Raises:
            InputError: not a text.
        """
        value = self.data.get("model_type", default)
        if not isinstance(value, str):
            raise self.error(f"model_type is {value!r}; it must be text")
        return value

    def error(self, problem: str) -> InputError:
        """Return the error that says what is wrong with this mapping."""
        return InputError(f"{self.where}: {problem}")
