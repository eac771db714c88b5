"""The file of trials: it is continued, and one that is damaged or of another search is refused."""

from pathlib import Path

import pytest

from mobilevit_deploy.errors import MvdError
from mobilevit_deploy.measurement.tuning.space import Candidate, Change
from mobilevit_deploy.measurement.tuning.trials import Made, Timed, Trials

OF = {"model": "net", "threads": 1}
CANDIDATE = Candidate(frozenset([Change("leave_out", "fold_scale")]))
SHA256 = "a" * 64


def write(path: Path) -> Trials:
    trials = Trials(path, OF)
    trials.add_made(Made(changes=CANDIDATE.names, sha256=SHA256, bytes=10))
    trials.add_timed(
        Timed(role="search", changes=CANDIDATE.names, sha256=SHA256, default_ms=((2.0,),) * 6, ms=((1.0,),) * 6)
    )
    return trials


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    write(path)
    trials = Trials(path, OF)
    assert trials.continued
    assert trials.turns(CANDIDATE) == 1
    assert trials.turns(CANDIDATE, "confirm") == 0
    ratio = trials.ratio(CANDIDATE.names)
    assert ratio
    assert (ratio.value, ratio.groups) == (0.5, 6)


def test_times_of_another_file_do_not_count(tmp_path: Path) -> None:
    trials = write(tmp_path / "trials.jsonl")
    trials.add_made(Made(changes=CANDIDATE.names, sha256="b" * 64, bytes=10))
    assert trials.turns(CANDIDATE) == 0


def test_a_line_that_was_cut_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    write(path)
    text = path.read_text()
    path.write_text(text + '{"kind":"timed","role":"sea')
    trials = Trials(path, OF)
    assert trials.turns(CANDIDATE) == 1
    assert path.read_text() == text


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "trials.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MvdError, match="is a link"):
        Trials(tmp_path / "trials.jsonl", OF)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: "", "holds no trials"),
        (lambda text: "[" * 100_000 + "\n", "holds no trials"),
        (lambda text: text.replace('"schema":1', '"schema":2'), "holds no trials"),
        (lambda text: text.replace("2.0", "1e999"), "holds no trials"),
        (lambda text: text.replace("2.0", "-2.0"), "holds no trials"),
        (lambda text: text.replace('"kind":"made"', '"kind":"run"'), "holds no trials"),
        (lambda text: "\n".join(text.splitlines()[1:]) + "\n", "holds no trials"),
        (lambda text: text.replace("[2.0]", "[2.0,2.0]", 1), "times that are no pairs"),
        (lambda text: text.replace('"ms":[[1.0],', '"ms":['), "times that are no pairs"),
        (lambda text: text.replace('"threads":1', '"threads":4'), "is of another search: threads 4, and now 1"),
        (lambda text: text.replace('"model":"net"', '"model":"\\u001b[2J"'), r"another search: model .*, and now .net"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, spoil: object, message: str) -> None:
    path = tmp_path / "trials.jsonl"
    write(path)
    assert callable(spoil)
    text = spoil(path.read_text())
    path.write_text(text)
    with pytest.raises(MvdError, match=message) as raised:
        Trials(path, OF)
    assert raised.value.hint == "remove it to begin anew, or give --out another folder"
    assert path.read_text() == text
    assert raised.value.message.isprintable()
