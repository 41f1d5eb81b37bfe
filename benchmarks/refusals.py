"""The refusal scorer beside people's labels: agreement, Cohen's kappa, and errors by kind.

    CHAINTUNE_DATA=DATA python benchmarks/refusals.py [--part first|second|held-out] [--pyrit FOLDER] [--errors 20]
    python benchmarks/refusals.py --study OUT

DATA/xstest_completions holds the answers of three models to XSTest that two people labelled (Röttger et al., 2024), as
`NAME.jsonl`; FOLDER the `scorer_evals/refusal_scorer` of the wheel pyrit. Parts are split by the digest of the prompt:
the first half, of the other half the second part, and the held-out one.

OUT is the folder of a finished run of `studies/refusals.yaml`. Of 200 of its answers, 40 drawn from each of its five
checkpoints, `refusals_labels.csv` beside this file has the labels that one reader gave, a language model, without the
scorer's word; an answer that another machine wrote in other words is left out, and counted.
"""

import argparse
import csv
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from chaintune.records import Estimate, Example
from chaintune.scoring.scorers import SCORERS
from chaintune.stats.agreement import agreement
from chaintune.tasks.do_not_answer import read as read_prompts

REFUSED, PARTLY, COMPLIED, INCOHERENT = "refused", "partly refused", "complied", "incoherent"
LABELS = {"1_full_compliance": COMPLIED, "2_full_refusal": REFUSED, "3_partial_refusal": PARTLY}
PARTS = ("first", "second", "held-out")
STUDY_LABELS = {
    "full compliance": COMPLIED,
    "full refusal": REFUSED,
    "partial refusal": PARTLY,
    "incoherent": INCOHERENT,
}


@dataclass(frozen=True, slots=True)
class Labelled:
    """An answer, what people say of it, and what the scorer does.

    Attributes:
        name: of the prompt.
        kind: of the prompt.
        prompt, text: what was asked, and answered.
        people: what each labeller says, and what both settled on.
        outcome, evidence: the scorer's word.
        cluster: of the prompt; empty, and it is its own.
    """

    name: str
    kind: str
    prompt: str
    text: str
    people: tuple[str, ...]
    outcome: str = ""
    evidence: str = ""
    cluster: str = ""

    @property
    def label(self) -> str:
        """What both people settled on."""
        return self.people[-1]

    @property
    def part(self) -> str:
        """Of the parts, the one that it is in; every answer to a prompt is in the same."""
        one, other = sha256(self.prompt.encode()).digest()[:2]
        return PARTS[0 if one % 2 == 0 else 1 + other % 2]


def xstest(path: Path) -> list[Labelled]:
    """The answers of one model to XSTest."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    people = ("annotation_1", "annotation_2", "final_label")
    return judged(
        [
            Labelled(
                row["id"], row["type"], row["prompt"], row["completion"], tuple(LABELS[row[one]] for one in people)
            )
            for row in rows
        ]
    )


def pyrit(folder: Path) -> list[Labelled]:
    """The answers that come with PyRIT, labelled as refusals or none."""
    answers = []
    for path in sorted(folder.glob("*.csv")):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line[:1] != "#"]
        for number, row in enumerate(csv.DictReader(lines)):
            label = REFUSED if row["human_score"] == "1" else COMPLIED
            answers.append(
                Labelled(f"{path.stem}-{number}", path.stem, row["objective"], row["assistant_response"], (label,))
            )
    return judged(answers)


def study(out: Path) -> dict[str, list[Labelled]]:
    """The labelled answers of the checkpoints of a study of refusals, by checkpoint, and of all together."""
    prompts = {example.id: example for example in read_prompts(None).examples}
    with (Path(__file__).parent / "refusals_labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    named: dict[str, list[Labelled]] = {}
    for name in dict.fromkeys(row["checkpoint"] for row in rows):
        scores = pl.read_parquet(out / "scores" / f"{name}.on-do_not_answer.parquet", columns=["example_id", "texts"])
        texts = {example_id: written[0] for example_id, written in scores.iter_rows()}
        own = [row for row in rows if row["checkpoint"] == name]
        same = [row for row in own if text_digest(texts.get(row["example_id"], "")) == row["text_digest"]]
        print(f"{name}: {len(same)} of {len(own)} labelled answers are in {out}")
        found = [(prompts[row["example_id"]], texts[row["example_id"]], row["label"]) for row in same]
        named[name] = judged(
            [
                Labelled(
                    one.id, one.groups["area"][0], str(one.prompt), text, (STUDY_LABELS[label],), "", "", one.cluster
                )
                for one, text, label in found
            ]
        )
    return named | {"all five": [one for answers in named.values() for one in answers]}


def text_digest(text: str) -> str:
    """What a label says of the text that it is of."""
    return sha256(text.encode()).hexdigest()[:16]


def judged(answers: Sequence[Labelled]) -> list[Labelled]:
    """The answers with the scorer's word."""
    examples = [Example(one.name, one.prompt, None, {}, one.name) for one in answers]
    scorer = SCORERS.get("refusal")
    settings = scorer.settings()
    verdicts = scorer.verdicts(examples, [one.text for one in answers], settings)
    return [
        replace(one, outcome=verdict.outcome, evidence=verdict.evidence)
        for one, verdict in zip(answers, verdicts, strict=True)
    ]


def clear_table(named: dict[str, list[Labelled]]) -> list[str]:
    """Full refusals against full compliance: how many the scorer takes for a refusal, or for none, rightly."""
    lines = ["| answers of | right | full refusals found | full compliance found |", "| --- | --- | --- | --- |"]
    for name, answers in named.items():
        clear = [one for one in answers if one.label in (REFUSED, COMPLIED)]
        refused = [one for one in clear if one.label == REFUSED]
        complied = [one for one in clear if one.label == COMPLIED]
        lines.append(f"| {name} | {right(clear)} | {right(refused)} | {right(complied)} |")
    return lines


def right(answers: Sequence[Labelled]) -> str:
    """The share of answers that the scorer takes for a refusal exactly where people do, with its interval."""
    if not answers:
        return "none"
    both = [[word == REFUSED for word in words] for words in ((one.label, one.outcome) for one in answers)]
    pairs = [("refused" if label else "not", "refused" if word else "not") for label, word in both]
    share = agreement(*map(list, zip(*pairs, strict=True)), clusters=clusters(answers)).share
    return f"{sum(label == word for label, word in pairs)} of {len(pairs)}: {shown(share, 100)} %"


def clusters(answers: Sequence[Labelled]) -> list[str]:
    """Of each answer what it shares with others that are not independent of it."""
    return [one.cluster or one.name for one in answers]


def outcome_table(named: dict[str, list[Labelled]]) -> list[str]:
    """Agreement and kappa of each outcome against all others, and of all three."""
    lines = [
        "| answers of | outcome | people | scorer | both | agreement | Cohen's kappa | kappa of the two people |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, answers in named.items():
        others = [INCOHERENT] if any(INCOHERENT in (one.label, one.outcome) for one in answers) else []
        for outcome in (REFUSED, PARTLY, COMPLIED, *others, ""):
            sides = [[one.label for one in answers], [one.outcome for one in answers]]
            people = [[one.people[k] for one in answers] for k in range(min(2, len(answers[0].people) - 1))]
            if outcome:
                sides, people = ([[str(word == outcome) for word in side] for side in part] for part in (sides, people))
            counts = [side.count("True") for side in sides] if outcome else ["", ""]
            both = sum(one == other == "True" for one, other in zip(*sides, strict=True)) if outcome else ""
            own = agreement(*sides, clusters=clusters(answers))
            between = shown(agreement(*people).kappa) if len(people) == 2 else ""
            what = outcome or "all"
            lines.append(
                f"| {name} | {what} | {counts[0]} | {counts[1]} | {both} | {shown(own.share, 100)} % | "
                f"{shown(own.kappa)} | {between} |"
            )
    return lines


def shown(estimate: Estimate, factor: float = 1.0) -> str:
    """A number with its interval."""
    if estimate.reason:
        return "undefined"
    digits = 1 if factor > 1 else 2
    value, low, high = (f"{factor * end:.{digits}f}" for end in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def error_table(named: dict[str, list[Labelled]]) -> list[str]:
    """How often the scorer says what of which label, where they are not alike."""
    lines = ["| answers of | people | scorer | answers |", "| --- | --- | --- | --- |"]
    for name, answers in named.items():
        wrong = Counter((one.label, one.outcome) for one in answers if one.label != one.outcome)
        lines += [f"| {name} | {label} | {outcome} | {n} |" for (label, outcome), n in wrong.most_common()]
    return lines


def main() -> None:
    """Print the tables, and some of the answers that are judged otherwise than by people."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--pyrit", type=Path)
    parser.add_argument("--study", type=Path, help="folder of a run of studies/refusals.yaml")
    parser.add_argument("--errors", type=int, default=0, help="answers shown of each kind of error")
    options: Any = parser.parse_args()
    folder = Path(os.environ.get("CHAINTUNE_DATA", "")) / "xstest_completions"
    named = (
        study(options.study) if options.study else {path.stem: xstest(path) for path in sorted(folder.glob("*.jsonl"))}
    )
    if options.pyrit:
        named["PyRIT"] = pyrit(options.pyrit)
    if options.part:
        named = {name: [one for one in answers if one.part in options.part] for name, answers in named.items()}
    for table in (clear_table, outcome_table, error_table):
        print("\n".join(table(named)), end="\n\n")
    for name, answers in named.items() if options.errors else ():
        seen: Counter[tuple[str, str]] = Counter()
        for one in answers:
            seen[one.label, one.outcome] += 1
            if one.label != one.outcome and seen[one.label, one.outcome] <= options.errors:
                print(f"--- {name} {one.name} {one.kind}: people {one.label}, scorer {one.outcome}: {one.evidence}")
                print(f"    {one.prompt}\n    {' '.join(one.text.split())[:700]}")


if __name__ == "__main__":
    main()
