"""Every path that a GPU may take differently, beside its peers, in one run of eight minutes without a network.

    python benchmarks/gpu.py [--shapes 135M 1B 8B] [--minutes 8] [--out gpu.json]

Weights are drawn at random in the shapes of real models, the tokenizer is trained on the spot, and items are made of
drawn words in the shapes of BBQ (four questions on a context, three answers) and CommonsenseQA (five short ones): what
is measured is arithmetic, not knowledge. Peers run where they are installed: lm-eval's HF backend and vLLM for scores,
TRL's trainers, transformers' `generate`. Shares of the peak are of plain products in the same run and precision (bf16
on a GPU). A part that there is no time or no memory for says so in its line. On a CPU the 135M shape runs alone, at
small sizes.

Writes one JSON, and prints one Markdown table.
"""

import argparse
import gc
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as vocabularies

from benchmarks.scoring import arithmetic
from chaintune import hessian, models
from chaintune.errors import ChaintuneError
from chaintune.models.encoding import encode_examples, encode_prompts
from chaintune.models.precision import default_device
from chaintune.records import Choices, Example, Preference, Recipe, Task
from chaintune.scoring.logprobs import answer_logprobs
from chaintune.scoring.trees import count_tokens
from chaintune.tuning.tune import tune

# Hidden, intermediate, layers, heads, heads of keys, vocabulary, tied embeddings: SmolLM2-135M, Llama 3.2 1B, Llama
# 3.1 8B; the first is for tests.
SHAPES = {
    "tiny": (32, 64, 2, 4, 2, 512, True),
    "135M": (576, 1536, 30, 9, 3, 49_152, True),
    "1B": (2048, 8192, 16, 32, 8, 128_256, True),
    "8B": (4096, 14_336, 32, 32, 8, 128_256, False),
}
_END = "</s>"
_FAILURES = (ChaintuneError, RuntimeError, ValueError, ImportError, OSError, subprocess.SubprocessError)
_ON_GPU = torch.cuda.is_available()


@dataclass(frozen=True)
class Line:
    """What one contender did in one part.

    Attributes:
        shape, part, contender: what was measured of whom.
        rate, unit: how much a second.
        share: of the peak in the same precision, where arithmetic is counted.
        gigabytes: of the device at most.
        note: what else was seen, or why there is no rate.
    """

    shape: str
    part: str
    contender: str
    rate: float | None = None
    unit: str = ""
    share: float | None = None
    gigabytes: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Sizes:
    """How much each part does."""

    items: int
    taught: int
    prompts: int
    new_tokens: int


@dataclass(frozen=True)
class Place:
    """A shape on disk, and what it is measured on.

    Attributes:
        peak: floating-point operations a second of plain products in this precision, now.
    """

    shape: str
    folder: Path
    precision: models.Precision
    peak: float
    sizes: Sizes


def words(count: int, rng: random.Random) -> str:
    """Drawn words of two to four syllables."""
    return " ".join("".join(rng.choice(("ba", "ke", "mi", "to", "ru", "sa")) for _ in range(rng.randint(2, 4)))
                    for _ in range(count))  # fmt: skip


def items(kind: str, count: int) -> list[Example]:
    """Items in the shape of `bbq` (questions in fours on one context) or of `csqa`."""
    rng, made = random.Random(kind), list[Example]()  # noqa: S311 - a benchmark
    context = ""
    for number in range(count):
        if kind == "bbq":
            context = words(45, rng) if number % 4 == 0 else context
            prompt, answers = f"{context}\nQuestion: {words(10, rng)}\nAnswer:", [f" {words(3, rng)}" for _ in range(3)]
        else:
            prompt, answers = f"Question: {words(14, rng)}\nAnswer:", [f" {words(1, rng)}" for _ in range(5)]
        choices = Choices(tuple(dict.fromkeys(answers)), 0)
        made.append(Example(f"{kind}-{number:05}", prompt, choices, {}, f"{number // 4}"))
    return made


def pairs(count: int) -> list[Example]:
    """Prompts with a chosen and a rejected answer of some sixty words."""
    rng = random.Random("pairs")  # noqa: S311 - a benchmark
    answers = ((f" {words(60, rng)}", f" {words(60, rng)}") for _ in range(count))
    return [
        Example(f"pair-{number:05}", f"Question: {words(30, rng)}\nAnswer:", Preference(*both), {}, str(number))
        for number, both in enumerate(answers)
    ]


def write_shape(folder: Path, shape: str) -> Path:
    """A folder with drawn weights in bf16 and a tokenizer that knows the words."""
    hidden, inner, layers, heads, key_heads, rows, tied = SHAPES[shape]
    config = transformers.LlamaConfig(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=key_heads, vocab_size=rows, tie_word_embeddings=tied, max_position_embeddings=2048,
        bos_token_id=None, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(default_device()):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(vocabularies.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(rows, 4096), special_tokens=[_END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    corpus = [part for one in (*items("bbq", 200), *items("csqa", 200)) for part in (one.prompt_text, *one.answers)]
    tokenizer.train_from_iterator(map(str, corpus), trainer)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=_END, pad_token=_END).save_pretrained(
        folder
    )
    return folder


def seconds_of(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds until the device has done it, and what it gave."""
    _wait()
    started = time.monotonic()
    result = work()
    _wait()
    return time.monotonic() - started, result


def _wait() -> None:
    if _ON_GPU:
        torch.cuda.synchronize()


def peak_rate(precision: models.Precision) -> float:
    """Floating-point operations a second of plain square products in what a model is computed in."""
    side, dtype = 8192 if _ON_GPU else 1536, torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(side, side, dtype=dtype, device=default_device()) for _ in range(2))
    out = torch.mm(left, right)
    times = 50 if _ON_GPU else 20
    seconds, _ = seconds_of(lambda: [torch.mm(left, right, out=out) for _ in range(times)])
    return 2 * side**3 * times / seconds


def scoring(place: Place) -> Iterator[Line]:
    """Items a second of both kinds, beside lm-eval and vLLM; in fp32, how far trees are from passes of their own."""
    loaded = models.load(place.folder, precision=place.precision)
    for kind in ("bbq", "csqa"):
        chosen = items(kind, place.sizes.items)
        encoded = encode_examples(loaded.tokenizer, chosen)
        answer_logprobs(loaded.model, encoded[:8])  # what is set up at the first call counts for nobody
        seconds, _ = seconds_of(partial(answer_logprobs, loaded.model, encoded))
        tokens = count_tokens(encoded, bin_tokens=2048)
        read = len({e.prefix + choice[:k] for e in encoded for choice in e.continuations for k in range(len(choice))})
        share = arithmetic(loaded.model, tokens, read) / seconds / place.peak
        yield Line(place.shape, f"scoring, {kind}", "chaintune", len(chosen) / seconds, "items/s", share, _memory())
        yield _of_lm_eval(place, kind, chosen, loaded)
    yield from _of_vllm(place)
    yield _agreement(place)


def _of_lm_eval(place: Place, kind: str, chosen: Sequence[Example], loaded: models.LoadedModel) -> Line:
    part, name = f"scoring, {kind}", "lm-eval, HF"
    if find_spec("lm_eval") is None:
        return Line(place.shape, part, name, note="not installed")
    from lm_eval.models.huggingface import HFLM

    from benchmarks.scoring import requests, run_theirs

    harness = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=16)
    asked, best, batch = requests(chosen), 0.0, 0
    for size in (16, 64, 256) if _ON_GPU else (16,):
        few = asked[: max(4 * size, 64)] if _ON_GPU else asked
        rate = len(few) / seconds_of(partial(run_theirs, harness, few, size))[0]
        best, batch = max((best, batch), (rate, size))
    each = len(asked) / len(chosen)
    return Line(place.shape, part, name, best / each, "items/s", gigabytes=_memory(), note=f"batch {batch}, the best")


def _of_vllm(place: Place) -> Iterator[Line]:
    """Prompt log-probabilities of every choice, as lm-eval asks vLLM for them."""
    if find_spec("vllm") is None:
        yield Line(place.shape, "scoring, bbq", "vLLM", note="not installed")
        return
    import vllm  # type: ignore[import-not-found]  # an environment of its own has it

    model = vllm.LLM(str(place.folder), dtype="bfloat16", gpu_memory_utilization=0.5, enable_prefix_caching=True)
    how = vllm.SamplingParams(max_tokens=1, prompt_logprobs=1, temperature=0)
    for kind in ("bbq", "csqa"):
        chosen = items(kind, place.sizes.items)
        texts = [one.prompt_text + str(choice) for one in chosen for choice in one.answers]
        seconds, _ = seconds_of(partial(model.generate, texts, how, use_tqdm=False))
        yield Line(place.shape, f"scoring, {kind}", "vLLM", len(chosen) / seconds, "items/s", gigabytes=_memory())


def _agreement(place: Place) -> Line:
    """The largest difference of a log-probability in fp32, along trees and one choice after another."""
    loaded = models.load(place.folder, precision="fp32")
    encoded = encode_examples(loaded.tokenizer, items("bbq", 8))
    off = 0.0
    for one, row in zip(encoded, answer_logprobs(loaded.model, encoded), strict=True):
        for answer, along in zip(one.continuations, row, strict=True):
            tokens = torch.tensor([[*one.prefix, *answer]], device=loaded.device)
            with torch.no_grad():
                logits = torch.log_softmax(loaded.model(input_ids=tokens).logits[0, :-1].float(), dim=-1)
            ends = logits[len(one.prefix) - 1 :].gather(1, tokens[0, len(one.prefix) :, None])
            off = max(off, abs(float(ends.sum()) - along))
    return Line(place.shape, "scoring in fp32", "chaintune", note=f"trees within {off:.1e} nats of plain passes")


def training(place: Place) -> Iterator[Line]:
    """Tokens a second of full tuning, LoRA and DPO, beside TRL; 4 bits under an adapter."""
    taught = Task("bbq", "safety", "1", tuple(items("bbq", place.sizes.taught)), (), (), "made", "none")
    preferred = replace(taught, train=tuple(pairs(place.sizes.taught // 4)))
    recipe = Recipe(batch_size=min(32, place.sizes.taught), learning_rate=1e-5, share_prefixes=False)
    adapter = replace(recipe, method="lora")
    stages: list[tuple[str, Task, Recipe, float]] = [
        ("training, full", taught, recipe, 6),
        ("training, LoRA", taught, adapter, 4),
        ("training, LoRA on 4 bits", taught, replace(adapter, quantize="4bit"), 4),
        ("training, DPO", preferred, recipe, 6),
    ]
    for part, task, how, passes in stages:
        try:
            yield _stage(place, part, task, how, passes)
        except _FAILURES as error:
            yield _failed(place, part, "chaintune", error)
        if part in ("training, full", "training, DPO"):
            yield _of_trl(place, part, task)


def _stage(place: Place, part: str, task: Task, recipe: Recipe, passes: float) -> Line:
    """One epoch; the share counts the products of weights, `passes` for each and each token, those of attention not."""
    precision = place.precision
    loaded = models.load(place.folder, precision=precision, quantize=recipe.quantize)
    weights = sum(weight.numel() for weight in loaded.model.parameters())
    table = loaded.model.get_input_embeddings().weight.numel()
    _forget_memory()
    with tempfile.TemporaryDirectory() as scratch:
        tuned = tune(loaded, task.train, task=task.name, recipe=recipe, seed=0, log=Path(scratch) / "steps.jsonl",
                     reload=lambda: models.load(place.folder, precision=precision))  # fmt: skip
    rate = tuned.train_tokens / tuned.seconds
    share = None if recipe.quantize else passes * (weights - table) * rate / place.peak
    note = f"micro-batch {tuned.micro_batch_size}"
    return Line(place.shape, part, "chaintune", rate, "tokens/s", share, _memory(), note)


def _of_trl(place: Place, part: str, task: Task) -> Line:
    name = "TRL"
    if find_spec("trl") is None:
        return Line(place.shape, part, name, note="not installed")
    from benchmarks.training import trl_stage

    _forget_memory()
    try:
        tokens, seconds = trl_stage(place.folder, task, place.precision, checkpointing=False)
    except _FAILURES as error:
        return _failed(place, part, name, error)
    return Line(place.shape, part, name, tokens / seconds, "tokens/s", gigabytes=_memory())


def memory_runs_out(place: Place) -> Iterator[Line]:
    """Training in the memory that is left when nearly all of it is taken: with how small a micro-batch it ends."""
    if not _ON_GPU:
        yield Line(place.shape, "out-of-memory retry", "chaintune", note="needs a GPU")
        return
    taught = Task("bbq", "safety", "1", tuple(items("bbq", 64)), (), (), "made", "none")
    loaded = models.load(place.folder, precision=place.precision)
    weights = sum(weight.numel() * weight.element_size() for weight in loaded.model.parameters())
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(max(0, free - 9 * weights - 2**30), dtype=torch.uint8, device="cuda")
    recipe = Recipe(batch_size=64, micro_batch_size=64, learning_rate=1e-5, share_prefixes=False)
    with tempfile.TemporaryDirectory() as scratch:
        tuned = tune(loaded, taught.train, task="bbq", recipe=recipe, seed=0, log=Path(scratch) / "steps.jsonl",
                     reload=lambda: models.load(place.folder, precision=place.precision))  # fmt: skip
    del taken
    yield Line(place.shape, "out-of-memory retry", "chaintune", note=f"asked for 64, ended at {tuned.micro_batch_size}")


def generation(place: Place) -> Iterator[Line]:
    """Tokens a second of texts, beside transformers' own `generate`."""
    from benchmarks.generation import run_ours, run_theirs

    loaded = models.load(place.folder, precision=place.precision)
    prompts = encode_prompts(loaded.tokenizer, items("csqa", place.sizes.prompts))
    run_ours(loaded, prompts[:4], 2)
    contenders: dict[str, Callable[[], tuple[float, list[str], int]]] = {
        "chaintune": lambda: run_ours(loaded, prompts, place.sizes.new_tokens),
        "transformers, generate": lambda: run_theirs(loaded, prompts, place.sizes.new_tokens, 16),
    }
    for name, contend in contenders.items():
        _forget_memory()
        seconds, (_, _, tokens) = seconds_of(contend)
        yield Line(place.shape, "generation", name, tokens / seconds, "tokens/s", gigabytes=_memory())


def curvature(place: Place) -> Iterator[Line]:
    """Products with the Hessian a second."""
    loaded = models.load(place.folder, precision="fp32", trainable=False)
    _forget_memory()
    search = hessian.Search(0.9, 3, max_products=6, seed=0)
    result = hessian.curvature(loaded, items("csqa", 8), task="csqa", batches=0, search=search)
    rate = result.products / result.seconds
    yield Line(place.shape, "curvature, fp32", "chaintune", rate, "products/s", gigabytes=_memory())


def two_processes(place: Place) -> Iterator[Line]:
    """Items a second of two processes that score on one device at once, together."""
    code = (
        "import sys; from pathlib import Path; from benchmarks.gpu import alone; "
        "print(alone(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))"
    )
    command = [sys.executable, "-c", code, str(place.folder), place.precision, str(place.sizes.items)]
    # On a CPU two that each take all threads would wait for each other.
    threads = {} if _ON_GPU else {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // 2))}
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | threads)  # noqa: S603 - our own
        for _ in range(2)
    ]
    rates = [float(one.communicate(timeout=300)[0].split()[-1]) for one in both]
    yield Line(place.shape, "scoring, bbq, two processes", "chaintune", sum(rates), "items/s")


def alone(folder: Path, precision: models.Precision, count: int) -> float:
    """Items a second of this process."""
    loaded = models.load(folder, precision=precision)
    encoded = encode_examples(loaded.tokenizer, items("bbq", count))
    answer_logprobs(loaded.model, encoded[:8])
    return count / seconds_of(lambda: answer_logprobs(loaded.model, encoded))[0]


PARTS: dict[str, Callable[[Place], Iterator[Line]]] = {
    "scoring": scoring,
    "training": training,
    "generation": generation,
    "curvature": curvature,
    "two processes": two_processes,
    "out-of-memory retry": memory_runs_out,
}


def measured(shapes: Sequence[str], sizes: Sizes, precision: models.Precision, *, ends: float) -> Iterator[Line]:
    """Lines of every part of every shape, until the time is over."""
    for shape in shapes:
        with tempfile.TemporaryDirectory() as scratch:
            place = Place(shape, write_shape(Path(scratch), shape), precision, peak_rate(precision), sizes)
            yield Line(shape, f"{precision} products", "torch", place.peak / 1e12, "TFLOP/s")
            for name, part in PARTS.items():
                if time.monotonic() > ends:
                    yield Line(shape, name, "chaintune", note="not run: no time was left")
                    continue
                try:
                    yield from part(place)
                except _FAILURES as error:
                    yield _failed(place, name, "chaintune", error)
                _forget_memory()


def _failed(place: Place, part: str, name: str, error: Exception) -> Line:
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return Line(place.shape, part, name, note=f"failed: {text[:200]}")


def _memory() -> float | None:
    return torch.cuda.max_memory_allocated() / 1e9 if _ON_GPU else None


def _forget_memory() -> None:
    gc.collect()
    if _ON_GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def table(lines: Sequence[Line]) -> str:
    """The lines in Markdown."""
    rows = ["| shape | part | contender | rate | % of peak | GB | |", "| --- " * 7 + "|"]
    for one in lines:
        rate = "" if one.rate is None else f"{one.rate:{',.1f' if one.rate >= 10 else '.3g'}} {one.unit}"
        share = "" if one.share is None else f"{100 * one.share:.0f}"
        size = "" if one.gigabytes is None else f"{one.gigabytes:.1f}"
        rows.append(f"| {one.shape} | {one.part} | {one.contender} | {rate} | {share} | {size} | {one.note} |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = ["135M", "1B", "8B"] if _ON_GPU else ["135M"]
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=usual)
    parser.add_argument("--minutes", type=float, default=8, help="no part begins after them")
    parser.add_argument("--items", type=int, default=2000 if _ON_GPU else 96)
    parser.add_argument("--taught", type=int, default=1024 if _ON_GPU else 32)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    options = parser.parse_args(arguments)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    device = torch.cuda.get_device_name() if _ON_GPU else f"no GPU, {torch.get_num_threads()} threads of a CPU"
    about = {
        "device": device,
        "platform": platform.platform(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    sizes = Sizes(options.items, options.taught, *((512, 128) if _ON_GPU else (32, 32)))
    precision = models.resolve_precision("auto")
    ends, lines = time.monotonic() + 60 * options.minutes, list[Line]()
    for line in measured(options.shapes, sizes, precision, ends=ends):
        lines.append(line)
        print(f"{line.shape:5} {line.part:30} {line.contender:24} {line.rate or '':<12.6} {line.unit} {line.note}",
              file=sys.stderr, flush=True)  # fmt: skip
    content = {**about, "precision": precision, "lines": [asdict(line) for line in lines]}
    options.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(", ".join(f"{name} {value}" for name, value in about.items()) + f", {precision}\n\n{table(lines)}")


if __name__ == "__main__":
    main()
