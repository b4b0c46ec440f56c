"""By what another process finds a spider class: module, name, and the file if it needs one."""

import os
import runpy
import sys
from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from crawler.errors import SpiderError, UsageError
from crawler.loading import is_loaded_by_path, load_module
from crawler.spider import Spider

_MAIN = "__main__"
# What a child imports the program's main module as, like multiprocessing does, so that what is
# under `if __name__ == "__main__"` does not run again.
_CHILDS_MAIN = "__mp_main__"
# Whether this is a child in which the spider is being imported: what then crawls, in whatever
# thread, would do so without end.
_arriving = False


class Address(NamedTuple):
    """Where a spider class is. `file` is its module's, if it cannot be imported by its name."""

    module: str
    name: str
    file: str | None = None


def address_of(spider: type[Spider]) -> Address:
    """Return where other processes find a spider class.

    Raises `SpiderError` for one that they cannot: made in a function, or typed in.
    """
    module = sys.modules.get(spider.__module__)
    found: object = module
    for part in spider.__qualname__.split("."):
        found = getattr(found, part, None)
    if module is None or found is not spider:
        raise SpiderError(
            f"with several processes each of them imports the spider, and {spider.__qualname__} "
            "cannot be: define it at the top of a module, or set processes = 1"
        )
    name, file = spider.__module__, None
    if name == _MAIN:
        sys.modules.setdefault(_CHILDS_MAIN, module)  # what children send names its classes so
        spec = getattr(module, "__spec__", None)
        if spec is not None:  # python -m NAME
            name = f"{_MAIN}:{spec.name.removesuffix('.__main__')}"
        elif (file := getattr(module, "__file__", None)) is None or not os.path.exists(file):
            raise SpiderError(
                f"with several processes each of them imports the spider, and {spider.__name__} "
                "was typed in: put it into a file, or set processes = 1"
            )
    elif is_loaded_by_path(name):
        file = module.__file__
    return Address(name, spider.__qualname__, file)


def spider_at(address: Address) -> type[Spider]:
    """Return the spider class at an address; raises what importing its module does.

    And `SpiderError` when the class is not made by that.
    """
    global _arriving
    _arriving = True
    try:
        found: object = _module_at(address)
    finally:
        _arriving = False
    for part in address.name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise SpiderError(
            f"with several processes each of them imports the spider, and {address.name} is not "
            f"there when {address.file or address.module} is imported: define it at the top of "
            'the module, not under `if __name__ == "__main__":`'
        )
    assert isinstance(found, type)
    assert issubclass(found, Spider)
    return found


def refuse_in_child() -> None:
    """Raise `UsageError` when a crawl is begun by a module that a child imports."""
    if _arriving:
        raise UsageError(
            "with several processes each of them imports the spider's file, and this one crawls "
            'when it is imported: put that under `if __name__ == "__main__":`'
        )


def _module_at(address: Address) -> ModuleType:
    main, _, name = address.module.partition(":")
    if main == _MAIN:
        if name:
            values = runpy.run_module(name, run_name=_CHILDS_MAIN, alter_sys=True)
        else:
            values = runpy.run_path(address.file or "", run_name=_CHILDS_MAIN)
        module = ModuleType(_CHILDS_MAIN)
        vars(module).update(values)
        sys.modules[_MAIN] = sys.modules[_CHILDS_MAIN] = module
        return module
    if address.file is not None:
        return load_module(address.file)
    return import_module(address.module)
