"""Trains one network for Lathe with PyTorch, on Fashion-MNIST or other IDX files: python3 train.py JOB.json

Lathe starts it once per trial; docs/own-trainer.md is the contract. To make it yours, change read_images() and the recipe in Training.
"""

import gzip
import os
import signal
import struct
import sys
import threading
import time

import torch
import torch.nn.functional as F

import lathe_torch

CONTINUE_ME = 75  # exit code: saved, start me again


def read_idx(folder, name):
    path = folder / name
    opened = open(path, "rb") if path.exists() else gzip.open(folder / (name + ".gz"), "rb")
    with opened as file:
        content = file.read()
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def read_images(job):
    """Images {n, 1, h, w} and labels to train on, and the same to be judged on: trials of the search must not see the test images."""

    def both(part):
        return read_idx(job.data, f"{part}-images-idx3-ubyte")[:, None], read_idx(job.data, f"{part}-labels-idx1-ubyte").long()

    images, labels = both("train")
    if job.judged_on == "test":
        return (images, labels), both("t10k")
    held_back = torch.zeros(len(labels), dtype=torch.bool)
    held_back[[int(name) for name in job.held_back()]] = True
    return (images[~held_back], labels[~held_back]), (images[held_back], labels[held_back])


def generator(*seeds):
    """The same numbers after a restart: they depend on what is asked for alone."""
    return torch.Generator().manual_seed(hash(seeds) % 2**63)


class Training:
    def __init__(self, job):
        self.job, self.recipe = job, job.recipe
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        (self.images, self.labels), self.judged = read_images(job)
        self.network = lathe_torch.load(job.network, dropout=self.recipe["dropout"], drop_connect=self.recipe["drop_connect"])
        self.network.initialise(generator(job.seed))
        self.network.to(self.device, memory_format=torch.channels_last)
        pixels = self.images[:10_000].double() / 255
        channels, resolution, _ = self.network.description.input
        self.preprocessing = lathe_torch.Preprocessing(resolution, channels, (pixels.mean().item(),), (pixels.std().item(),))
        epoch_images = min(self.recipe["images_per_epoch"] or len(self.labels), len(self.labels))
        self.batch = min(self.recipe["batch"], epoch_images)
        self.epoch_steps = epoch_images // self.batch
        self.steps = max(1, round(job.epochs * self.epoch_steps))
        self.step = 0
        self.optimizer = torch.optim.SGD(self.network.parameters(), self.recipe["learning_rate"], self.recipe["momentum"],
                                         weight_decay=self.recipe["weight_decay"], nesterov=self.recipe["momentum"] > 0)
        warmup = max(1, int(self.recipe["warmup"] * self.steps))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min((step + 1) / warmup, max(0, self.steps - step) / max(1, self.steps - warmup)))

    def inputs(self, images):
        """As lathe_torch.Preprocessing makes them, and Lathe when it judges the network."""
        images = images.to(self.device, torch.float32, memory_format=torch.channels_last)
        size = self.preprocessing.resolution
        if images.shape[2:] != (size, size):
            images = F.interpolate(images, (size, size), mode="bilinear", antialias=True).round().clamp(0, 255)
        return (images / 255 - self.preprocessing.mean[0]) / self.preprocessing.std[0]

    def train_step(self):
        epoch, position = divmod(self.step, self.epoch_steps)
        order = torch.randperm(len(self.labels), generator=generator(self.job.seed, epoch))
        chosen = order[position * self.batch : (position + 1) * self.batch]
        inputs, labels = self.inputs(self.images[chosen]), self.labels[chosen].to(self.device)
        if self.recipe["augmentation"].get("flip"):
            flips = torch.rand(len(chosen), generator=generator(self.job.seed, epoch, position)) < 0.5
            inputs[flips] = inputs[flips].flip(3)
        loss = F.cross_entropy(self.network(inputs), labels, label_smoothing=self.recipe["label_smoothing"])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.step += 1

    @torch.inference_mode()
    def judge(self):
        self.network.eval()
        images, labels = self.judged
        loss = correct = 0
        for begin in range(0, len(labels), 500):
            logits = self.network(self.inputs(images[begin : begin + 500])).cpu()
            loss += F.cross_entropy(logits, labels[begin : begin + 500], reduction="sum").item()
            correct += (logits.argmax(1) == labels[begin : begin + 500]).sum().item()
        self.network.train()
        return {"loss": loss / len(labels), "accuracy": correct / len(labels)}

    def state(self):
        return {"network": self.network, "optimizer": self.optimizer, "schedule": self.schedule}

    def save(self):
        """Under a temporary name first: whoever is killed here continues from the checkpoint before."""
        aside = self.job.out / "checkpoint.new"
        torch.save({"step": self.step, **{name: part.state_dict() for name, part in self.state().items()}}, aside)
        os.replace(aside, self.job.out / "checkpoint.pt")

    def restore(self):
        path = self.job.out / "checkpoint.pt"
        if not path.exists():
            return
        saved = torch.load(path, map_location=self.device)
        for name, part in self.state().items():
            part.load_state_dict(saved[name])
        self.step = saved["step"]
        print(f"continuing from step {self.step} of {self.steps}")


def main():
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())  # may come more than once
    started = time.monotonic()
    job = lathe_torch.Job.read(sys.argv[1])
    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    training = Training(job)
    training.restore()
    metrics = training.judge() if training.step == training.steps else {}
    while training.step < training.steps:
        training.train_step()
        at_end = training.step == training.steps
        if at_end or training.step % training.epoch_steps == 0:
            metrics = training.judge()
            epoch = -(-training.step // training.epoch_steps)
            print(f"epoch {epoch}: {metrics}", flush=True)
            job.report(epoch, **metrics)
            if metrics["loss"] != metrics["loss"]:
                return job.fail(f"diverged: the loss is NaN after epoch {epoch}; lower learning_rate")
            training.save()
        if stop.is_set() and not at_end:
            training.save()
            sys.exit(CONTINUE_ME)
    if job.kind != "search":
        training.network.metadata = {"preprocessing": training.preprocessing.to_json()}
        training.network.save_weights(job.out / "weights.safetensors")
    job.finish(**metrics, seconds=time.monotonic() - started)


if __name__ == "__main__":
    main()
