# SPDX-License-Identifier: GPL-2.0-or-later
"""What the package has in the place of OpenBLAS calculates as numpy does, or says what it lacks."""

import ctypes
import re
import shutil
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import need
from tests.paths import ROOT

KINDS = {"s": np.float32, "d": np.float64, "c": np.complex64, "z": np.complex128}
PLAIN, TURNED = 111, 112
SOLVERS = re.compile(r"\b(linalg|polyfit|lstsq|multivariate_normal|roots|np\.fft)\b")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need(shutil.which("gcc") is not None, "gcc")
    made = tmp_path_factory.mktemp("noblas") / "noblas.so"
    source = ROOT / "packaging" / "deb" / "noblas.c"
    subprocess.run(["gcc", "-std=c11", "-shared", "-fPIC", "-o", made, source], check=True)
    return made


def numbers(kind: Any, *shape: int) -> Any:
    whole = np.arange(1, 1 + np.prod(shape)).reshape(shape) % 7
    return (whole + (1j * (whole % 3) if np.issubdtype(kind, np.complexfloating) else 0)).astype(
        kind
    )


def passed(letter: str, value: int) -> Any:
    """A scalar as BLAS takes it: complex ones by their address."""
    if letter == "s":
        return ctypes.c_float(value)
    if letter == "d":
        return ctypes.c_double(value)
    return np.array([value], KINDS[letter]).ctypes


def called(library: Path, letter: str, name: str, *arguments: Any) -> None:
    function = getattr(ctypes.CDLL(str(library)), f"scipy_cblas_{letter}{name}64_")
    large = [ctypes.c_int64(each) if isinstance(each, int) else each for each in arguments]
    arrays = [each.ctypes if isinstance(each, np.ndarray) else each for each in large]
    function(*(getattr(each, "_as_parameter_", each) for each in arrays))


@pytest.mark.parametrize("letter", KINDS)
@pytest.mark.parametrize(("turned_a", "turned_b"), [*product((PLAIN, TURNED), repeat=2)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_matrices_are_multiplied(
    library: Path, letter: str, turned_a: int, turned_b: int, order: Any
) -> None:
    kind = KINDS[letter]
    a, b, c = numbers(kind, 3, 4), numbers(kind, 4, 2), numbers(kind, 3, 2)
    expected = 2 * (a @ b) + 3 * c
    a = np.array(a if turned_a == PLAIN else a.T, order=order)
    b = np.array(b if turned_b == PLAIN else b.T, order=order)
    c = np.array(c, order=order)
    row = order == "C"
    strides = [each.shape[1 if row else 0] for each in (a, b, c)]
    alpha, beta = passed(letter, 2), passed(letter, 3)
    head = (ctypes.c_int(101 if row else 102), ctypes.c_int(turned_a), ctypes.c_int(turned_b))
    both = (alpha, a, strides[0], b, strides[1], beta, c, strides[2])
    called(library, letter, "gemm", *head, 3, 2, 4, *both)
    assert np.array_equal(c, expected)


@pytest.mark.parametrize("letter", KINDS)
@pytest.mark.parametrize("turned", [PLAIN, TURNED])
def test_a_vector_is_multiplied_with_steps_in_both_directions(
    library: Path, letter: str, turned: int
) -> None:
    kind = KINDS[letter]
    a = numbers(kind, 3, 4)
    rows, columns = a.shape if turned == PLAIN else a.shape[::-1]
    x, y = numbers(kind, 2 * columns), np.full(rows, np.nan, kind)
    expected = (a if turned == PLAIN else a.T) @ x[::2]
    head = (ctypes.c_int(101), ctypes.c_int(turned), 3, 4)
    one, none = passed(letter, 1), passed(letter, 0)
    called(library, letter, "gemv", *head, one, a, 4, x, 2, none, y, -1)
    assert np.array_equal(y[::-1], expected)


@pytest.mark.parametrize("letter", KINDS)
@pytest.mark.parametrize("half", [121, 122])
def test_half_of_a_symmetric_product_is_calculated(library: Path, letter: str, half: int) -> None:
    a = numbers(KINDS[letter], 3, 4)
    c = np.zeros((3, 3), KINDS[letter])
    one, none = passed(letter, 1), passed(letter, 0)
    head = (ctypes.c_int(101), ctypes.c_int(half), ctypes.c_int(PLAIN))
    called(library, letter, "syrk", *head, 3, 4, one, a, 4, none, c, 3)
    kept = np.triu if half == 121 else np.tril
    assert np.array_equal(c, kept(a @ a.T))


@pytest.mark.parametrize("letter", KINDS)
def test_a_multiple_is_added(library: Path, letter: str) -> None:
    x, y = numbers(KINDS[letter], 5), numbers(KINDS[letter], 5)[::-1].copy()
    expected = y + 3 * x
    called(library, letter, "axpy", 5, passed(letter, 3), x, 1, y, 1)
    assert np.array_equal(y, expected)


@pytest.mark.parametrize("letter", ["c", "z"])
def test_complex_vectors_are_multiplied(library: Path, letter: str) -> None:
    x, y = numbers(KINDS[letter], 5), numbers(KINDS[letter], 5)[::-1].copy()
    for name, expected in (("dotu_sub", x @ y), ("dotc_sub", np.vdot(x, y))):
        result = np.zeros(1, KINDS[letter])
        called(library, letter, name, 5, x, 1, y, 1, result)
        assert result[0] == expected


@pytest.mark.parametrize(("letter", "kind"), [("s", ctypes.c_float), ("d", ctypes.c_double)])
def test_vectors_are_multiplied(library: Path, letter: str, kind: Any) -> None:
    x = numbers(KINDS[letter], 5)
    function = getattr(ctypes.CDLL(str(library)), f"scipy_cblas_{letter}dot64_")
    function.restype = kind
    size, step, back = ctypes.c_int64(5), ctypes.c_int64(1), ctypes.c_int64(-1)
    got = function(size, x.ctypes._as_parameter_, step, x.ctypes._as_parameter_, back)
    assert got == x @ x[::-1]


def test_a_solver_ends_the_process_and_is_named(library: Path) -> None:
    call = f"import ctypes; ctypes.CDLL({str(library)!r}).scipy_dgesv_64_()"
    ended = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGABRT
    assert "no linear algebra: dgesv was called" in ended.stderr


def test_no_module_of_ours_needs_a_solver() -> None:
    sources = [path for folder in ("xdpctl", "api") for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100
    assert not [path for path in sources if SOLVERS.search(path.read_text())]
