"""`chaintune run`: train and score what a study asks for, and report what was forgotten, and by whom."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaintune.cli.amounts import read_size, size_shown
from chaintune.cli.expand import expand_dataclasses
from chaintune.cli.options import MaxStore, Out, Overrides, RunFlags, StudyFile, Tables
from chaintune.cli.output import echo
from chaintune.errors import number_of

if TYPE_CHECKING:
    from chaintune.plan.plan import Plan
    from chaintune.store.store import Store


@expand_dataclasses
def run(
    study: StudyFile,
    run_flags: RunFlags,
    out: Out = None,
    overrides: Overrides = None,
    max_store: MaxStore = "",
    tables: Tables = "few",
) -> int:
    """Run a study: tune its chains, score every checkpoint, report forgetting and biased forgetting.

    You may interrupt it at any time; the same command resumes where it stopped and computes nothing twice.
    It writes to OUT: report.html, report.md, figures/, results.parquet, results.json, scores/, study.resolved.yaml,
    provenance.json.
    """
    from chaintune.study.study import Study

    run_flags.check()
    most = read_size(max_store, "--max-store")
    wish = Study.from_yaml(study, overrides or ())
    wish = replace(wish, allow_unused=(*wish.allow_unused, *(run_flags.allow_unused or ())))
    from chaintune.cli.display import print_results  # what is wrong with the file is said before all this is loaded
    from chaintune.report.folder import read_results, write_report
    from chaintune.runs.session import prepare
    from chaintune.store.address import open_store

    folder = out or Path("runs") / wish.name
    how: dict[str, Any] = {"trust_remote_code": run_flags.trust_remote_code, "serving": run_flags.serving}
    session = prepare(wish, open_store(run_flags.store), **how)
    results = session.run(folder, run_flags.options(most), command=["chaintune", *sys.argv[1:]])
    report = read_results(folder)
    write_report(folder, session.tasks, results=report)
    print_results(report, tables, f"{folder}/report.html")
    made, reused = len(results.outcome.of("made")), len(results.outcome.of("reused"))
    echo(f"\n{made} computed, {reused} reused; the whole report is {folder}/report.html")
    echo(_weights(session.plan, session.store, folder))
    for result in results.outcome.of("failed"):
        echo(f"chaintune: {result.node.title} failed: {result.cause}", err=True)
    return 0 if results.outcome.complete else 2


def _weights(plan: "Plan", store: "Store", folder: Path) -> str:
    """Which checkpoints are kept, where, and what keeps others."""
    from chaintune.store.store import default_address, hidden

    kept = {node.key: entry for node in plan.stages if (entry := store.peek("stage", node.key))}
    if not kept:
        return f"no weights are kept (keep: {plan.keep}); keep: final in the study file keeps the ends of chains"
    size, ends = size_shown(sum(entry.size_bytes for entry in kept.values())), len(plan.final_keys)
    fewer = f"; keep: final would keep {ends} of them" if plan.keep == "all" and ends < len(kept) else ""
    place, usual = store.address, default_address()
    named = "" if place in (usual, str(Path(usual).absolute())) else f" --store {hidden(place)}"
    lie = f"weights of {number_of(len(kept), 'checkpoint')} lie in {hidden(place)}, {size}{fewer}"
    return f"{lie}: chaintune store ls --run {folder}{named}"
