"""Names of runs and methods."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptdistill.errors import UserError
from promptdistill.run import METHOD_PATTERN, MethodParts, RunKey, family, is_cascaded, modules_of

NAMES = st.from_regex(r"[a-z0-9_]+", fullmatch=True)
SEEDS = st.integers(0, 2**31 - 1)
VARIANTS = NAMES | st.builds("{}@{}".format, NAMES, NAMES)
METHODS = st.builds(
    lambda own, cascaded, plugin: own + "+caspl" * cascaded + (f"+{plugin}" if plugin else ""),
    VARIANTS,
    st.booleans(),
    st.none() | VARIANTS.filter(lambda name: name != "caspl"),
)


@given(protocol=NAMES, dataset=NAMES, method=METHODS, shots=st.integers(0, 999), seed=st.none() | SEEDS)
def test_a_key_is_read_as_it_was_written(protocol, dataset, method, shots, seed):
    key = RunKey(protocol, dataset, method, shots, seed)
    assert RunKey.parse(str(key)) == key
    assert str(key).count("/") == 4


def test_keys_by_hand():
    assert str(RunKey("few_shot", "dtd", "coop+caspl", 16, 1)) == "few_shot/dtd/coop+caspl/16/1"
    assert str(RunKey("few_shot", "dtd", "zero_shot", 0, None)) == "few_shot/dtd/zero_shot/0/-"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "coop",
        "few_shot/dtd/coop/16",
        "few_shot/dtd/coop/16/1/1",
        "few_shot//coop/16/1",
        "few_shot/dtd/coop/-/1",
        "few_shot/dtd/coop/sixteen/1",
        "few_shot/dtd/coop/16/one",
        "few_shot/dtd/coop/16/-1",
        "few_shot/dtd/coop/16/1.parquet",
        "few_shot/dtd/coop/²/1",
    ],
)
def test_what_is_no_key(wrong):
    with pytest.raises(UserError) as caught:
        RunKey.parse(wrong)
    assert str(caught.value) == (
        f"{wrong!r} is not a run: name protocol, data set, method, shots and seed, such as "
        "base_to_novel/dtd/coop+caspl/16/1 (seed - and 0 shots where nothing is learned)."
    )


@given(text=st.text("abc/0123-+@", max_size=30))
def test_any_text_is_a_key_or_refused(text):
    """What is taken names itself again, so no run has two names but for leading zeros."""
    try:
        key = RunKey.parse(text)
    except UserError:
        return
    assert RunKey.parse(str(key)) == key


@given(method=METHODS)
def test_a_methods_name_is_read_as_it_was_written(method):
    parts = MethodParts.of(method)
    assert str(parts) == method
    assert re.fullmatch(METHOD_PATTERN, method)
    assert MethodParts.of(str(parts.usual)).usual == parts.usual
    assert not parts.usual.is_variant
    assert not is_cascaded(str(parts.alone))


def test_parts_of_a_methods_name():
    whole = "coop@long+caspl+fdbpl@hinge"
    assert MethodParts.of(whole) == ("coop", "long", True, "fdbpl", "hinge")
    assert str(MethodParts.of(whole).usual) == "coop+caspl+fdbpl"
    assert str(MethodParts.of(whole).alone) == "coop@long+fdbpl@hinge"
    assert modules_of(whole) == ("methods.coop", "plugins.fdbpl")
    assert MethodParts.of("coop+caspl") == ("coop", None, True, None, None)
    assert MethodParts.of("coop+kdpl") == ("coop", None, False, "kdpl", None)
    assert family("coop+kdpl") == "coop"
    assert modules_of("coop+caspl") == ("methods.coop",)


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            "",
            "+",
            "coop+",
            "coop@",
            "coop+caspl+",
            "coop+caspl+caspl",
            "coop+fdbpl+caspl",
            "coop+kdpl+fdbpl",
        ),
        *("coop+caspl@x", "coop+fdbpl@", "@x", "coop@x@y", "Coop", "coop kdpl", "coop+kdpl\n"),
    ],
)
def test_what_is_no_method(wrong):
    with pytest.raises(UserError, match="is not a method: name it METHOD"):
        MethodParts.of(wrong)
