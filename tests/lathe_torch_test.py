"""python/lathe_torch against Lathe: its own tests, in the Python that bench/train/run.py --setup makes."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import peer_python  # noqa: E402

VENV = ROOT / "build/bench/train/venv"
python, environment = VENV / "bin/python", peer_python.environment(VENV)
check = [str(python), "-c", "import torch, openvino, pytest"]
if not python.exists() or subprocess.run(check, env=environment, capture_output=True).returncode != 0:
    print("SKIPPED: no Python with torch, openvino and pytest; bench/train/run.py --setup makes one")
    sys.exit(77)
lathe = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build/lathe")
sys.exit(subprocess.run([str(python), "-m", "pytest", "-q", str(ROOT / "python/tests")], cwd=ROOT,
                        env={**environment, "LATHE": lathe}).returncode)
