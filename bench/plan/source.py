"""A YAML file with the line of every key, so that an error can name it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.errors import InputError

_PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][\d_]*)?(\.\d*)?([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

Loc = tuple[str | int, ...]

# The C parser is ten times faster on long lists of cells; PyYAML builds without it where libyaml is missing.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

DEPTH = 100
EVENTS = 200_000
"""More than any config or price file needs: 10,000 workloads that are written out are 80,000 events."""


@dataclass
class Source:
    """Parsed data, and for each location in it the line where it stands (1-based)."""

    path: Path
    data: Any
    lines: dict[Loc, int] = field(default_factory=dict)

    def error(self, loc: Loc, message: str) -> str:
        """One line: file, line, key, message. A location that does not stand in the file points at its parent."""
        known = loc
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known, 1)
        return f"{self.path}:{line}: {_dotted(loc)}{message}"


def _dotted(loc: Loc) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return f"{text}: " if text else ""


def load(path: Path, empty: str = "see configs/quickstart.yaml") -> Source:
    """Read and parse a YAML file. Raises InputError for a missing, unreadable, broken, empty or endless file.

    `empty` is what to do about a file with nothing in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; see the examples in configs/") from None
    except IsADirectoryError:
        beside = Path(f"{path}.yaml")
        instead = f"did you mean {beside}?" if beside.is_file() else "name a YAML file in it"
        raise InputError(f"{path}: a folder, and no config; {instead}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read it ({error.strerror})") from None
    loader = None
    try:
        _check_size(text, path)
        loader = _Loader(text)
        node = loader.get_single_node()
        source = Source(path, None)
        if node is None:
            raise InputError(f"{path}: the file is empty; {empty}")
        source.data = _build(loader, node, (), source)
        return source
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InputError(f"{path}{where}: broken YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: broken YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply for a config") from None
    finally:
        if loader is not None:
            loader.dispose()


def _check_size(text: str, path: Path) -> None:
    """Raises InputError for what the next steps cannot take: they recurse, libyaml in C, and follow every alias.

    The parser of events does not recurse, so that it may look first.
    """
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        mark = event.start_mark
        where = f"{path}:{mark.line + 1 if mark else 1}: "
        if isinstance(event, yaml.AliasEvent):
            raise InputError(f"{where}*{event.anchor}: aliases are not read here; write the value out")
        if depth > DEPTH:
            raise InputError(f"{where}nested more than {DEPTH} deep; a config needs no more than a few levels")
        if count > EVENTS:
            raise InputError(f"{where}too long, over {EVENTS:,} keys and values; lists make a matrix: shorten the file")


def _build(loader: Any, node: yaml.Node, loc: Loc, source: Source) -> Any:
    source.lines.setdefault(loc, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                # A second value for a key would silently replace the first: the wrong number under the right name.
                first = source.lines[(*loc, key)]
                raise InputError(
                    f"{source.path}:{line}: {_dotted((*loc, key))}stands here twice (first in line {first})"
                )
            source.lines[(*loc, key)] = line
            result[key] = _build(loader, value_node, (*loc, key), source)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, child, (*loc, index), source) for index, child in enumerate(node.value)]
    if node.tag.endswith((":int", ":float")) and not _PLAIN_NUMBER.fullmatch(str(node.value)):
        # YAML 1.1 reads 1:30 as ninety and 010 as eight: a number that nobody meant.
        line = node.start_mark.line + 1
        quoted = f', or quote it where text is meant: "{node.value}"' if ":" in node.value else ""
        said = f"write {node.value} as a plain decimal number{quoted}"
        raise InputError(f"{source.path}:{line}: {_dotted(loc)}{said}")
    try:
        return loader.construct_object(node, deep=True)
    except ValueError as error:
        line = node.start_mark.line + 1
        raise InputError(f"{source.path}:{line}: {_dotted(loc)}not a value ({error}); quote it if it is text") from None
