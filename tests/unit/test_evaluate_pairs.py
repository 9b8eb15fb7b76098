from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.errors import ExitCode, InputError
from edge.evaluation.pairs import parse_pairs, read_pairs

OFFICIAL = (
    "2\t2\n"
    "Ann_A\t1\t2\nBea_B\t3\t14\n"
    "Ann_A\t1\tBea_B\t3\nCid_C\t1\tAnn_A\t2\n"
    "Dan_D\t1\t2\nEve_E\t1\t2\n"
    "Dan_D\t1\tEve_E\t1\nFay_F\t7\tDan_D\t2\n"
)
TABLE = "path_a,path_b,same\na1.jpg,a2.jpg,1\na2.jpg,a3.jpg,true\na1.jpg,b1.jpg,0\nb1.jpg,a3.jpg,no\n"


def test_the_official_form_with_its_folds() -> None:
    pairs = parse_pairs(OFFICIAL.encode())
    assert pairs.official_folds
    assert pairs.same.tolist() == [True, True, False, False] * 2
    assert pairs.folds.tolist() == [0] * 4 + [1] * 4
    assert pairs.pictures[pairs.first[1]] == "Bea_B/Bea_B_0003.jpg"
    assert pairs.pictures[pairs.second[1]] == "Bea_B/Bea_B_0014.jpg"
    assert pairs.pictures[pairs.second[3]] == "Ann_A/Ann_A_0002.jpg"
    assert len(set(pairs.pictures)) == len(pairs.pictures)
    assert pairs.persons.max() + 1 == 6
    assert pairs.persons[pairs.first[0]] == pairs.persons[pairs.first[2]]


def test_the_official_form_without_folds_is_dealt_out() -> None:
    text = "2\nAnn_A\t1\t2\nBea_B\t1\t2\nAnn_A\t1\tBea_B\t1\nBea_B\t2\tAnn_A\t2\n"
    pairs = parse_pairs(text.encode())
    assert not pairs.official_folds
    assert pairs.folds.tolist() == [0, 1, 0, 1]


def test_a_table_whose_people_are_tied_together() -> None:
    pairs = parse_pairs(b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode())
    assert pairs.pictures == ("a1.jpg", "a2.jpg", "a3.jpg", "b1.jpg")
    assert pairs.persons.tolist() == [0, 0, 0, 1]
    assert pairs.same.tolist() == [True, True, False, False]
    assert not pairs.official_folds


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        (b"", "PAIRS_EMPTY", ""),
        (b" \n\n", "PAIRS_EMPTY", ""),
        (b"path_a,path_b,same\n", "PAIRS_EMPTY", ""),
        (b"10\t300\n", "PAIRS_EMPTY", ""),
        (b"\xff\xfe\x00", "PAIRS_FORMAT", "Line 1"),
        (b"one,two,same\na,b,1\n", "PAIRS_FORMAT", "Line 1"),
        (b"path_a,path_b,same\na,b,1\nc,d\n", "PAIRS_FORMAT", "Line 3"),
        (b"path_a,path_b,same\na,b,NaN\n", "PAIRS_FORMAT", "Line 2"),
        (b"path_a,path_b,same\na,a,1\n", "PAIRS_FORMAT", "Line 2"),
        (b"path_a,path_b,same\na/b,./a//b,1\n", "PAIRS_FORMAT", "Line 2"),
        (b"path_a,path_b,same\na,b,1\nb,c,1\n./a,d/../c,0\n", "PAIRS_FORMAT", "Line 4"),
        (b"path_a,path_b,same\n,b,1\n", "PAIRS_FORMAT", "Line 2"),
        (b'path_a,path_b,same\n"a,b,1\n', "PAIRS_FORMAT", "Line"),
        (b"path_a,path_b,same\na,b,1\nb,c,1\na,c,0\n", "PAIRS_FORMAT", "Line 4"),
        (b"path_a,path_b,same\n\na,b,1\n\nb,c,1\na,c,0\n", "PAIRS_FORMAT", "Line 6"),
        (b"path_a,path_b,same\na,b,1\na,c,0\n", "PAIRS_TOO_FEW", ""),
        (b"path_a,path_b,same\na,b,1\nc,d,1\n", "PAIRS_TOO_FEW", ""),
        (b"0\t300\nA\t1\t2\n", "PAIRS_FORMAT", "Line 1"),
        (b"1 2 3\nA\t1\t2\n", "PAIRS_FORMAT", "Line 1"),
        (b"10\t99999999\nA\t1\t2\n", "PAIRS_FORMAT", "Line 1"),
        (OFFICIAL.replace("Bea_B\t3\t14", "Bea_B\t3").encode(), "PAIRS_FORMAT", "Line 3"),
        (OFFICIAL.replace("Bea_B\t3\t14", "Bea_B\t0\t14").encode(), "PAIRS_FORMAT", "Line 3"),
        (OFFICIAL.replace("Bea_B\t3\t14", "Bea_B\t3\t03").encode(), "PAIRS_FORMAT", "Line 3"),
        (OFFICIAL.replace("Bea_B\t3\t14", "../etc\t3\t14").encode(), "PAIRS_FORMAT", "Line 3"),
        (OFFICIAL.replace("Ann_A\t1\tBea_B\t3", "Ann_A\t1\tAnn_A\t3").encode(), "PAIRS_FORMAT", "Line 4"),
        ((OFFICIAL + "Ann_A\t1\t2\n").encode(), "PAIRS_FORMAT", "Line 10"),
        (OFFICIAL.rsplit("Fay", 1)[0].encode(), "PAIRS_FORMAT", "Line 8"),
    ],
)
def test_a_list_that_is_none_names_its_line(text: bytes, code: str, where: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_pairs(text)
    assert caught.value.code == code
    assert where in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.INPUT


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_pairs(tmp_path / "none.txt")
    assert caught.value.code == "PAIRS_UNREADABLE"


def test_a_long_table_keeps_the_order_of_its_lines() -> None:
    lines = [f"p{i}.jpg,p{i + 1}.jpg,{i % 2}" for i in range(0, 400, 3)]
    pairs = parse_pairs("\n".join(["path_a,path_b,same", *lines]).encode())
    assert pairs.folds.max() == 9
    np.testing.assert_array_equal(pairs.same, [bool(i % 2) for i in range(0, 400, 3)])
