"""Folders of finished runs, and what other commands wrote for commands to read."""

import json
import shutil
from pathlib import Path
from random import Random

from tests.fuzz.damage import damage
from tests.fuzz.driver import Case


def prepare(valid: Path) -> None:
    import chaintune
    from chaintune.report.comparison import comparison_json
    from tests import run_folders, synthetic

    run_folders.run_folder(valid / "run", [run_folders.task("s", count=24), run_folders.task("c", count=24)])
    journal = {
        "study": "made",
        "state": "running",
        "cause": "",
        "process": {"host": "elsewhere", "pid": 1},
        "started_at": "2026-11-23T21:22:49+00:00",
        "updated_at": "2026-11-23T21:23:49+00:00",
        "nodes": {"total": 9, "made": 3, "reused": 1, "failed": 1, "skipped": 1},
        "running": [
            {"kind": "stage", "title": "s>c", "base": "m", "unit": "tokens", "done": 5, "total": 9, "rate": 2.5}
        ],
        "seconds_left": 12.5,
        "failed": [{"kind": "stage", "title": "c", "cause": "loss is no number"}],
        "skipped": [{"kind": "score", "title": "c on s", "cause": "c failed"}],
    }
    (valid / "run" / "status.json").write_text(json.dumps(journal))
    sides = [synthetic.scores([number % count > 0 for number in range(24)]) for count in (9, 3)]
    (valid / "comparison.json").write_text(comparison_json([chaintune.compare(*sides)], None))


def case(rng: Random, valid: Path) -> Case:
    _draw_nothing()
    if rng.random() < 0.15:
        shutil.copy(valid / "comparison.json", "comparison.json")
        return Case(damage(rng, Path("comparison.json")), ["card", "comparison.json"])
    shutil.copytree(valid / "run", "run")
    files = sorted(path for path in Path("run").rglob("*") if path.is_file())
    journal = Path("run/status.json")
    chosen = journal if rng.random() < 0.3 else rng.choice(files)
    what = damage(rng, chosen, files)
    if chosen == journal:
        return Case(what, ["status", "run", *rng.choice(([], ["--json"]))])
    return Case(
        what, rng.choice((["report", "run"], ["report", "run", "--format", "json"], ["card", "run", "--chain", "s>c"]))
    )


def _draw_nothing() -> None:
    """Drawing takes seconds, and what is drawn was made of results that could be read."""
    from chaintune.report.figures import saving

    saving.svg = lambda *_args, **_named: '<svg xmlns="http://www.w3.org/2000/svg"></svg>'
    saving.png = lambda *_args, **_named: b""
