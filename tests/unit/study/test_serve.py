"""How a study file says that servers are started."""

from pathlib import Path
from typing import Any

import pytest

from chaintune.errors import ConfigError
from chaintune.study.serve import Serve, read_serve
from chaintune.study.study import Study

COMMAND = "vllm serve {model} --port {port}"
PLAIN: dict[str, Any] = {"base": "tiny", "tasks": {"a": {"role": "safety", "path": "a.jsonl"}}, "chains": [["a"]]}


def study(serve: Any) -> Study:
    return Study.from_mapping(PLAIN | {"serve": serve})


def test_a_command_alone_has_the_texts_written_by_a_server() -> None:
    serve = study(COMMAND).serve
    assert serve == Serve(COMMAND)
    assert serve is not None
    assert [serve.takes(measure) for measure in ("generation", "choice")] == [True, False]
    assert study(None).serve is None


def test_a_resolved_study_starts_the_same_servers() -> None:
    written = {"command": COMMAND, "measures": ["choice", "generation"], "ready": 30, "adapters": "-l {name}={adapter}"}
    first = study(written | {"folder": "/servers"})
    assert Study.from_mapping(first.to_mapping()) == first
    assert first.serve == Serve(COMMAND, ("choice", "generation"), 30.0, "-l {name}={adapter}")
    assert first.serve.folder == "/servers"


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        ("vllm serve {model}", "expected a command with {port}"),
        ("vllm --port {port}", "expected a command with {model}"),
        (f"{COMMAND} {{nme}}", "{nme} is none of its places; .*'name'"),
        (
            {"command": COMMAND, "measures": ["generaton"]},
            "'generaton' is measured .*; .*'generation'",
        ),
        ({"command": COMMAND, "measures": ["reference"]}, "'reference' is measured by our own scorer alone"),
        ({"command": COMMAND, "adapters": "--lora"}, "expected a command with {adapter}"),
        ({"command": f"{COMMAND} {{name}}", "adapters": "-l {name}={adapter}"}, "adapters: .*leave {name} out there"),
        ({"command": COMMAND, "ready": 0}, "ready"),
        ({"measures": ["choice"]}, "command"),
    ],
)
def test_what_cannot_be_started_is_refused(serve: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        study(serve)
    with pytest.raises(ConfigError, match=said):
        read_serve(serve)


def test_an_option_takes_a_command_or_the_keys_of_a_study_file() -> None:
    assert read_serve(COMMAND) == Serve(COMMAND)
    assert read_serve(f"{{command: '{COMMAND}', measures: choice, ready: 5}}") == Serve(COMMAND, ("choice",), 5.0)
    assert read_serve({"command": COMMAND}) == read_serve(Serve(COMMAND)) == Serve(COMMAND)
    with pytest.raises(ConfigError, match=r"expected a command, or \{command: "):
        read_serve("{command: ")


def test_places_are_quoted_and_the_shells_own_left_alone() -> None:
    serve = Serve("HOME=${HOME} serve {model} --port {port} --json '{\"a\": 1}'", adapters="--lora {name}={adapter}")
    plain = serve.filled(model=Path("/a b"), port=7)
    assert plain == "HOME=${HOME} serve '/a b' --port 7 --json '{\"a\": 1}'"
    assert serve.filled(model=Path("/m"), port=7, adapter=Path("/x y")).endswith("--lora checkpoint='/x y'")


def test_the_text_is_part_of_every_key_and_port_and_folder_are_not() -> None:
    one = Serve(COMMAND, folder="/here")
    assert one.content() == Serve(COMMAND, folder="/there", ready_seconds=1).content()
    assert one.content() != Serve(f"{COMMAND} --dtype float32").content()
    assert one.content() != Serve(COMMAND, adapters="--lora {name}={adapter}").content()


def test_nothing_runs_that_nobody_trusts() -> None:
    with pytest.raises(ConfigError, match="--trust-remote-code lets run, score and audit start it"):
        Serve(COMMAND).check_trusted(trust_remote_code=False)
    Serve(COMMAND).check_trusted(trust_remote_code=True)
