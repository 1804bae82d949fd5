# SPDX-License-Identifier: GPL-2.0-or-later
"""A parser's time grows hardly faster than the size of its input, whatever the input is."""

import pytest

from tests.fuzz.growth.adversaries import Case, runs
from tests.fuzz.growth.growth import check
from tests.fuzz.growth.heavy import documents, hooks

_RUNS, _HOOKS, _DOCUMENTS = list(runs()), list(hooks()), list(documents())


def _name(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", _RUNS, ids=_name)
def test_long_repetitions_of_what_an_expression_begins_with_are_read_in_time(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", _HOOKS, ids=_name)
def test_large_fields_of_a_hook_are_read_in_time(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", _DOCUMENTS, ids=_name)
def test_large_documents_are_read_in_time(case: Case) -> None:
    check(case)
