"""No two runs share a key, whatever their clients call them."""

from hypothesis import example, given
from hypothesis import strategies as st

from auditor.projection.names import owner, project_key, run_key

_TEXTS = st.one_of(st.text(alphabet="a/%2F5~", max_size=12), st.text(alphabet="a/%~", min_size=95, max_size=210))
_PROJECTS = st.one_of(st.sampled_from(["default", "shop", "a", "default/a", "a%2Fa", "a/"]), _TEXTS)
_PAIRS = st.tuples(_PROJECTS, _TEXTS)


@given(_PAIRS, _PAIRS)
@example(("default", "shop/r1"), ("shop", "r1"))
@example(("default", "shop%2Fr1"), ("default", "shop/r1"))
@example(("a/b", "c"), ("a", "b/c"))
@example(("default", "r" * 201), ("default", run_key("default", "r" * 201)))
@example(("shop", "r" * 201), ("shop", run_key("shop", "r" * 201).removeprefix("shop/")))
@example(("p" * 65, "r"), (project_key("p" * 65), "r"))
def test_keys_are_one_to_one(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (run_key(*one) == run_key(*other)) == (one == other)


@given(_PROJECTS, _TEXTS)
@example("p" * 300, "r" * 300)
@example("shop", "bank/r1")
def test_a_key_names_its_project(project: str, run: str) -> None:
    assert owner(run_key(project, run)) == project_key(project)
    assert len(run_key(project, run)) <= 200


def test_ordinary_ids_stay_as_they_are() -> None:
    assert run_key("default", "run-1:a b~c") == "run-1:a b~c"
    assert run_key("shop", "a/b%") == "shop/a/b%"
    assert run_key("default", "a/b%") == "a%2Fb%25"
