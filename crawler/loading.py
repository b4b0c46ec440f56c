"""Finding spiders, by reading their files, and loading one, by importing it.

Reading is enough to list spiders and to find their crawl files: it runs nobody's code, and one
broken file does not hide the others.
"""

import ast
import gc
import re
import sys
import traceback
import warnings
from hashlib import blake2b
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import crawler
from crawler.errors import SpiderError, did_you_mean, users_line
from crawler.scrapy_names import foreign_name, instead_of, instead_of_module

if TYPE_CHECKING:
    from crawler.spider import Spider

SPIDERS = Path("spiders")
# A class that has one of these among its bases is not a spider, though it has a `name`.
_NOT_SPIDERS = frozenset({"BaseModel", "Enum", "Item", "NamedTuple", "StrEnum", "TypedDict"})
# The packages that stand for folders of spiders.
_PACKAGE = "crawler_spiders_"
_CANNOT_IMPORT = re.compile(r"cannot import name '(\w+)' from 'crawler")
_PATH = re.compile(r"(?P<path>.+\.py)(?::(?P<class_name>\w+))?")


class SpiderSource(NamedTuple):
    """Where a spider is written, as far as reading its file tells."""

    name: str
    path: Path
    class_name: str
    summary: str  # the first line of its docstring


class Listing(NamedTuple):
    """The spiders of a directory, and a line for each file, and spider, that is not among them."""

    spiders: list[SpiderSource]
    broken: list[str]  # files that could not be read
    nameless: list[str]  # spiders without a name, but for those that others are made of


class _Classes(NamedTuple):
    """What reading a file, or several, tells of its classes."""

    spiders: list[SpiderSource]
    nameless: list[SpiderSource]  # spiders that are given no name
    bases: set[str]  # what classes inherit from


# ── reading ─────────────────────────────────────────────────────────────────────────────────


def find_spiders(directory: Path = SPIDERS) -> Listing:
    """Return the spiders in `directory` and its folders, by name, without importing any.

    A spider is a class with a `name = "..."` in its body; names that are computed are not seen.
    """
    found = _Classes([], [], set())
    broken: list[str] = []
    folders = [p for p in directory.glob("*/") if p.is_dir() and not p.name.startswith(("_", "."))]
    for folder in (directory, *sorted(folders)):
        for path in sorted(folder.glob("*.py")):
            try:
                _read(path, found)
            except SpiderError as error:
                broken.append(str(error))
    nameless = [one for one in found.nameless if one.class_name not in found.bases]
    return Listing(
        sorted(found.spiders, key=lambda source: source.name),
        broken,
        [str(_without_name(one.path, [one.class_name])) for one in nameless],
    )


def source_of(name_or_path: str) -> SpiderSource:
    """Return where a spider is written: by its name, or by `path/to/file.py[:Class]`.

    Raises `SpiderError` when there is none, or more than one.
    """
    parts = _as_path(name_or_path)
    if parts is None:
        return _by_name(name_or_path)
    path, class_name = parts
    found, nameless, _ = _read(path, _Classes([], [], set()))
    if class_name is not None:
        found = [source for source in found if source.class_name == class_name]
        nameless = [source for source in nameless if source.class_name == class_name]
    if not found:
        if class_name is not None and not nameless:
            raise SpiderError(f"{path} has no spider class {class_name} with a name in its body")
        raise _without_name(path, [source.class_name for source in nameless])
    if len(found) > 1:
        raise _several(path, [source.class_name for source in found])
    return found[0]


def config_for(name_or_path: str) -> Path | None:
    """Return the `config.toml` beside the spiders, or None when there is none."""
    parts = _as_path(name_or_path)
    places = [Path()]
    if parts is not None:
        folder = parts[0].parent
        above = [folder.resolve().parent] if folder.resolve().name == SPIDERS.name else []
        places = [folder, *above, Path()]
    files = [place / "config.toml" for place in places]
    return next((file for file in files if file.is_file()), None)


def _as_path(text: str) -> tuple[Path, str | None] | None:
    match = _PATH.fullmatch(text)
    if match:
        return Path(match["path"]), match["class_name"]
    if "/" in text:
        raise SpiderError(f"{text} is not a Python file: give path/to/file.py or file.py:Class")
    return None


def _by_name(name: str) -> SpiderSource:
    spiders, broken, nameless = find_spiders()
    found = [source for source in spiders if source.name == name]
    if len(found) > 1:
        files = " and ".join(str(source.path) for source in found)
        raise SpiderError(f"two spiders are called {name!r}, in {files}: rename one")
    if found:
        return found[0]
    if not SPIDERS.is_dir():
        raise SpiderError(
            f"no spider {name!r}: there is no directory spiders/ here; give the path of its file, "
            "or make a project with: crawler init DIR"
        )
    names = [source.name for source in spiders]
    near = did_you_mean(name, names)
    hint = f"{near} " if near else ""
    known = f"there are {', '.join(names)}" if names else "there are none"
    unread = f"; not read: {'; '.join(broken)}" if broken else ""
    unnamed = f"; {'; '.join(nameless)}" if nameless else ""
    raise SpiderError(f"no spider {name!r} in spiders/: {hint}{known}{unread}{unnamed}")


def _read(path: Path, found: _Classes) -> _Classes:
    """Add the classes of a file to what was found, and return it."""
    try:
        tree = _parsed(path)
    except OSError as error:
        raise SpiderError(f"cannot read {path}: {error.strerror}") from error
    except SyntaxError as error:
        raise _syntax_error(error, path) from error
    except ValueError as error:
        raise SpiderError(f"{path}: {error}") from error
    others, nameless = set(_NOT_SPIDERS), {"Spider"}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or not node.bases:
            continue
        bases = {_last_name(base) for base in node.bases}
        found.bases.update(bases)
        name = _name_in(node)
        summary = (ast.get_docstring(node) or "").partition("\n")[0]
        source = SpiderSource(name or "", path, node.name, summary)
        if others & bases:
            others.add(node.name)
        elif name:
            found.spiders.append(source)
        elif name is None and bases <= nameless:
            nameless.add(node.name)
            found.nameless.append(source)
    return found


def _last_name(base: ast.expr) -> str:
    if isinstance(base, ast.Subscript):
        return _last_name(base.value)
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")


def _name_in(node: ast.ClassDef) -> str | None:
    """Return the name that is given in a class's body, "" for one that is computed, or None."""
    for statement in node.body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        value = getattr(statement, "value", None)
        if any(isinstance(target, ast.Name) and target.id == "name" for target in targets):
            if not isinstance(value, ast.Constant):
                return "" if value is not None else None
            return value.value if isinstance(value.value, str) and value.value else None
    return None


# ── importing ───────────────────────────────────────────────────────────────────────────────


def load_spider(name_or_path: str) -> "type[Spider]":
    """Return the spider class: by its name in `./spiders`, or by `path/to/file.py[:Class]`.

    Its file is imported anew under a name of its own. It may import, relatively or not, what
    lies beside it, and from the directory that holds `spiders`.
    Raises `SpiderError`, one line, for whatever is in the way.
    """
    parts = _as_path(name_or_path)
    if parts is not None:
        path, class_name = parts
    else:
        source = _by_name(name_or_path)
        path, class_name = source.path, source.class_name
    module = _import(path)
    if class_name is None:
        return _only_spider(module, path)
    found = getattr(module, class_name, None)
    if not _is_spider(found):
        _refuse_scrapys([found], path)
        raise SpiderError(f"{path} has no spider class {class_name}")
    if not found.name:
        raise _without_name(path, [class_name])
    return found


def is_loaded_by_path(module: str) -> bool:
    """Say whether a module of that name was loaded by its file's path."""
    return module.startswith(_PACKAGE)


def load_module(path: str | Path) -> ModuleType:
    """Return the module in a file of spiders, imported anew; raises `SpiderError`."""
    return _import(Path(path))


def _only_spider(module: ModuleType, path: Path) -> "type[Spider]":
    own = [
        value
        for value in vars(module).values()
        if _is_spider(value) and value.__module__ == module.__name__
    ]
    named = [value for value in own if value.name]
    if not own:
        _refuse_scrapys(list(vars(module).values()), path)
    if not named:
        raise _without_name(path, [value.__name__ for value in own])
    if len(named) > 1:
        raise _several(path, [value.__name__ for value in named])
    return named[0]


def _is_spider(value: object) -> "TypeGuard[type[Spider]]":
    # `crawler.Spider` loads on first use: who only lists spiders does not wait for it.
    return isinstance(value, type) and issubclass(value, crawler.Spider)


def _refuse_scrapys(found: list[object], path: Path) -> None:
    """Raise `SpiderError` when one of these is a spider, but not of ours."""
    for value in found:
        for base in getattr(value, "__mro__", ())[1:]:
            if base.__name__ == "Spider" and base.__module__.partition(".")[0] == "scrapy":
                name = getattr(value, "__name__", "")
                raise SpiderError(
                    f"{name} in {path} is a spider of Scrapy's: change its imports, as in: "
                    "import crawler as scrapy"
                )


def _without_name(path: Path, classes: list[str]) -> SpiderError:
    if not classes:
        return SpiderError(f"{path} has no spider with a name: give it one (name = 'books')")
    have = "has no name: give it one" if len(classes) == 1 else "have no name: give one to each"
    return SpiderError(f"{' and '.join(classes)} in {path} {have} (name = 'books')")


def _several(path: Path, names: list[str]) -> SpiderError:
    return SpiderError(
        f"{path} has several spiders: choose one, "
        + " or ".join(f"{path}:{name}" for name in sorted(names))
    )


def _import(path: Path) -> ModuleType:
    if not path.is_file():
        raise SpiderError(f"there is no file {path}")
    _refuse_foreign(path)
    folder = path.resolve().parent
    _make_importable(folder)
    name = f"{_package_of(folder)}.{path.stem}"
    spec = spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        # The file is a user's: what it raises, sys.exit() included, is told in one line.
        if isinstance(error, Exception | SystemExit):
            raise _import_error(error, path) from error
        raise
    return module


def _refuse_foreign(path: Path) -> None:
    """Raise `SpiderError` for what a spider of Scrapy's asks for in vain, before it is run."""
    try:
        found = foreign_name(_parsed(path), crawler.__all__)
    except (OSError, SyntaxError, ValueError):
        return  # the import will tell
    if found is not None:
        raise SpiderError(f"{path}:{found[0]}: {found[1]}")


def _parsed(path: Path) -> ast.Module:
    """Return the tree of a file; raises what reading and parsing it do."""
    source = path.read_bytes()
    # Python cannot make two trees at once, and a finalizer that formats a traceback makes one: it
    # says SystemError then (CPython issue 106905).
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of somebody's "\d": it is told when the file runs
            return ast.parse(source, str(path))
    finally:
        if collecting:
            gc.enable()


def _package_of(folder: Path) -> str:
    """Return the name of a package that stands for the folder, for relative imports."""
    name = f"{_PACKAGE}{blake2b(str(folder).encode(), digest_size=4).hexdigest()}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name


def _make_importable(folder: Path) -> None:
    """Put the spider's folder and the project's on the path: before what is installed, but
    behind the standard library, so that a spider in `queue.py` does not replace its queue.
    """
    project = folder.parent if folder.name == SPIDERS.name else Path.cwd()
    installed = [i for i, entry in enumerate(sys.path) if entry.endswith("-packages")]
    place = installed[0] if installed else len(sys.path)
    missing = [str(p) for p in (Path.cwd(), project, folder) if str(p) not in sys.path]
    sys.path[place:place] = dict.fromkeys(missing)


def _import_error(error: BaseException, path: Path) -> SpiderError:
    if isinstance(error, SyntaxError):
        return _syntax_error(error, path)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path.resolve())]
    where = f"{path}:{lines[-1]}" if lines else str(path)
    said = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        missing = f"no module named {error.name!r}: "
        missing += instead_of_module(error.name or "") or "install it, or check its name"
        return SpiderError(f"{where}: {missing}")
    if isinstance(error, ImportError):
        if "relative import beyond" in said:
            said += f": write it without dots (what lies beside {SPIDERS}/ can be imported)"
        name = _CANNOT_IMPORT.match(said)
        return SpiderError(f"{where}: {(name and instead_of(name[1])) or said}")
    if (line := users_line(error)) and lines and frames[-1].filename != str(path.resolve()):
        where = line  # of what the file imports
    return SpiderError(f"{where}: {type(error).__name__}{': ' if said else ''}{said}")


def _syntax_error(error: SyntaxError, path: Path) -> SpiderError:
    file = error.filename or str(path)
    shown = path if file == str(path.resolve()) else file
    return SpiderError(f"{shown}:{error.lineno or 1}: {error.msg}")
