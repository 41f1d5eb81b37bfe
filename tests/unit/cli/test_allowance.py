"""What servers may be asked, and how: told first, and agreed to where the server is somebody else's."""

import sys

import pytest

from chaintune.cli.options import Allowance, ServerFlags
from chaintune.errors import ConfigError
from chaintune.execution.server_requests import ServerWork, check_requests
from chaintune.scoring.backends import Serving

FAR = ServerWork("https://api.example/v1#large (vllm)", 120, 31_000, 960)
NEAR = [ServerWork(f"http://{host}:8000/v1#own", 500, 1, 1) for host in ("localhost", "127.0.0.1", "[::1]")]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)


def test_a_server_of_this_machine_is_told_and_asked(capsys: pytest.CaptureFixture[str]) -> None:
    Allowance()(NEAR)
    assert "to be asked of http://localhost:8000/v1#own: at most 500 requests" in capsys.readouterr().err


def test_another_one_needs_leave(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        ConfigError, match=r"120 requests would go to a server that is not on this machine.*--max-requests 120"
    ):
        Allowance()([FAR])
    assert "about 31,000 tokens read and at most 960 written" in capsys.readouterr().err
    Allowance(yes=True)([FAR])
    Allowance(120)([FAR])
    with pytest.raises(ConfigError, match="3 requests would go to a server that is not on this machine"):
        Allowance()([ServerWork("what calls itself toy", 3, 1, 1)])
    with pytest.raises(ConfigError, match="max requests: expected 0 or more, got -1"):
        check_requests([], -1)
    with pytest.raises(ConfigError, match=r"max requests 600: 620 requests to servers may be needed"):
        Allowance(600, yes=True)([FAR, NEAR[0]])


def test_each_served_model_may_have_a_tokenizer_of_its_own() -> None:
    assert ServerFlags(tokenizer=["models/a"]).serving.tokenizer_of("any") == "models/a"
    serving = ServerFlags(tokenizer=["a=models/a", "b=owner/b"]).serving
    assert [serving.tokenizer_of(name) for name in "abc"] == ["models/a", "owner/b", ""]
    with pytest.raises(ConfigError, match=r"--tokenizer models/a b=owner/b: expected NAME=MODEL for each"):
        _ = ServerFlags(tokenizer=["models/a", "b=owner/b"]).serving
    with pytest.raises(ConfigError, match="requests at once: expected 1 or more, got 0"):
        Serving(at_once=0)
    with pytest.raises(ConfigError, match="timeout: expected seconds above 0"):
        Serving(timeout_seconds=0)


def test_a_tokenizer_without_a_name_is_kept_to_the_measured_models() -> None:
    serving = Serving(tokenizer="models/a").kept_to(["own"])
    assert [serving.tokenizer_of(name) for name in ("own", "judge")] == ["models/a", ""]
    assert Serving(tokenizer="models/a").kept_to([]).tokenizer_of("judge") == "models/a"


@pytest.mark.usefixtures("terminal")
def test_people_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.confirm", lambda *_args, **_named: True)
    Allowance()([FAR])
    monkeypatch.setattr("typer.confirm", lambda *_args, **_named: False)
    with pytest.raises(ConfigError, match="no request was sent"):
        Allowance()([FAR])
