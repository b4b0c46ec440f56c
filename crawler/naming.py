"""The names by which callbacks wait in the file."""

from collections.abc import Callable
from typing import Any


def name_of_callback(callback: Callable[..., Any] | str) -> str:
    """Return the name that a spider has for one of its methods.

    Raises `ValueError`, which says what to write instead, for what is no method of a spider.
    """
    if isinstance(callback, str):
        return callback
    owner = getattr(callback, "__self__", None)
    # What has callbacks says so: a spider. Another object's method may be called like one of its.
    if getattr(owner, "_has_callbacks", False):
        name: str = getattr(callback, "__name__", "")
        # A method's own name may be another: with two underscores before it, or when a decorator
        # has put a function around it.
        found = name if getattr(owner, name, None) == callback else _name_in(owner, callback)
        if found is not None:
            return found
    raise ValueError(_refusal(callback, owner))


def _name_in(owner: Any, callback: Any) -> str | None:
    kind = owner if isinstance(owner, type) else type(owner)
    function = getattr(callback, "__func__", None)
    for cls in kind.__mro__:
        for name, value in vars(cls).items():
            if function is not None and getattr(value, "__func__", value) is function:
                return name
    return None


def _refusal(callback: object, owner: object) -> str:
    name = getattr(callback, "__name__", "")
    shown = getattr(callback, "__qualname__", type(callback).__name__)
    cls = shown.rpartition(".")[0]
    if owner is None and cls and not cls.endswith("<locals>"):
        instead = f"write its name, {name!r}"  # a static method, or one looked up in its class
    elif name.isidentifier():
        instead = "write a method that calls it"
    else:
        instead = "write a method, and pass what it needs in cb_kwargs"
    return f"a callback is a method of the spider, kept by its name, and {shown} is not: {instead}"
