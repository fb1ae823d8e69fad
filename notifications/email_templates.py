"""Mail that developers write: `templates/emails/NAME/{subject.txt,body.html,body.txt}`, strict about what is missing.

Django's `string_if_invalid` sees neither `{% if %}` nor `{% for %}` nor a filter's argument. So every expression of
these templates is compiled to one of ours, which notes what it cannot find, wherever in a template it stands.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.template import Context, Engine, Template, TemplateSyntaxError
from django.template.base import FilterExpression, Lexer, NodeList, Parser, Variable, VariableDoesNotExist
from django.template.loaders import cached

from outreach.errors import DomainError

FILES = ("subject.txt", "body.html", "body.txt")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")


class UnknownTemplate(DomainError):
    """There is no e-mail template of this name."""

    code = "UNKNOWN_TEMPLATE"
    status = 400
    attr = "template_name"


class MissingVariables(DomainError):
    """The template needs variables that data does not hold."""

    code = "MISSING_VARIABLE"
    status = 400
    attr = "data"

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(set(names))
        super().__init__(f"Missing: {', '.join(f'data.{name}' for name in self.names)}.")


class UnrenderableData(DomainError):
    """The template cannot be rendered with this data."""

    code = "TEMPLATE_DATA_INVALID"
    status = 400
    attr = "data"


@dataclass(frozen=True)
class Rendered:
    """A mail's words."""

    subject: str
    html: str
    text: str


def names() -> list[str]:
    """The templates that can be sent: directories that hold all three files."""
    return _names(_root())


def render(name: str, data: dict[str, Any], *, subject: str = "") -> Rendered:
    """The words of one mail; a `subject` replaces the template's own. Templates also know it as `subject`.

    Every variable that rendering looks up must be in `data`, also in conditions, loops and filters; null prints
    nothing. Values are escaped in the HTML only. Raises UnknownTemplate, MissingVariables, which names all of
    them, and UnrenderableData, for values of another kind than the template expects.
    """
    if name not in names():
        raise UnknownTemplate(f"There is no template {name[:100]!r}. Known are: {', '.join(names())}.")
    misses: list[str] = []
    words = {} if "subject" in data or not subject else {"subject": subject}
    subject = subject or _rendered(f"{name}/subject.txt", data | words, misses).strip()
    words = {} if "subject" in data else {"subject": subject}
    html, text = (_rendered(f"{name}/{file}", data | words, misses) for file in FILES[1:])
    if misses:
        raise MissingVariables(misses)
    return Rendered(subject=subject, html=html, text=text)


def problems() -> dict[str, str]:
    """What is wrong with the template files, by path: one is missing or does not compile."""
    found = {}
    for directory in _directories(_root()):
        for file in FILES:
            try:
                _engine(_root()).get_template(f"{directory.name}/{file}")
            except Exception as error:
                found[f"{directory.name}/{file}"] = f"{type(error).__name__}: {error}"
    return found


class _Mapping:
    """An object of the data that knows where it stands in it. Not a dict: a missing `items` must not find a method."""

    def __init__(self, items: dict[str, Any], path: str) -> None:
        self._items, self._path = items, path

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


class _Sequence(list[Any]):
    """A list of the data that knows where it stands in it."""

    _path = ""


class _NotingContext(Context):
    """Carries the list of what was not found through includes, loops and copies."""

    misses: list[str]


class _StrictExpression(FilterExpression):
    """Notes what it does not find. Prints nothing for null, where Django prints None."""

    def resolve(self, context: Any, ignore_failures: bool = False) -> Any:
        missing = [name for variable in self._variables() if (name := _missing(variable, context))]
        if missing:
            context.misses.extend(missing)
            return None if ignore_failures else ""
        found = super().resolve(context, ignore_failures)
        return "" if found is None and not ignore_failures else found

    def _variables(self) -> Iterable[Variable]:
        if isinstance(self.var, Variable):
            yield self.var
        for _, arguments in self.filters:
            yield from (argument for is_variable, argument in arguments if is_variable)


class _StrictParser(Parser):
    def compile_filter(self, token: str) -> FilterExpression:
        return _StrictExpression(token, self)


class _StrictTemplate(Template):
    def compile_nodelist(self) -> NodeList:
        engine = self.engine
        parser = _StrictParser(Lexer(self.source).tokenize(), engine.template_libraries, engine.template_builtins, self.origin)
        nodes = parser.parse()
        self.extra_data = parser.extra_data
        return nodes


class _StrictLoader(cached.Loader):
    """Compiles each file once, and strictly: also what a template includes or extends."""

    def __init__(self, engine: Engine, loaders: list[Any]) -> None:
        super().__init__(engine, loaders)
        self._strict: dict[str, Template] = {}

    def get_template(self, template_name: str, skip: Any = None) -> Template:
        key = self.cache_key(template_name, skip)
        if key not in self._strict:
            found = super().get_template(template_name, skip)
            self._strict[key] = _StrictTemplate(found.source, found.origin, found.name, self.engine)
        return self._strict[key]


def _root() -> Path:
    return Path(settings.EMAIL_TEMPLATES)


def _directories(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and _NAME.fullmatch(path.name)) if root.is_dir() else []


@lru_cache(maxsize=8)
def _names(root: Path) -> list[str]:
    # Read once a process, like the templates themselves: they change with a deployment.
    return [path.name for path in _directories(root) if all((path / file).is_file() for file in FILES)]


@lru_cache(maxsize=8)
def _engine(root: Path) -> Engine:
    files = "django.template.loaders.filesystem.Loader", [str(root)]
    return Engine(loaders=[(f"{__name__}.{_StrictLoader.__name__}", [files])])


def _rendered(path: str, data: dict[str, Any], misses: list[str]) -> str:
    context = _NotingContext({key: _placed(value, key) for key, value in data.items()}, autoescape=path.endswith(".html"))
    context.misses = misses
    known = len(misses)
    try:
        return _engine(_root()).get_template(path).render(context)
    except TemplateSyntaxError:
        raise
    except Exception as error:
        if len(misses) > known:
            return ""  # it broke over what is missing
        raise UnrenderableData(f"{path} cannot be rendered with this data: {type(error).__name__}: {error}") from error


def _placed(value: Any, path: str) -> Any:
    """The same value; objects and lists in it know their paths."""
    if isinstance(value, dict):
        return _Mapping({key: _placed(item, f"{path}.{key}") for key, item in value.items()}, path)
    if isinstance(value, list):
        sequence = _Sequence(_placed(item, f"{path}.{index}") for index, item in enumerate(value))
        sequence._path = path
        return sequence
    return value


def _missing(variable: Variable, context: Context) -> str:
    """Where in the data the variable should have been, or nothing: `items.2.price` for `item.price` of the third."""
    steps = variable.lookups or ()
    if steps and steps[0] not in context:
        return str(steps[0])
    current: Any = context[steps[0]] if steps else None
    path = str(steps[0]) if steps else ""
    for step in steps[1:]:
        path = f"{getattr(current, '_path', path)}.{step}"
        if isinstance(current, _Mapping):
            found = step in current
        elif isinstance(current, _Sequence):
            found = step.isdecimal() and int(step) < len(current)
        elif current is None or isinstance(current, str | int | float):
            found = False  # not Python's methods of them either
        else:
            return "" if _resolves(variable, context) else str(variable.var)  # forloop, block
        if not found:
            return path
        current = current[int(step) if isinstance(current, list) else step]
    return ""


def _resolves(variable: Variable, context: Context) -> bool:
    try:
        variable.resolve(context)
    except VariableDoesNotExist:
        return False
    return True
