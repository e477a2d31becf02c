"""Every setting, read once: defaults, `auditor.toml`, `AUDITOR_*` in the environment, the command line."""

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from auditor.errors import BadSetup, NotFound

PREFIX = "AUDITOR_"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Names are those of the environment without `AUDITOR_`, in lower case."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback unless told otherwise."""
    port: int = 8787
    """One port for the proxy, OTLP, the audit API and the dashboard."""
    otlp_grpc: int = 0
    """Port for OTLP over gRPC (usually 4317; needs grpcio); 0 means off."""
    data: Path = Path("auditor-data")
    """Folder for the ledger, caches and keys."""
    ledger: str = ""
    """`sqlite:///path`; empty means `ledger.db` in the data folder."""
    graph: str = ""
    """`sqlite:///path` or `bolt://host:port`; empty means `graph.db` in the data folder."""
    models: Path | None = None
    """The models file; without it everything that needs weights says `weights_unavailable`."""
    prices: Path | None = None
    """A price table (JSON) that replaces the one of this version."""
    executor: str = "local"
    """Where jobs run: `local`."""
    workers: int = 1
    """Worker processes the server starts; 0 when they run elsewhere (`auditor work`)."""
    upstreams: Mapping[str, str] = field(default_factory=lambda: {"openai": "https://api.openai.com"})
    """Named upstreams, dialect -> base address. This is the allow-list; requests cannot name others."""
    private_upstreams: tuple[str, ...] = ()
    """Names of upstreams whose host name may resolve to a private address; a literal address needs no entry."""
    vault_key: str = field(default="", repr=False)
    """Opens vaulted provider keys: 32 bytes in base64, or a file of 32; empty means `vault.key` in the data folder."""
    neo4j_user: str = "neo4j"
    """User of a `bolt://` graph."""
    neo4j_password: str = field(default="", repr=False)
    """Password of a `bolt://` graph."""

    @property
    def ledger_url(self) -> str:
        return self.ledger or f"sqlite:///{self.data / 'ledger.db'}"

    @property
    def graph_url(self) -> str:
        return self.graph or f"sqlite:///{self.data / 'graph.db'}"

    @property
    def ledger_file(self) -> Path | None:
        """The ledger's file; None where its address names none."""
        return Path(self.ledger_url.removeprefix("sqlite:///")) if self.ledger_url.startswith("sqlite:///") else None

    def options(self) -> str:
        """What other commands must be given to use the same stores: ` --data X`, or nothing for the defaults."""
        own = Settings()
        data = f" --data {shlex.quote(str(self.data))}" if self.data != own.data else ""
        return data + (f" --ledger {shlex.quote(self.ledger)}" if self.ledger else "")

    def make_data(self) -> None:
        """Make the data folder, for its owner only; BadSetup when that cannot be."""
        try:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as fault:
            problem = "is no folder" if isinstance(fault, (FileExistsError, NotADirectoryError)) else "cannot be made"
            problem += "" if problem == "is no folder" else f" ({fault.strerror})"
            fix = "name a folder that can be written, in --data or AUDITOR_DATA"
            raise BadSetup("data", f"{self.data} {problem}", fix) from fault

    def require_ledger(self) -> None:
        """NotFound when no ledger lies there; who only reads must not make an empty one."""
        file = self.ledger_file
        try:
            if file is None or file.exists():
                return
        except OSError as fault:
            raise BadSetup("data", f"{file} cannot be looked at ({fault.strerror})", "name another folder") from fault
        fix = "name the folder the server uses in --data or AUDITOR_DATA"
        raise NotFound("ledger", f"there is none in {file.parent} ({file.name})", fix)

    @property
    def cache(self) -> Path:
        """Prepared dictionaries and influence indexes."""
        return self.data / "cache"


def read_settings(environment: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """Settings from all four places; `flags` that are None were not given. BadSetup names the setting and its place."""
    env = os.environ if environment is None else environment
    file = Path(env.get(PREFIX + "CONFIG", "auditor.toml"))
    settings = Settings()
    names = {one.name for one in fields(Settings)}
    if file.is_file():
        settings = _apply(settings, _toml(file), names, str(file))
    elif PREFIX + "CONFIG" in env:
        raise BadSetup("AUDITOR_CONFIG", f"{file} does not exist", "name an existing TOML file or unset it")
    known = {key.removeprefix(PREFIX).lower(): value for key, value in env.items() if key.startswith(PREFIX)}
    ignored = {"config", "require_real"}
    settings = _apply(settings, {k: v for k, v in known.items() if k not in ignored}, names, "environment")
    settings = _apply(settings, {k: v for k, v in flags.items() if v is not None}, names, "command line")
    _check(settings)
    return settings


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as fault:  # no TOML, no UTF-8, or a number of thousands of digits
        raise BadSetup(str(file), str(fault), "correct the TOML") from fault
    except OSError as fault:
        raise BadSetup(str(file), fault.strerror or "cannot be read", "name a file that can be read") from fault


def _apply(settings: Settings, given: Mapping[str, Any], names: set[str], place: str) -> Settings:
    unknown = set(given) - names
    if unknown:
        raise BadSetup(f"{place}: {min(unknown)}", "is not a setting", f"use one of {', '.join(sorted(names))}")
    return replace(settings, **{name: _cast(name, value, place) for name, value in given.items()})


def _cast(name: str, value: Any, place: str) -> Any:
    where = f"{place}: {name}"
    if name in {"port", "workers", "otlp_grpc"}:
        try:
            return int(value)
        except (ValueError, TypeError, OverflowError) as fault:
            raise BadSetup(where, f"{value!r:.80} is not a whole number", "give a number") from fault
    if name in {"data", "models", "prices"}:
        if not isinstance(value, (str, Path)) or "\0" in str(value):
            raise BadSetup(where, f"{value!r:.80} is no path", "give a path")
        try:
            return Path(value).expanduser() if str(value) or name == "data" else None
        except RuntimeError as fault:
            raise BadSetup(where, f"{value!r:.80} names no home folder", "give a path without ~") from fault
    if name == "upstreams" and isinstance(value, str):
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        return {key.strip(): address.strip() for key, _, address in pairs}
    if name == "private_upstreams":
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
            raise BadSetup(where, f"{value!r:.80} is no list of hosts", 'write ["host"]')
        return tuple(part.strip() for part in parts if part.strip())
    if name == "upstreams":
        if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value.values()):
            raise BadSetup(where, f"{value!r:.80} is no table of addresses", 'write [upstreams] and openai = "https://host"')
        return value
    if not isinstance(value, str):
        raise BadSetup(where, f"{value!r:.80} is no text", "give a text")
    return value


def _check(settings: Settings) -> None:
    for name, address in settings.upstreams.items():
        if "@" in name + address.partition("?")[0]:  # said without either: they hold a secret, perhaps cut at a comma
            fix = "write https://host; let clients send the key in a header, or vault it (auditor keys vault)"
            raise BadSetup("upstreams", "an address holds a user or a password", fix)
    for name, address in settings.upstreams.items():
        if not _is_address(address):
            raise BadSetup(f"upstreams.{name}", f"{address!r} is not an http(s) address", "write name=https://host")
    if not settings.upstreams:
        raise BadSetup("upstreams", "is empty", "write AUDITOR_UPSTREAMS=openai=https://host")
    if settings.executor != "local":
        raise BadSetup("executor", f"{settings.executor!r} is not built in", "use local")
    for name, port in (("port", settings.port), ("otlp_grpc", settings.otlp_grpc)):
        if not 0 <= port <= 65535:
            raise BadSetup(name, f"{port} is not a port", "use 1 to 65535")
    if settings.otlp_grpc and settings.otlp_grpc == settings.port:
        raise BadSetup("otlp_grpc", f"{settings.otlp_grpc} is the port of everything else", "choose another, e.g. 4317")
    if settings.workers < 0:
        raise BadSetup("workers", "is negative", "use 0 or more")


def _is_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False
