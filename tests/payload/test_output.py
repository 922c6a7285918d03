import os
import subprocess
import sys
from pathlib import Path

import pytest

from payload import output


def run_python(code: str, *arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=False, text=True, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


def test_a_file_is_written_whole_and_readable_for_others(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    output.write_atomically(target, "old\n")
    output.write_atomically(target, "new\n")
    assert target.read_text() == "new\n"
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [target]


def test_a_number_that_json_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        output.to_text({"loss": float("nan")})


def test_text_survives_a_locale_that_is_not_utf_8() -> None:
    assert output.to_text({"path": "Übung\udc80"}).isascii()


def test_a_full_disk_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    target.write_text("earlier")
    code = (
        "import resource, sys; from pathlib import Path; from payload import output\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "output.write_atomically(Path(sys.argv[1]), 'x' * 100_000)\n"
    )
    done = run_python(code, str(target))
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert target.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [target]


def test_a_closed_standard_output_is_an_error_without_a_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = (
        "import sys; from payload.cli import Writer\n"
        "writer = Writer('-', None); writer.write({'kind': 'vdl-result'})\n"
        "sys.exit(0 if writer.done else 1)\n"
    )
    done = run_python(code, stdout=writer)
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == "payload: the document can't be written: [Errno 32] Broken pipe\n"
