"""What the end-to-end tests share: running build/lathe, a small study, and skipping loudly.

Each test is a script called with the path of the program: `python3 tests/x_test.py build/lathe`. Exit code 77 means skipped.
"""

import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")
sys.path.insert(0, str(ROOT / "build/deps/testing"))  # of scripts/setup --tests
LATHE = str(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else ROOT / "build/lathe").resolve())

TINY_STUDY = """
[study]
name = "tiny"
seed = 3

[data]
kind = "fashion-mnist"
validation = 1000

[space]
file = "{root}/configs/spaces/small-images.toml"

[space.restrict]
resolution = [28]

[target]
engine = "openvino"
latency_ms = 2.0

[latency]
build_seconds = 6

[stage1]
points = 512
edges_ms = [0.1, 0.2, 0.4]
subspace_ms = [0.02, 2.0]

[search]
trials = {trials}
max_retries = 20

[trial]
recipe = "quick"
epochs = 1
images_per_epoch = {images}

[finalists]
count = 1
recipe = "quick"
epochs = 1
images_per_epoch = {finalist_images}

[int8]
finalists = false

[baselines]
networks = ["mobilenet_v3_small"]

[executor]
slots = 2
threads_per_slot = 1
"""


SEARCHED = (0, 3)  # exit codes of a search whose finalists, hardly trained, do not matter


def run(*arguments, timeout=300, env=None, check=None, cwd=ROOT):
    """Runs lathe; returns the finished process with text output. With `check`, the exit code must be that, or one of those."""
    result = subprocess.run([LATHE, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, cwd=cwd,
                            env={**os.environ, **(env or {})})
    if check is not None and result.returncode not in (check if isinstance(check, tuple) else (check,)):
        raise AssertionError(f"lathe {' '.join(map(str, arguments))}: exit code {result.returncode}, expected {check}\n"
                             f"{result.stdout[-2000:]}{result.stderr[-4000:]}")
    return result


def run_json(*arguments, **options):
    return json.loads(run(*arguments, "--json", check=0, **options).stdout)


def tiny_study(trials=4, images=512, finalist_images=512):
    """The text of a small study; images per training."""
    return TINY_STUDY.format(root=ROOT, trials=trials, images=images, finalist_images=finalist_images)


def write_few_images(folder, train, test):
    """The first images of Fashion-MNIST, so many, as a data set of their own."""
    folder.mkdir()
    for part, count in (("train", train), ("t10k", test)):
        for kind, size in (("images-idx3", 28 * 28), ("labels-idx1", 1)):
            with gzip.open(FASHION_MNIST / f"{part}-{kind}-ubyte.gz") as file:
                header = bytearray(file.read(16 if size > 1 else 8))
                header[4:8] = count.to_bytes(4, "big")
                (folder / f"{part}-{kind}-ubyte").write_bytes(header + file.read(count * size))


def on_few_images(study, folder):
    """The text of a study for searches whose accuracy does not matter: 8,000 training and 2,000 test images, in `folder`, made if needed."""
    if not folder.exists():
        write_few_images(folder, train=8000, test=2000)
    return study.replace('kind = "fashion-mnist"', f'kind = "fashion-mnist"\npath = "{folder}"')


class TestCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory(prefix="lathe-test-")
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)

    def study(self, **sizes):
        """The path of a small study, see tiny_study()."""
        file = self.folder / "study.toml"
        file.write_text(tiny_study(**sizes))
        return file

    def quick_study(self, **sizes):
        """Such a study, on few images."""
        file = self.study(**sizes)
        file.write_text(on_few_images(file.read_text(), self.folder / "data"))
        return file


def main():
    unittest.main(argv=[sys.argv[0]] + [a for a in sys.argv[2:]], verbosity=2)
