import pytest
from hypothesis import given
from hypothesis import strategies as st

from em_core.errors import UserError
from em_core.evaluation import check_disjoint


def test_a_leak_is_refused_with_number_and_example():
    with pytest.raises(UserError, match=r"2 of 3 test id\(s\) are also in the training data, for example 'b'"):
        check_disjoint(["a", "b", "c", "b"], ["x", "b", "c", "b"])


def test_missing_ids_are_no_leak():
    check_disjoint(["a", None, float("nan")], [None, "b", float("nan")])
    check_disjoint([], [])


@given(st.sets(st.text(max_size=3)), st.sets(st.text(max_size=3)))
def test_passes_exactly_when_nothing_is_shared(train, test):
    if train & test:
        with pytest.raises(UserError, match=f"{len(train & test)} of {len(test)}"):
            check_disjoint(train, test)
    else:
        check_disjoint(iter(train), iter(test))
