"""Columns of the tables that hold more than SQL knows: enumerations as text, frozen types as JSON."""

from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import JSON, Dialect, Enum
from sqlalchemy.types import TypeDecorator


def text_of(kinds: type[StrEnum]) -> Enum:
    """A column that holds the values of an enumeration as text."""
    return Enum(kinds, native_enum=False, length=8, values_callable=lambda members: [str(member) for member in members])


T = TypeVar("T")


class JsonOf(TypeDecorator[T], Generic[T]):
    """A column that holds one frozen type as JSON. What another version stored, and this one cannot read, counts as empty."""

    impl = JSON
    cache_ok = True

    def __init__(self, kind: type[T]) -> None:
        super().__init__()
        self.kind = kind
        self._adapter = TypeAdapter(kind)

    def process_bind_param(self, value: T | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """What is written."""
        return None if value is None else self._adapter.dump_python(value, mode="json")

    def process_result_value(self, value: Any, dialect: Dialect) -> T:  # noqa: ARG002
        """What is read."""
        return self.read(value)

    def read(self, value: Any) -> T:
        """The type from what JSON holds."""
        try:
            return self._adapter.validate_python(value)
        except ValidationError:
            return self.kind()
