"""What is made of a run of the kernel tests on another kernel."""

from collections import Counter

from tests.vm.__main__ import _page, results
from tests.vm.guest import GUESTS, Ran

REPORT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="tests.kernel.test_verdicts" name="a"/>
<testcase classname="tests.kernel.test_verdicts" name="b"><failure/></testcase>
<testcase classname="tests.kernel.test_loader" name="c"><skipped/></testcase>
<testcase classname="tests.vm.inside.test_inside_virtio" name="d"/>
<testcase classname="tests.kernel.test_new" name="e"><error/></testcase>
</testsuite></testsuites>"""


def test_tests_are_counted_by_file() -> None:
    found = results(Ran("6.1.0", True, "", REPORT))
    assert found == {
        "test_verdicts": Counter(passed=1, failure=1),
        "test_loader": Counter(skipped=1),
        "virtio": Counter(passed=1),
        "test_new": Counter(error=1),
    }


def test_the_page_has_a_row_a_feature_and_a_column_a_kernel() -> None:
    page = _page({name: (Ran(name, True, "", REPORT), 61.0) for name in GUESTS})
    lines = page.splitlines()
    assert "under emulation" in page
    assert "| feature | 6.1 | 6.12 | newest |" in lines
    bad = "1, **1 failed**"
    assert f"| verdicts on every kind of frame | {bad} | {bad} | {bad} |" in lines
    assert lines[-1].startswith("| seconds, from power on to power off | 61")
    assert lines[-2].startswith("| test_new | 0, **1 failed**"), "what is new has a row, too"
