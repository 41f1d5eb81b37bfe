"""Refuses, before anything is computed, a run whose checkpoints do not fit on the disk."""

import logging
import shutil
from collections.abc import Iterable
from typing import get_args

from chaintune.errors import StoreError
from chaintune.plan.nodes import Node, StageNode
from chaintune.plan.plan import Plan
from chaintune.store.store import Store, is_url
from chaintune.study.study import Keep

_log = logging.getLogger(__name__)


def check_disk_space(plan: Plan, store: Store, pending: Iterable[Node], *, max_bytes: int | None = None) -> None:
    """Refuse a run whose checkpoints do not fit, and say which `keep` would; warn where their size is not known.

    Scores are not counted: they are small beside checkpoints. A store behind a URL is compared with `max_bytes` only.

    Raises:
        StoreError: they do not fit.
    """
    pending = list(pending)
    stages = [node for node in pending if isinstance(node, StageNode)]
    free, reason = _free_bytes(store, max_bytes)
    if free is None or not stages:
        return
    if not all(plan.stage_bytes.get(node.key) for node in stages):
        _log.warning("%s: how much the checkpoints take is not known; %s", store.address, reason)
    if (needed := plan.added_bytes(pending)) <= free:
        return
    raise StoreError(
        f"{store.address}: the checkpoints of this run take up to {_readable(needed)} at once under "
        f"'keep: {plan.keep}', and {reason}; {_what_fits(plan, pending, free)}"
    )


def _free_bytes(store: Store, max_bytes: int | None) -> tuple[int | None, str]:
    """Bytes that may be added, None for any number, and the half-sentence that says why not more."""
    free = None if is_url(store.address) else shutil.disk_usage(store.root).free
    if max_bytes is not None:
        used = sum(entry.size_bytes for kind in store.kinds() for entry in store.entries(kind))
        quota = max(0, max_bytes - used)
        if free is None or quota < free:
            return quota, f"of the {_readable(max_bytes)} that the store may take, {_readable(used)} are taken"
    return free, f"{_readable(free or 0)} are free there"


def _what_fits(plan: Plan, pending: Iterable[Node], free: int) -> str:
    """What would make a run fit, the `keep` first that keeps most."""
    pending = list(pending)
    for keep in get_args(Keep):
        if (needed := plan.added_bytes(pending, keep=keep)) <= free:
            return f"'keep: {keep}' takes {_readable(needed)}; write that, or make room (chaintune store gc, --store)"
    return "no other 'keep' would fit; make room (chaintune store gc), or choose another place (--store)"


def _readable(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
