"""One of two processes that share a wide model: `python sharded_program.py MODEL HOW OUT`, with torchrun's variables.

HOW is `whole`, each reads the model before it is cut, or `on_meta`, the first one alone does. What memory each has used
is written into the folder OUT.
"""

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

from chaintune.models import load
from chaintune.models.sharding import shard, weight_bytes

_SECONDS_BETWEEN_LOOKS = 0.002


def own_bytes() -> int:
    """Memory that is this process's alone; pages of files, which all share and the system may drop, do not count."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


@contextmanager
def highest(seen: list[int]) -> Iterator[None]:
    """Within this context the process's own memory is looked at, again and again."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            seen.append(own_bytes())

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


def main(folder: Path, how: str, out: Path) -> None:
    dist.init_process_group("gloo")
    rank, seen = dist.get_rank(), [own_bytes()]
    with highest(seen):
        loaded = load(folder, precision="fp32", to_device=False, on_meta=how == "hollow" and rank > 0)
        weights = weight_bytes(loaded.model)
        dist.barrier()
        shard(loaded.model)
        seen.append(own_bytes())
    used = {"peak": max(seen) - seen[0], "kept": seen[-1] - seen[0], "weights": weights}
    (out / f"{how}-{rank}.json").write_text(json.dumps(used))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
