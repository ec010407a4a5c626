"""Work that may take the interpreter down, in a process of its own.

The parent calls `run`, the child's entry point calls `answer`. They talk in JSON lines over the child's
standard output; whatever native code prints goes to standard error and is kept for the obituary.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

Progress = Callable[[str], None]  # is told the step that begins


class ExportError(ValueError):
    """The export was refused or could not be made; nothing was written."""


def run(module: str, job: dict[str, Any], scratch: pathlib.Path, progress: Progress | None = None) -> dict[str, Any]:
    """The result of `python -m module` for `job`, whatever happens to that process.

    Args:
        module: dotted name of a module whose `__main__` part calls `answer`.
        job: what to do; must be JSON.
        scratch: an existing folder for the job's files.
        progress: called with the name of each step as it begins.

    Raises:
        ExportError: the child refused, failed or died; one sentence.
    """
    path = scratch / f"{module}.json"
    path.write_text(json.dumps(job))
    step, last = "starting", {}
    with tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(path)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=_environment(),
        )
        try:
            for line in process.stdout:
                last = json.loads(line)
                if "step" in last:
                    step = last["step"]
                    if progress:
                        progress(step)
            process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if "result" in last:
            return last["result"]
        if "error" in last:
            raise ExportError(last["error"])
        stderr.seek(0)
        raise ExportError(
            f"The child process {module} died ({_cause(process.returncode)}) at step {step!r}; nothing was written."
            + _last_words(stderr.read())
        )


def answer(work: Callable[[dict[str, Any], Progress], dict[str, Any]]) -> None:
    """Do the job named on the command line and report each step, then the result or a one-sentence error."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**message: Any) -> None:
        print(json.dumps(message), file=channel, flush=True)

    try:
        say(result=work(json.loads(pathlib.Path(sys.argv[1]).read_text()), lambda step: say(step=step)))
    except ExportError as error:
        say(error=str(error))
    except Exception as error:
        import traceback

        traceback.print_exc()
        reason = " ".join(str(error).split()) or "no reason given"
        say(error=f"The export failed, nothing was written: {type(error).__name__}: {reason[:600]}")


def _environment() -> dict[str, str]:
    """The child converts on the CPU with TensorFlow, whatever backend and device trained the model."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _cause(returncode: int) -> str:
    return signal.Signals(-returncode).name if returncode < 0 else f"exit status {returncode}"


def _last_words(stderr: str) -> str:
    words = [line.strip() for line in stderr.splitlines() if line.strip()]
    return f" Its last line was: {words[-1][:300]}" if words else ""
