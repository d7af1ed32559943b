"""A Python for the peers of a benchmark: its own wheels beside the torch that scripts/setup has fetched for Lathe."""

import importlib
import os
import pathlib
import subprocess
import sys

TORCH = pathlib.Path(__file__).resolve().parent.parent / "build/deps/python"
# torch's Python half, unlike the C++ libraries that Lathe links, loads them all; those that ldd misses are fetched.
CUDA_WHEELS = {
    "libcublas": "nvidia-cublas==13.1.0.3", "libcufft": "nvidia-cufft==12.0.0.61", "libcufile": "nvidia-cufile==1.15.1.6",
    "libcurand": "nvidia-curand==10.4.0.35", "libcusolver": "nvidia-cusolver==12.0.4.66", "libcusparse": "nvidia-cusparse==12.6.3.3",
    "libnvJitLink": "nvidia-nvjitlink==13.0.88", "libnvrtc": "nvidia-cuda-nvrtc==13.0.88", "libcudnn": "nvidia-cudnn-cu13==9.19.0.56",
    "libcusparseLt": "nvidia-cusparselt-cu13==0.8.0", "libnccl": "nvidia-nccl-cu13==2.28.9",
    "libnvshmem_host": "nvidia-nvshmem-cu13==3.4.5",
}


def environment(venv):
    """What the Python of `venv` needs to find torch and its libraries."""
    folders = [str(path) for path in venv.glob("lib/python3*/site-packages/nvidia/*/lib")]
    return {**os.environ, "PYTHONPATH": str(TORCH), "LD_LIBRARY_PATH": ":".join([*folders, os.environ.get("LD_LIBRARY_PATH", "")])}


def import_or_restart(module, venv):
    """`module`, or the same program again in the Python of `venv`, which has what it needs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        program, python = pathlib.Path(sys.argv[0]).name, venv / "bin/python"
        if not python.exists() or pathlib.Path(sys.prefix) == venv:
            sys.exit(f"{program}: needs {error.name}; 'run.py --setup' makes a Python that has it")
        os.execv(python, [str(python), *sys.argv])


def make(venv, wheels, modules):
    """Makes `venv` with `wheels`, and checks that it imports `modules`."""
    if not (TORCH / "torch").exists():
        sys.exit(f"run.py: no torch in {TORCH}; run scripts/setup first")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [venv / "bin/pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, *wheels], check=True)
    for _ in range(4):  # a library fetched may miss further ones
        libraries = subprocess.run(["ldd", TORCH / "torch/lib/libtorch_python.so"], env=environment(venv), capture_output=True, text=True)
        missing = {line.split(".so")[0].strip() for line in libraries.stdout.splitlines() if "not found" in line}
        if not missing:
            break
        subprocess.run([*pip, *(CUDA_WHEELS[name] for name in sorted(missing))], check=True)
    subprocess.run([venv / "bin/python", "-c", f"import {modules}"], env=environment(venv), check=True)
