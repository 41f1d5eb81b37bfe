"""The name of a model behind a server, `URL#NAME`, and what stands for the model in keys."""

from urllib.parse import urlsplit

from chaintune.errors import ModelError
from chaintune.scoring.backends.server import KEY, Server

OFFICIAL = "https://api.openai.com/v1"
# Programs that write several samples to one request.
_WRITE_SEVERAL = ("vllm", "sglang")
# What llama.cpp says of the file that it serves.
_META = {"n_params": "parameters", "size": "bytes"}


def split_reference(reference: str) -> tuple[str, str]:
    """The address of the server and the name of the model there.

    Raises:
        ModelError: it names no model, or an address with a user, a password or a query, which may be secrets.

    Example:
        >>> split_reference("http://localhost:8000/v1#own-judge"), split_reference("gpt-9")
        (('http://localhost:8000/v1', 'own-judge'), ('https://api.openai.com/v1', 'gpt-9'))
    """
    url, hash_sign, name = reference.rpartition("#")
    if not hash_sign:
        url, name = ("", "") if "://" in reference else (OFFICIAL, reference)
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a bracket without its other one, or a port that is no number
        parts, is_address = urlsplit(""), False
    if not name or not is_address:
        raise ModelError(
            f"model 'openai:{reference.partition('@')[2] or reference}': expected openai:URL#NAME, such as "
            "openai:http://localhost:8000/v1#NAME"
        )
    if parts.username is not None or parts.password is not None or parts.query:
        raise ModelError(
            f"model 'openai:...#{name}': its address holds a user, a password or a query, which would be written into "
            f"results; hand the key over in {KEY}"
        )
    return url.rstrip("/"), name


def writes_several(identity: str) -> bool:
    """Whether the server of a model, as it is identified, is known to write several samples to one request.

    Example:
        >>> writes_several("http://localhost:8000/v1#own (vllm)"), writes_several("http://localhost:8000/v1#own")
        (True, False)
    """
    return identity.startswith(f"{OFFICIAL}#") or any(f" ({kind}" in identity for kind in _WRITE_SEVERAL)


def identity_of(reference: str) -> str:
    """Address, name, and what the server says of the model that stays the same while it serves it."""
    url, name = split_reference(reference)
    with Server(url, name) as server:
        entry, base, meta, shown = server.entry, server.base_entry, server.entry.get("meta"), server.shown
    # `created` is the time of the request with most servers, and a longer context changes no answer.
    said = [entry.get("owned_by"), entry.get("root"), base.get("root") if base is not entry else None]
    said += [f"{meta[key]} {what}" for key, what in _META.items() if key in meta] if isinstance(meta, dict) else []
    words = [shown(one) for one in dict.fromkeys(map(str, filter(None, said))) if one != name]
    return f"{url}#{name}" + (f" ({', '.join(words)})" if words else "")
