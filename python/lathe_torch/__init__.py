"""Networks that Lathe found, as PyTorch modules.

    import lathe_torch
    network = lathe_torch.load("finalists/01/network.json", "finalists/01/weights.safetensors").eval()
    logits = network(network.preprocess(picture))
"""

from lathe_torch.description import Layer, LatheError, Network, read_network
from lathe_torch.job import Job
from lathe_torch.network import LatheNetwork, build, load
from lathe_torch.preprocessing import Preprocessing

__all__ = ["Job", "LatheError", "LatheNetwork", "Layer", "Network", "Preprocessing", "build", "load", "read_network"]
