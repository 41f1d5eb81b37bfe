"""What the site has beside the pages that are written: the reference, made of docstrings and of `--help`.

A block of a page that holds nothing but `quickstart.txt: TITLE` becomes that part of what the demo printed, and one
that holds nothing but the name of a study file becomes that file, so that there is one copy of each.
"""

import importlib
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer
import yaml

from chaintune.errors import ConfigError
from chaintune.study.json_schema import Schema, study_schema
from chaintune.tuning.mitigations import MITIGATIONS

FOLDERS = ("Tutorial", "How-to", "Reference", "Explanation", "Decisions")
# Beside the public door; each shows what its `__all__` names and what no page before it has shown.
ROOMS = ("records", "forgetting", "stats", "tasks", "gate", "hessian")
# Ends of names that are not for the site.
NO_PAGES = (".py", ".txt", "__pycache__")
FIRST = ("command-line", "study-file", "python")
SECTIONS = {
    "task": "`tasks.NAME`: one task",
    "columns": "`tasks.NAME.columns`: the columns of your own data",
    "split": "`tasks.NAME.split`, of a data set with several",
    "recipe": "`recipe`: how a stage trains",
    "curvature": "`curvature`",
    "serve": "`serve`",
    "external": "`external`: a step of a chain that another program trains",
}
HELP_WIDTH = 84
SIGNS = {"exclusiveMinimum": "&gt;", "minimum": "&ge;", "exclusiveMaximum": "&lt;", "maximum": "&le;"}
WORDS = {
    "integer": "a whole number", "number": "a number", "boolean": "`true` or `false`", "object": "a mapping",
    "string": "text", "array": "a list", "null": "",
}  # fmt: skip
STUDY_FILE = """\
Every key, made of the schema that checks it. What is not written has its default; an empty cell is none. Editors
complete these keys and mark wrong ones: run `chaintune schema > study.schema.json` beside the study file, and write
into it the comment

```yaml
# yaml-language-server: $schema=study.schema.json
```

Visual Studio Code with its YAML extension reads that comment, and so do others. `chaintune init FILE` writes a study
file with it for your own data, and `chaintune plan` says the rest: what depends on other keys, data and models."""
ROOT = Path(__file__).parents[1]
SHOWN = re.compile(r"(?<=\n)(?:quickstart\.txt: (.+)|(studies/[\w-]+\.yaml))(?=\n```)")


def build(site: Path) -> int:
    """The exit code of Zensical, which is not 0 where a page, a link or a name is wrong.

    Args:
        site: the folder that the site is put into, in place of what it holds.
    """
    with TemporaryDirectory() as folder:
        configuration = prepare(Path(folder))
        asked = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(configuration)]
        if not (code := subprocess.run(asked, check=False).returncode):  # noqa: S603
            shutil.rmtree(site, ignore_errors=True)
            shutil.copytree(configuration.with_name("site"), site)
    return code


def prepare(folder: Path) -> Path:
    """The site's configuration, written into a folder beside all pages: those that are written and those made here."""
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=no_pages)
    pages = {"command-line": command_line(), "study-file": study_file(), "python": python()}
    pages |= dict(rooms()) | {"mitigations": mitigations()}
    reference = folder / "docs" / "reference"
    reference.mkdir()
    for name, text in pages.items():
        (reference / f"{name}.md").write_text(text, encoding="utf-8")
    for path in (folder / "docs").rglob("*.ipynb"):
        path.with_suffix(".md").write_text(notebook(path), encoding="utf-8")
    for page in (folder / "docs").rglob("*.md"):
        text = with_demo(page.read_text(encoding="utf-8"), page.name)
        page.write_text(text.replace(".ipynb)", ".md)"), encoding="utf-8")
    about = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    reading = about["plugins"][1]["mkdocstrings"]["handlers"]["python"]
    reading["paths"] = [str(ROOT / path) for path in reading["paths"]]
    reading["options"]["extensions"] = [str(ROOT / path) for path in reading["options"]["extensions"]]
    about |= {"docs_dir": "docs", "site_dir": "site", "nav": navigation(folder / "docs")}
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(about, sort_keys=False), encoding="utf-8")
    return folder / "mkdocs.yml"


def no_pages(folder: str, names: list[str]) -> set[str]:
    """What of a folder is not for the site: code, and of the results that the findings quote all but their figures."""
    results = Path(folder).name == "paper"
    return {name for name in names if name.endswith(NO_PAGES) or (results and name != "figures")}


def notebook(path: Path) -> str:
    """The page of a notebook: its cells in order, without what they show, and the notebook itself to take along."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]).strip() for cell in cells]
    shown = [
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell, text in zip(cells, texts, strict=True)
    ]
    own = f'<a href="{path.name}" download>The notebook</a>'
    return "\n\n".join([shown[0], own, *shown[1:]]) + "\n"


def navigation(docs: Path) -> list[Any]:
    """The folders in the order in which one reads them, each with its pages; a folder that is new comes last."""
    order = [*(name.lower() for name in FOLDERS), *(f"{name}.md" for name in FIRST)]

    def place(path: Path) -> tuple[int, str]:
        return order.index(path.name) if path.name in order else len(order), path.name

    folders = sorted((path for path in docs.iterdir() if any(path.glob("*.md"))), key=place)
    return [
        "index.md",
        *(
            {path.name.capitalize(): [f"{path.name}/{page.name}" for page in sorted(path.glob("*.md"), key=place)]}
            for path in folders
        ),
    ]


def with_demo(markdown: str, where: str) -> str:
    """A page's text with the parts of the demo that it asks for.

    Raises:
        ConfigError: there is no such part.
    """
    if not SHOWN.search(markdown):
        return markdown
    known = demo((ROOT / "docs" / "tutorial" / "quickstart.txt").read_text(encoding="utf-8"))

    def part(found: re.Match[str]) -> str:
        if found[2]:
            return (ROOT / found[2]).read_text(encoding="utf-8").strip()
        if found[1] not in known:
            raise ConfigError(
                f"{where}: quickstart.txt shows no '{found[1]}' of the demo; it shows: {', '.join(known)}"
            )
        return known[found[1]]

    return SHOWN.sub(part, markdown)


def demo(printed: str) -> dict[str, str]:
    """What `make demo` printed: each table under its title, and the `words` that follow."""
    paragraphs = printed.strip("\n").split("\n\n")
    tables = {part.partition("\n")[0]: part for part in paragraphs if "\n " in part}
    return tables | {"words": "\n\n".join(part for part in paragraphs if "\n " not in part)}


def command_line() -> str:
    """Every command's own help."""
    from chaintune import cli
    from chaintune.cli.app import app

    codes = (inspect.getdoc(cli) or "").split("\n\n", maxsplit=1)[1]
    parts = ["# Command line", codes, "What follows is `--help` of every command, as it is printed."]
    for path, text in helps(typer.main.get_command(app), "chaintune"):
        parts.append(f"## `{path}`\n\n```text\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def helps(command: Any, path: str) -> Iterable[tuple[str, str]]:
    """Name and help of a command and of those below it."""
    with command.make_context(path, [], resilient_parsing=True) as context:
        context.terminal_width = HELP_WIDTH
        yield path, command.get_help(context).strip()
    for name, inner in getattr(command, "commands", {}).items():
        yield from helps(inner, f"{path} {name}")


def study_file() -> str:
    """Every key of a study file, made of the schema by which editors check one."""
    schema = study_schema()
    parts = ["# Study file", STUDY_FILE, "## Keys at the top", keys_of(schema)]
    for name, part in schema["$defs"].items():
        title = SECTIONS.get(name) or f"`mitigations`: `{name.removeprefix('mitigation_')}`"
        parts += [f"## {title}", keys_of(part)]
    return "\n\n".join(parts) + "\n"


def keys_of(schema: Schema) -> str:
    """A table of the keys of a mapping."""
    rows = ["| key | type | default | meaning | example |", "| --- | --- | --- | --- | --- |"]
    for key, own in schema["properties"].items():
        default = "needed" if key in schema.get("required", ()) else shown(own["default"]) if "default" in own else ""
        cells = (f"`{key}`", typed(own), default, own["description"], shown(own["examples"][0]))
        rows.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(rows)


def shown(value: Any) -> str:
    """A value as a study file has it; nothing where there is none."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).removesuffix("\n...\n").strip()
    return "" if value in (None, "", [], {}) else f"`{text}`"


def typed(schema: Schema) -> str:
    """What may stand there, in words."""
    if "anyOf" in schema:
        ways = list(dict.fromkeys(filter(None, map(typed, schema["anyOf"]))))
        alone = [way for way in ways if f"a list of {way}" in ways]
        several = [f"{way}, one or several" if way in alone else way for way in ways]
        return " or ".join(way for way in several if way.removeprefix("a list of ") not in alone)
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]) if value is not None)
    if "$ref" in schema:
        return f"keys of {schema['$ref'].rpartition('/')[2]}"
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(filter(None, (typed(schema | {"type": one}) for one in kind)))
    if kind in ("integer", "number"):
        limits = [f"{sign} {schema[name]:,}" for name, sign in SIGNS.items() if name in schema]
        return " ".join([WORDS[kind], " and ".join(limits)]).strip()
    items = typed(schema["items"]) if kind == "array" and "items" in schema else ""
    return f"a list of {items}" if items else WORDS.get(kind or "string", "")


def python() -> str:
    """The public door."""
    return page("Python", "What `import chaintune` offers.", door())


def door() -> dict[str, str]:
    """Every public name, and where it is imported from; errors last."""
    import chaintune

    homes = chaintune._HOMES
    names = sorted(set(chaintune.__all__) - set(ROOMS), key=lambda name: (name.endswith("Error"), name))
    found = {f"chaintune.{name}": f"chaintune.{homes.get(name, 'errors')}.{name}" for name in names}
    # The file that it lies in has its name, and would be shown instead.
    return found | {"chaintune.compare": "chaintune.logs.compare.compare"}


def rooms() -> Iterable[tuple[str, str]]:
    """A page for each room that others may build on."""
    shown = set(door().values())
    for room in ROOMS:
        module = importlib.import_module(f"chaintune.{room}")
        named = {f"chaintune.{room}.{name}": getattr(module, name) for name in module.__all__}
        homes = {name: f"{v.__module__}.{v.__qualname__}" for name, v in named.items() if documented(v)}
        entries = {name: home for name, home in homes.items() if name not in shown}
        yield room, page(f"chaintune.{room}", inspect.getdoc(module) or "", entries)


def documented(value: Any) -> bool:
    """Whether it is a class or function of ours, not an alias of types or a constant."""
    return (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith("chaintune")


def mitigations() -> str:
    """One entry a mitigation, where its code lies."""
    homes = {name: home.partition(":")[0] for name, home in MITIGATIONS.shipped.items()}
    paths = [f"{home}.{MITIGATIONS.get(name).own_trainer}" for name, home in homes.items()]
    text = "One file each, for a study or for your own Trainer: [how to](../how-to/mitigations.md)."
    return page("chaintune.tuning.mitigations", text, {path: path for path in paths})


def page(title: str, text: str, entries: Mapping[str, str]) -> str:
    """A page with some docstrings, read without importing what they are of.

    Args:
        title: its heading.
        text: below it.
        entries: name that is shown -> where the object is imported from.
    """
    parts = [f"# {title}", text]
    for name, path in entries.items():
        label = name.removeprefix(f"{title}.").removeprefix("chaintune.")
        parts.append(f"::: {path}\n    options:\n      heading: {name}\n      toc_label: {label}")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
