"""The trace from requirements to tests: nothing is lost, nothing is made up."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from scripts.trace import (
    Requirement,
    Shown,
    TraceError,
    check_known,
    collect_source,
    load_catalogue,
    main,
    render,
)

ROOT = Path(__file__).resolve().parent.parent


def collect(source: str) -> set[tuple[str, str]]:
    found = collect_source(textwrap.dedent(source), "tests/test_x.py")
    return {(one.id, one.test.removeprefix("tests/test_x.py::")) for one in found}


def test_marks_on_functions_also_asynchronous_ones() -> None:
    source = """
        import pytest

        @pytest.mark.req("E001", "E002")
        def test_one(): ...

        @pytest.mark.req("E003")
        async def test_two(): ...

        def test_without(): ...
    """
    assert collect(source) == {("E001", "test_one"), ("E002", "test_one"), ("E003", "test_two")}


def test_marks_on_classes_reach_every_test_inside() -> None:
    source = """
        import pytest

        @pytest.mark.req("E010")
        class TestOuter:
            pytestmark = [pytest.mark.slow, pytest.mark.req("E011")]

            @pytest.mark.req("E012")
            def test_a(self): ...

            def helper(self): ...

            class TestInner:
                def test_b(self): ...
    """
    assert collect(source) == {
        ("E010", "TestOuter::test_a"),
        ("E011", "TestOuter::test_a"),
        ("E012", "TestOuter::test_a"),
        ("E010", "TestOuter::TestInner::test_b"),
        ("E011", "TestOuter::TestInner::test_b"),
    }


@pytest.mark.parametrize("value", ['pytest.mark.req("R001")', '[pytest.mark.req("R001")]'])
def test_a_mark_on_the_module_reaches_every_test(value: str) -> None:
    source = (
        f"import pytest\npytestmark = {value}\ndef test_a(): ...\nclass TestB:\n    def test_c(self): ...\n"
    )
    assert collect(source) == {("R001", "test_a"), ("R001", "TestB::test_c")}


def test_marks_on_parameters_written_in_place_and_named() -> None:
    source = """
        import pytest
        from pytest import mark

        CASES = [pytest.param(3, marks=mark.req("E032"))]

        @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.req("E030")), 2])
        def test_in_place(x): ...

        @pytest.mark.parametrize("x", [pytest.param(1, marks=[pytest.mark.slow, pytest.mark.req("E031")])])
        def test_in_a_list(x): ...

        @pytest.mark.parametrize("x", CASES)
        def test_named(x): ...
    """
    assert collect(source) == {("E030", "test_in_place"), ("E031", "test_in_a_list"), ("E032", "test_named")}


def test_a_mark_around_a_class_made_by_hypothesis() -> None:
    source = 'import pytest\nTestLink = pytest.mark.req("E030")(Machine.TestCase)\n'
    assert collect(source) == {("E030", "TestLink")}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ('@pytest.mark.req("E001")\ndef helper(): ...\n', "test_x.py:1: a req mark that belongs to no test"),
        ('@pytest.mark.req("E001")\nclass Helper:\n    def test_a(self): ...\n', "belongs to no test"),
        ("@pytest.mark.req\ndef test_a(): ...\n", "has no ID"),
        ("@pytest.mark.req()\ndef test_a(): ...\n", "one or more IDs"),
        ("@pytest.mark.req(*IDS)\ndef test_a(): ...\n", "plain string"),
        ('@pytest.mark.req("E" "001", 2)\ndef test_a(): ...\n', "plain string"),
        ('@pytest.mark.req("E001", reason="x")\ndef test_a(): ...\n', "nothing else"),
        ("def test_a(:\n", "does not parse"),
    ],
)
def test_a_mark_that_cannot_be_traced_is_refused(source: str, sentence: str) -> None:
    with pytest.raises(TraceError, match=sentence):
        collect_source(source, "tests/test_x.py")


def test_an_unknown_id_is_refused_with_the_test_that_names_it() -> None:
    catalogue = [Requirement("E001", "CAPTURE", "One camera port")]
    check_known([Shown("E001", "tests/test_x.py::test_a")], catalogue)
    with pytest.raises(TraceError, match=r"test_x\.py::test_b: E009 is not in"):
        check_known([Shown("E009", "tests/test_x.py::test_b")], catalogue)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", ":1: the header"),
        ("id\ttitle\n", ":1: the header"),
        ("id\tarea\ttitle\nE001\tCAPTURE\n", ":2: expected id"),
        ("id\tarea\ttitle\nE001\t\tOne port\n", ":2: expected id"),
        ("id\tarea\ttitle\nX01\tCAPTURE\tOne port\n", "not an ID"),
        ("id\tarea\ttitle\nE001\tCAPTURE\tOne\nE001\tCAPTURE\tTwo\n", ":3: E001 is there twice"),
    ],
)
def test_a_broken_catalogue_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "requirements.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TraceError, match=sentence):
        load_catalogue(path)


def test_the_page_counts_per_area_and_lists_both_kinds() -> None:
    catalogue = [
        Requirement("E001", "CAPTURE", "One camera port"),
        Requirement("E002", "CAPTURE", "Lost camera"),
        Requirement("R001", "BNK", "Bank adapter"),
    ]
    page = render(catalogue, [Shown("E001", "tests/a.py::test_b"), Shown("E001", "tests/a.py::test_c")])
    assert "| appliance | CAPTURE | 2 | 1 |" in page
    assert "| cloud | BNK | 1 | 0 |" in page
    assert "| **both** | **all** | **3** | **1** |" in page
    assert "| E001 | One camera port | `tests/a.py::test_b`<br>`tests/a.py::test_c` |" in page
    shown, missing = page.split("## Not yet shown")
    assert "- E002 Lost camera" in missing
    assert "- R001 Bank adapter" in missing
    assert "E001" not in missing
    assert "E002" not in shown


def small_repository(root: Path, test_source: str) -> Path:
    (root / "docs").mkdir()
    (root / "tests" / "unit").mkdir(parents=True)
    (root / "docs" / "requirements.tsv").write_text("id\tarea\ttitle\nE001\tCAPTURE\tOne camera port\n")
    (root / "tests" / "unit" / "test_a.py").write_text(test_source)
    return root


def test_check_fails_with_one_sentence_until_the_page_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = small_repository(tmp_path, 'import pytest\n@pytest.mark.req("E001")\ndef test_a(): ...\n')
    arguments = ["--root", str(root)]
    assert main([*arguments, "--check"]) == 1
    assert (
        capsys.readouterr().err == "docs/requirements.md is stale: run 'make trace' and commit the result\n"
    )
    assert main(arguments) == 0
    assert "tests/unit/test_a.py::test_a" in (root / "docs" / "requirements.md").read_text()
    assert main([*arguments, "--check"]) == 0
    (root / "tests" / "unit" / "test_a.py").write_text("def test_a(): ...\n")
    assert main([*arguments, "--check"]) == 1


def test_an_unknown_id_ends_the_command_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = small_repository(tmp_path, 'import pytest\n@pytest.mark.req("E099")\ndef test_a(): ...\n')
    assert main(["--root", str(root)]) == 1
    assert "E099 is not in docs/requirements.tsv" in capsys.readouterr().err
    assert not (root / "docs" / "requirements.md").exists()


def test_the_catalogue_of_this_repository_is_whole() -> None:
    catalogue = load_catalogue(ROOT / "docs" / "requirements.tsv")
    cloud = [requirement.id for requirement in catalogue if requirement.id.startswith("R")]
    assert cloud == [f"R{number:03}" for number in range(1, 184)]
    assert len(catalogue) - len(cloud) == 54
    assert all(3 <= len(requirement.title.split()) <= 10 for requirement in catalogue)


def test_the_committed_page_is_up_to_date() -> None:
    assert main(["--check"]) == 0, "run 'make trace' and commit docs/requirements.md"
