"""Everything this server refuses, drawn as one tree.

AuditorError
├── BadInput            the caller sent something unusable (HTTP 400/422); names the field and the fix
│   └── BadValue        a value that cannot be recorded exactly
├── NotFound            no such run, step, claim, record (HTTP 404)
├── Refused             not allowed here: upstream not on the allow-list, key of another project (HTTP 403)
│   └── Unauthorised    no key, or one that nobody knows (HTTP 401)
├── BadSetup            settings or the models file are wrong: shown without a traceback, exit code 2
├── LedgerBroken        a stored record or payload does not match its hash
└── Unavailable         a part we depend on is down or busy (HTTP 503)

Each carries `code` (stable, for machines), `field` (what is wrong, or None) and `fix` (what to do).
"""


class AuditorError(Exception):
    """Base of every error raised on purpose; `code` is stable, `fix` says what to do."""

    code = "error"
    status = 500

    def __init__(self, field: str | None, problem: str, fix: str) -> None:
        super().__init__(f"{field}: {problem}; {fix}" if field else f"{problem}; {fix}")
        self.field = field
        self.problem = problem
        self.fix = fix


class BadInput(AuditorError):
    code = "bad_input"
    status = 400


class BadValue(BadInput):
    code = "bad_value"


class NotFound(AuditorError):
    code = "not_found"
    status = 404


class Refused(AuditorError):
    code = "refused"
    status = 403


class Unauthorised(Refused):
    code = "unauthorised"
    status = 401


class BadSetup(AuditorError):
    code = "bad_setup"


class LedgerBroken(AuditorError):
    code = "ledger_broken"


class Unavailable(AuditorError):
    code = "unavailable"
    status = 503
