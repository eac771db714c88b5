"""Everything or nothing, and no trace of an export that did not end."""

from pathlib import Path

import pytest

from mobilevit_deploy.errors import OutputError
from mobilevit_deploy.system.publish import publish, staging


def fill(folder: Path, text: str) -> None:
    (folder / "a.onnx").write_text(text)
    (folder / "b.mlpackage" / "Data").mkdir(parents=True)
    (folder / "b.mlpackage" / "Data" / "weights").write_text(text)


def test_files_and_folders_replace_what_was_there(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with staging(tmp_path / "deep" / "out") as work:
            fill(work, text)
            published = publish(work, tmp_path / "deep" / "out")
        assert [path.name for path in published] == ["a.onnx", "b.mlpackage"]
        assert (tmp_path / "deep/out/a.onnx").read_text() == text
        assert (tmp_path / "deep/out/b.mlpackage/Data/weights").read_text() == text
        assert len(list((tmp_path / "deep/out").iterdir())) == 2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a.onnx").write_text("earlier")

    def unfinished() -> None:
        with staging(tmp_path) as work:
            fill(work, "half")
            raise error

    with pytest.raises(error):
        unfinished()
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]
    assert (tmp_path / "a.onnx").read_text() == "earlier"


def test_a_failure_leaves_no_folder_that_it_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x"), staging(tmp_path / "new" / "deeper"):
        raise ValueError("x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="cannot write into"), staging(tmp_path / "out"):
        pass
    assert (tmp_path / "out").is_file()


def test_a_folder_in_the_way_of_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").mkdir()
    with staging(tmp_path) as work:
        fill(work, "new")
        publish(work, tmp_path)
    assert (tmp_path / "a.onnx").read_text() == "new"
