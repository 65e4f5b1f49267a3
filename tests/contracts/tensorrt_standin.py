"""A stand-in for TensorRT of one release, made from the tables; nothing of TensorRT is in it.

What the release lacks raises AttributeError, calls are bound to the recorded signatures, read-only attributes cannot be
set. Networks compute: layers are kept as they are added and evaluated by torch when the engine runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from tests.contracts import tables

BEHAVIOUR: dict[str, Callable[..., Any]] = {}
"""What a method does, by ``Class.method``; any other answers True."""


def behaves(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register what a method does; it is given the object and the bound arguments in order."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        BEHAVIOUR[name] = function
        return function

    return register


class Member:
    """A member of an enumeration."""

    def __init__(self, enum: str, name: str, value: int) -> None:
        self.enum, self.name, self.value = enum, name, value

    def __int__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"{self.enum}.{self.name}"


class Standin:
    """The module ``tensorrt`` of a release."""

    def __init__(self, release: str) -> None:
        self.__version__ = release
        self.uses: Counter[str] = Counter()
        """How often each recorded symbol was asked for and found."""
        self.failing: dict[str, Any] = {}
        """Methods that shall fail, with what they return then."""
        self.logged: list[str] = []
        """Lines to log when a method fails."""
        self.severity = "ERROR"
        self.networks: list[Thing] = []
        self.plans: dict[bytes, Thing] = {}
        """Networks by the plan that was built from them."""
        self.alive: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        entry = tables.contracts()["tensorrt"].get(name) or tables.other_class(name)
        if name in self.enums:
            self.uses[name] += 1
            return self.enums[name]
        if name == "Permutation":
            self.uses[name] += 1
            return lambda given: given
        if entry is None or not tables.is_in_tensorrt(entry, self.__version__):
            raise AttributeError(f"module 'tensorrt' {self.__version__} has no attribute {name!r}")
        self.uses[name] += 1
        return self._class(name)

    def _class(self, name: str) -> Any:
        if name == "ILogger":
            severity = self.enums["ILogger.Severity"]
            return type("ILogger", (), {"Severity": severity, "__init__": lambda logger: None})
        if name.startswith("IInt8"):
            return type(name, (), {})
        return lambda *given: self.make(name, *given)

    def make(self, class_name: str, *given: Any) -> Thing:
        """Construct an object, its arguments bound to the recorded constructor."""
        found = tables.contracts()["tensorrt"][f"{class_name}.__init__"]
        tables.bind(tables.signatures(found, self.__version__), class_name, *given)
        if class_name == "Weights":
            return Thing(self, class_name, given=given)
        # A builder and a runtime are made from a logger, what works on another object from that object and a logger.
        *of, logger = given
        if class_name in self.failing:
            self.fail(logger)
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return Thing(self, class_name, logger=logger, of=of)

    def fail(self, logger: Any) -> None:
        """Log what a failing call logs."""
        for line in self.logged:
            logger.log(getattr(self.enums["ILogger.Severity"], self.severity), line)

    @cached_property
    def enums(self) -> Mapping[str, Any]:
        """Return every enumeration of the release."""
        found: dict[str, Any] = {}
        for name, entry in tables.contracts()["tensorrt"].items():
            if isinstance(entry, dict) and "members" in entry and tables.is_in_tensorrt(entry, self.__version__):
                found[name] = self._enum(name, entry["members"])
        for name, members in tables.layers()["enums"].items():
            everywhere = {
                member: {"since": "8.6.1", "until": "current", "value": at} for at, member in enumerate(members)
            }
            found[name] = self._enum(name, everywhere)
        return found

    def _enum(self, name: str, members: Mapping[str, Any]) -> Any:
        here = {
            member: Member(name, member, self._value(entry, at))
            for at, (member, entry) in enumerate(members.items())
            if tables.is_in_tensorrt(entry, self.__version__)
        }
        return Enum(self, name, here)

    def _value(self, entry: Mapping[str, Any], at: int) -> int:
        if tables.number(self.__version__)[0] == 9 and "since_src" in entry:
            # 9.x was read from source, which has the member but not its value: any that no other member has.
            return 32 + at
        value = entry["value"]
        if not isinstance(value, dict):
            return int(value)
        fitting = [
            int(held) for since, held in value.items() if tables.number(since) <= tables.number(self.__version__)
        ]
        return fitting[-1]

    def find(self, class_name: str, name: str) -> Mapping[str, Any]:
        """Return the entry of an attribute, looked up as inheritance has it."""
        lists = tables.layers()["layers"]
        methods = tables.layers()["methods"].get(class_name, {})
        if name in methods:
            return {"kind": "method", "since": "8.6.1", "until": "current", "signature": methods[name]}
        if name in lists.get(class_name, []):
            return {"kind": "property rw", "since": "8.6.1", "until": "current"}
        owners = [class_name, *(["ILayer"] if class_name in lists else [])]
        for owner in owners:
            entry: Mapping[str, Any] | None = tables.contracts()["tensorrt"].get(f"{owner}.{name}")
            if entry is not None and tables.is_in_tensorrt(entry, self.__version__):
                return entry
        raise AttributeError(f"TensorRT {self.__version__}: {class_name} has no attribute {name!r}")


class Enum:
    """An enumeration with the members that the release has."""

    def __init__(self, module: Standin, name: str, members: Mapping[str, Member]) -> None:
        self._module, self._name, self._members = module, name, members

    def __getattr__(self, name: str) -> Member:
        if name not in self._members:
            raise AttributeError(f"TensorRT {self._module.__version__}: {self._name} has no member {name!r}")
        self._module.uses[f"{self._name}.{name}"] += 1
        return self._members[name]


class Thing:
    """An object of a recorded class."""

    def __init__(self, module: Standin, class_name: str, **state: Any) -> None:
        self.__dict__.update(_module=module, _class=class_name, _state=state, _values={})
        module.alive[class_name] += 1

    def __del__(self) -> None:
        self._module.alive[self._class] -= 1

    def __getattr__(self, name: str) -> Any:
        module, class_name = self._module, self._class
        entry = module.find(class_name, name)
        module.uses[f"{class_name}.{name}"] += 1
        if entry["kind"].startswith("property"):
            at = BEHAVIOUR.get(f"{class_name}.{name}")
            return at(self) if at else self._values[name]
        return lambda *args, **kwargs: self._call(name, entry, args, kwargs)

    def __bytes__(self) -> bytes:
        found: bytes = self._state["data"]
        return found

    def _call(self, name: str, entry: Mapping[str, Any], args: Any, kwargs: Any) -> Any:
        module, qualified = self._module, f"{self._class}.{name}"
        bound = tables.bind(tables.signatures(entry, module.__version__), qualified, *args, **kwargs)
        if qualified in module.failing:
            module.fail(self._state["logger"])
            return module.failing[qualified]
        behaviour = BEHAVIOUR.get(qualified) or BEHAVIOUR.get(f"ILayer.{name}")
        return behaviour(self, *bound.args, **bound.kwargs) if behaviour else True

    def __setattr__(self, name: str, value: Any) -> None:
        entry = self._module.find(self._class, name)
        self._module.uses[f"{self._class}.{name}"] += 1
        access = entry["kind"].rpartition(" ")[2]
        for change in entry.get("changes", []):
            since, _, kind = change.partition(": ")
            if tables.number(since) <= tables.number(self._module.__version__):
                access = kind
        if access == "ro":
            raise AttributeError(f"TensorRT {self._module.__version__}: can't set attribute {name!r}")
        self._values[name] = value

    def child(self, class_name: str, **state: Any) -> Thing:
        """Return a new object that logs where this one logs."""
        return Thing(self._module, class_name, logger=self._state["logger"], **state)
