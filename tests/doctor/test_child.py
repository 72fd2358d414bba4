"""What hangs is ended, what crashes is told, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from workbench.doctor.child import Died, in_child
from workbench.doctor.examine import Check, outcome
from workbench.doctor.finding import Finding


def well(words: str) -> list[Finding]:
    print("what a library prints")
    os.system("echo what a process prints")
    Path("left").write_text("in the folder of the child")
    return [Finding("well", "ok", f"{words} {os.getcwd()}")]


def hangs(file: str) -> list[Finding]:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(file).write_text(str(other.pid))
    print("loading the driver", flush=True)
    time.sleep(60)
    return []


def dies(number: int) -> list[Finding]:
    print("loading polars", flush=True)
    os.kill(os.getpid(), number)
    return []


def fails() -> list[Finding]:
    raise ImportError("libGL.so.1: cannot open shared object file\nand more")


def leaves() -> list[Finding]:
    sys.stderr.write("aborted by a library\n")
    sys.stderr.flush()
    os._exit(3)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_answer_is_no_more_than_the_findings_and_its_folder_is_gone():
    (found,) = in_child(well, ["said in"], 20)
    folder = Path(found.found.removeprefix("said in "))
    assert found.name == "well" and folder.name.startswith("mlim-doctor-") and not folder.exists()


def test_what_hangs_is_ended_with_all_that_it_started(tmp_path):
    begun, file = time.monotonic(), tmp_path / "pid"
    with pytest.raises(Died, match=r"^no answer within 1.5 seconds; it said: loading the driver$"):
        in_child(hangs, [str(file)], 1.5)
    assert time.monotonic() - begun < 10
    other = int(file.read_text())
    for _ in range(50):
        if not alive(other):
            break
        time.sleep(0.1)
    assert not alive(other)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGILL", "SIGKILL", "SIGBUS"])
def test_what_dies_of_a_signal_is_told_with_its_last_words(name):
    with pytest.raises(Died, match=f"^died of {name}; it said: loading polars$"):
        in_child(dies, [signal.Signals[name]], 20)


def test_what_fails_is_told_in_a_line():
    with pytest.raises(Died, match=r"^ImportError: libGL.so.1: cannot open shared object file$"):
        in_child(fails, [], 20)
    with pytest.raises(Died, match=r"^ended with exit code 3; it said: aborted by a library$"):
        in_child(leaves, [], 20)


def test_a_check_that_dies_or_hangs_is_a_finding():
    (dead,) = outcome(Check("libraries", dies, (signal.SIGILL,), 20, "install it again"))
    assert dead == Finding("libraries", "broken", "died of SIGILL; it said: loading polars", "install it again")
    (other,) = outcome(Check("bf16", hangs, (os.devnull,), 0.5, "restart", needed=False))
    assert other.state == "broken" and other.mend == "restart" and not other.stops
    (raised,) = outcome(Check("threads", fails))
    assert raised.found.startswith("ImportError: libGL") and raised.stops
    assert outcome(Check("torch", fails, packages=("no-such-package",))) == []


def test_a_module_in_the_working_folder_is_not_taken_for_the_library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    assert in_child(well, ["said in"], 20)


def test_nothing_is_left_in_the_folder_for_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(Died):
        in_child(dies, [signal.SIGKILL], 20)
    assert list(tmp_path.iterdir()) == []
