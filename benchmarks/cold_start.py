"""A cold process that builds a ResNet and predicts once: the hub's resnet18, keras.applications, timm; and the index.

`python benchmarks/cold_start.py` prints CPU seconds (user and system) of the best of three processes each.
Timm is left out where it is not installed.
"""

import os
import resource
import subprocess
import sys

CASES = {
    "hub list --json": [os.path.join(os.path.dirname(sys.executable), "hub"), "list", "--json"],
    "import hub; list_models()": "import hub; hub.list_models()",
    "hub resnet18": (
        "import hub, numpy as np; hub.load('resnet18').predict_on_batch(np.zeros((1, 224, 224, 3), 'float32'))"
    ),
    "keras.applications ResNet50 (its smallest)": (
        "import keras, numpy as np; keras.applications.ResNet50(weights=None)"
        ".predict_on_batch(np.zeros((1, 224, 224, 3), 'float32'))"
    ),
    "timm resnet18": (
        "import torch; describe = torch.library.register_fake\n"  # torchvision's operators may be missing: unused here
        "skip = lambda op, *a, **k: (lambda f: f) if str(op).startswith('torchvision::') else describe(op, *a, **k)\n"
        "torch.library.register_fake = skip\n"
        "import torchvision; torch.library.register_fake = describe\n"
        "import timm\n"
        "with torch.no_grad(): timm.create_model('resnet18').eval()(torch.zeros(1, 3, 224, 224))"
    ),
}


def cpu_and_wall(command: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of one process."""
    import time

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    print(f"{'':<46}{'CPU s':>8}{'wall s':>8}")
    for name, case in CASES.items():
        command = case if isinstance(case, list) else [sys.executable, "-c", case]
        try:
            best = min(cpu_and_wall(command) for _ in range(3))
        except subprocess.CalledProcessError as error:
            print(f"{name:<46}{'-':>8}{'-':>8}  {error.stderr.decode().strip().splitlines()[-1][:60]}")
        else:
            print(f"{name:<46}{best[0]:>8.2f}{best[1]:>8.2f}")
