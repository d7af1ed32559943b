#!/usr/bin/env python3
"""Known answers for the trainer's unit tests, from PyTorch and timm: writes src/train/testdata.

    build/bench/train/venv/bin/python bench/train/reference_values.py [FOLDER]      needs bench/train/run.py --setup

reference_values.json  updates of optimizers, learning rates, moving averages, losses and their gradients
layers.json            small networks, one for each thing a layer can have, with labels and losses; their tensors are in
layers.safetensors     image/CxHxW, NAME/weight/TENSOR, NAME/logits, NAME/eval_logits, NAME/gradient/TENSOR, NAME/after/TENSOR

Layers are computed in double precision with torch.nn.functional from float32 inputs, in training mode (eval_logits: before, with the
running statistics), and share no code with Lathe. after: the running statistics after one step. The same versions write the same bytes.
"""

import json
import pathlib
import platform
import struct
import sys

import timm
import timm.loss
import timm.optim
import timm.scheduler
import timm.utils
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MADE_BY = (f"bench/train/reference_values.py with torch {torch.__version__.split('+')[0]}, timm {timm.__version__}, "
           f"Python {platform.python_version()}; double precision")


def numbers(tensor):
    return tensor.detach().tolist()


# --- Optimizers -----------------------------------------------------------------------------------------------------

START = [1.0, -0.5, 0.25, 2.0]
GRADIENTS = [
    [0.5, -0.25, 1.0, -2.0],
    [0.3, 0.15, -0.75, 1.5],
    [-0.2, 0.6, 0.05, -1.0],
    [0.0, -0.9, 0.4, 0.25],
    [1.2, 0.3, -0.1, -0.6],
    [-0.4, -0.2, 0.7, 0.8],
]
CONSTANT = [0.01] * 6
FALLING = [0.01, 0.01, 0.005, 0.005, 0.0025, 0.001]


def trajectory(make, rates):
    """Parameters after every step."""
    parameters = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = make([parameters])
    values = []
    for gradient, rate in zip(GRADIENTS, rates):
        for group in optimizer.param_groups:
            group["lr"] = rate
        parameters.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        values.append(numbers(parameters))
    return values


def optimizers():
    settings = {
        "rmsprop-tf": (timm.optim.RMSpropTF, dict(alpha=0.9, eps=1e-3, momentum=0.9, weight_decay=1e-2, lr_in_momentum=True,
                                                  decoupled_decay=False)),
        "sgd": (torch.optim.SGD, dict(momentum=0.9, nesterov=True, weight_decay=1e-2)),
        "adamw": (torch.optim.AdamW, dict(betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)),
    }
    cases = []
    for name, (kind, options) in settings.items():
        for decay in (options["weight_decay"], 0.0):
            for rates in (CONSTANT, FALLING):
                chosen = {**options, "weight_decay": decay}
                cases.append({"optimizer": name, "momentum": 0.9, "weight_decay": decay, "learning_rates": rates,
                              "from": f"{kind.__module__.split('.')[0]}'s {kind.__name__}({chosen})",
                              "parameters": trajectory(lambda p: kind(p, lr=rates[0], **chosen), rates)})
    return {"start": START, "gradients": GRADIENTS, "cases": cases}


def clipping():
    """All gradients above as one vector, scaled to a norm."""
    cases = []
    for most in (0.5, 100.0):
        parameters = torch.nn.Parameter(torch.zeros(24, dtype=torch.float64))
        parameters.grad = torch.tensor(GRADIENTS, dtype=torch.float64).flatten()
        norm = torch.nn.utils.clip_grad_norm_([parameters], most)
        cases.append({"clip_norm": most, "norm": float(norm), "clipped": numbers(parameters.grad)})
    return cases


# --- Schedules ------------------------------------------------------------------------------------------------------

STEPS_PER_EPOCH = 10
EPOCHS = 12


def rates(make, t_in_epochs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.06)
    scheduler = make(optimizer, t_in_epochs, 1 if t_in_epochs else STEPS_PER_EPOCH)
    values = [optimizer.param_groups[0]["lr"]]  # before the first update
    for i in range(1, EPOCHS * (1 if t_in_epochs else STEPS_PER_EPOCH)):
        scheduler.step(i) if t_in_epochs else scheduler.step_update(i)
        values.append(optimizer.param_groups[0]["lr"])
    return values


def schedules():
    """`unit`: the scale of its times, epochs or updates."""

    def step(optimizer, t_in_epochs, unit):
        return timm.scheduler.StepLRScheduler(optimizer, decay_t=2.4 * unit, decay_rate=0.97, warmup_t=3 * unit, warmup_lr_init=1e-6,
                                              warmup_prefix=False, t_in_epochs=t_in_epochs)

    def cosine(prefix):
        return lambda optimizer, t_in_epochs, unit: timm.scheduler.CosineLRScheduler(
            optimizer, t_initial=(EPOCHS - 3 if prefix else EPOCHS) * unit, lr_min=1e-5, warmup_t=3 * unit, warmup_lr_init=1e-6,
            warmup_prefix=prefix, t_in_epochs=t_in_epochs)

    makers = {"step": step, "cosine": cosine(False), "cosine_warmup_prefix": cosine(True)}
    head = {"learning_rate": 0.06, "steps_per_epoch": STEPS_PER_EPOCH, "epochs": EPOCHS, "warmup_epochs": 3, "warmup_start": 1e-6,
            "step_epochs": 2.4, "step_factor": 0.97, "cosine_minimum": 1e-5,
            "note": "by_epoch[i]: during epoch i, as timm's train.py has it; by_update[i]: at update i with --sched-on-updates, times in "
                    "updates. cosine: the curve is of 12 epochs and its first 3 are replaced; cosine_warmup_prefix: a curve of 9 epochs "
                    "follows the warm-up."}
    return head | {name: {"by_epoch": rates(make, True), "by_update": rates(make, False)} for name, make in makers.items()}


# --- Moving averages ------------------------------------------------------------------------------------------------


def averages():
    """The weights take the values of `values` one after the other, starting from `start`; averages after each."""
    values = torch.tensor(GRADIENTS, dtype=torch.float64) + 1

    def of(**options):
        model = torch.nn.Linear(4, 1, bias=False).double()
        with torch.no_grad():
            model.weight.copy_(torch.tensor([START]))
        average = timm.utils.ModelEmaV3(model, **options)
        result, decays = [], []
        for i, value in enumerate(values):
            with torch.no_grad():
                model.weight.copy_(value[None])
            step = i + 1 if options.get("use_warmup") else None
            average.update(model, step=step)
            decays.append(average.get_decay(step))
            result.append(numbers(average.module.weight[0]))
        return {"from": f"timm's ModelEmaV3({options})", "decays": decays, "averages": result}

    # TensorFlow's ExponentialMovingAverage with num_updates: min(decay, (1 + n) / (10 + n)), n = 0 at the first update.
    decays = [min(0.3, (1 + n) / (10 + n)) for n in range(6)]
    average, result = torch.tensor(START, dtype=torch.float64), []
    for decay, value in zip(decays, values):
        average = decay * average + (1 - decay) * value
        result.append(numbers(average))
    return {"start": START, "values": numbers(values), "constant": of(decay=0.9),
            "timm_warmup": of(decay=0.5, use_warmup=True),
            "tensorflow_warmup": {"from": "decay = min(0.3, (1 + n) / (10 + n))", "decay": 0.3, "decays": decays, "averages": result}}


# --- Losses ---------------------------------------------------------------------------------------------------------

LOGITS = [[1.5, -0.5, 0.25, 2.0, -1.0], [0.1, 0.2, -0.3, 0.4, 3.0], [-2.0, 1.0, 0.0, 0.5, -0.25]]
TEACHER = [[2.0, 0.5, -1.0, 2.5, 0.0], [-0.5, 1.0, 0.3, 0.0, 1.5], [0.2, 3.0, -0.7, 0.1, -1.2]]
LABELS, PARTNERS, SHARES = [3, 1, 1], [0, 4, 2], [0.7, 0.7, 0.7]


def losses():
    labels, partners = torch.tensor(LABELS), torch.tensor(PARTNERS)
    teacher = torch.tensor(TEACHER, dtype=torch.float64)

    def soft_targets(smoothing):
        """As timm's mixup_target: smoothed one-hot rows, mixed by the share."""
        def rows(classes):
            off = smoothing / 5
            return torch.full((3, 5), off, dtype=torch.float64).scatter_(1, classes[:, None], 1 - smoothing + off)
        share = torch.tensor(SHARES, dtype=torch.float64)[:, None]
        return rows(labels) * share + rows(partners) * (1 - share)

    def distilled(temperature):
        return lambda x: temperature**2 * F.kl_div(F.log_softmax(x / temperature, 1), F.softmax(teacher / temperature, 1),
                                                   reduction="batchmean")

    hard = F.cross_entropy
    cases = {
        "cross_entropy": lambda x: hard(x, labels),
        "label_smoothing_0.1": lambda x: timm.loss.LabelSmoothingCrossEntropy(0.1)(x, labels),
        "mixed": lambda x: timm.loss.SoftTargetCrossEntropy()(x, soft_targets(0.0)),
        "mixed_label_smoothing_0.1": lambda x: timm.loss.SoftTargetCrossEntropy()(x, soft_targets(0.1)),
        "distillation_temperature_1": distilled(1.0),
        "distillation_temperature_4": distilled(4.0),
        "distillation_hard": lambda x: hard(x, teacher.argmax(1)),
        "half_smoothed_half_distilled_temperature_4":
            lambda x: 0.5 * hard(x, labels, label_smoothing=0.1) + 0.5 * distilled(4.0)(x),
    }
    result = {}
    for name, loss in cases.items():
        logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
        value = loss(logits)
        value.backward()
        result[name] = {"loss": float(value.detach()), "gradient": numbers(logits.grad)}
    return {"logits": LOGITS, "labels": LABELS, "partner_labels": PARTNERS, "shares": SHARES, "teacher_logits": TEACHER, "cases": result,
            "note": "mean over the batch; distillation: T^2 KL(softmax(teacher / T) || softmax(student / T)); mixed: share * label + "
                    "(1 - share) * partner label"}


# --- Layers ---------------------------------------------------------------------------------------------------------

ACTIVATIONS = {"none": lambda x: x, "relu": F.relu, "relu6": F.relu6, "swish": F.silu, "hard_swish": F.hardswish, "sigmoid": torch.sigmoid,
               "hard_sigmoid": F.hardsigmoid}
KINKS = {"relu": (0,), "relu6": (0, 6), "hard_swish": (-3, 3), "hard_sigmoid": (-3, 3)}
CLASSES = 5
LABELS_OF_IMAGES = [1, 3]


class Forward:
    """One network in torch.nn.functional. `tensors` are made on first use, by name, in the order of use."""

    def __init__(self, network, generator, tensors):
        self.network, self.generator, self.tensors = network, generator, tensors
        self.training, self.nearest = True, float("inf")  # distance of any value to a kink of its activation

    def tensor(self, name, make):
        if name not in self.tensors:
            self.tensors[name] = make().float().double()  # a value that float32 has
        return self.tensors[name]

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def uniform(self, size, low, high):
        return torch.rand(size, generator=self.generator, dtype=torch.float64) * (high - low) + low

    def weight(self, name, *shape):
        fan_in = torch.tensor(shape[1:]).prod()
        return self.tensor(f"{name}.weight", lambda: self.normal(*shape) / fan_in.sqrt())

    def act(self, name, x):
        for kink in KINKS.get(name, ()):
            self.nearest = min(self.nearest, float((x - kink).abs().min().detach()))
        return ACTIVATIONS[name](x)

    def convolution(self, name, x, out, kernel=1, stride=1, groups=1, padding=(0, 0)):
        weight = self.weight(name, out, x.shape[1] // groups, kernel, kernel)
        return F.conv2d(F.pad(x, (*padding, *padding)), weight, stride=stride, groups=groups)

    def norm_act(self, name, x, eps, act):
        size, wide = x.shape[1], 2.5 if act in KINKS else 1.2  # wide: both sides of every kink are met
        gamma = self.tensor(f"{name}.bn.weight", lambda: self.uniform(size, 0.5 * wide, 1.5 * wide))
        beta = self.tensor(f"{name}.bn.bias", lambda: self.uniform(size, -0.5, 0.5 if act != "relu6" else 3.0))
        mean = self.tensor(f"{name}.bn.mean", lambda: self.uniform(size, -0.5, 0.5))
        variance = self.tensor(f"{name}.bn.var", lambda: self.uniform(size, 0.5, 1.5))
        return self.act(act, F.batch_norm(x, mean, variance, gamma, beta, self.training, momentum=0.1, eps=eps))

    def spatial(self, name, x, layer, out, groups):
        kernel, stride, size = layer["kernel"], layer["stride"], x.shape[2]
        padding = {"symmetric": (kernel // 2, kernel // 2), "valid": (0, 0)}.get(layer["padding"])
        if padding is None:
            total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
            padding = (total // 2, total - total // 2)
        return self.norm_act(name, self.convolution(name, x, out, kernel, stride, groups, padding), layer["bn_eps"], layer["act"])

    def squeeze_excite(self, prefix, x, layer):
        def gate(part, y, out, act):
            y = self.convolution(f"{prefix}se.{part}", y, out)
            return self.act(act, y + self.tensor(f"{prefix}se.{part}.bias", lambda: self.uniform(out, -0.5, 0.5))[:, None, None])

        y = gate("reduce", x.mean((2, 3), keepdim=True), layer["se_channels"], layer["se_act"])
        return x * gate("expand", y, x.shape[1], layer["se_gate"])

    def __call__(self, x):
        for i, layer in enumerate(self.network["layers"]):
            prefix, shortcut, eps = f"l{i:02}.", x, layer["bn_eps"]
            op, out, mid = layer["op"], layer["out_channels"], layer.get("mid_channels")
            if op == "tail":
                x = self.norm_act(prefix + "conv", self.convolution(prefix + "conv", x, mid), eps, layer["act"]).mean((2, 3))
                hidden = layer["hidden_channels"]
                parts = [("hidden", hidden, layer.get("hidden_act"))] * (hidden > 0) + [("classifier", out, "none")]
                for part, size, act in parts:
                    name = prefix + part
                    bias = self.tensor(f"{name}.bias", lambda: self.uniform(size, -0.5, 0.5))
                    x = self.act(act, F.linear(x, self.weight(name, size, x.shape[1]), bias))
                return x
            if op == "conv":
                x = self.spatial(prefix + "conv", x, layer, out, layer.get("groups", 1))
            else:
                groups = layer.get("groups", 1)
                if op == "fused_irb":
                    x = self.spatial(prefix + "expand", x, layer, mid, 1)
                else:
                    if layer["expand"]:
                        name = prefix + "expand"
                        x = self.norm_act(name, self.convolution(name, x, mid, groups=groups), eps, layer["act"])
                    x = self.spatial(prefix + "depthwise", x, layer, mid, mid)
                if layer["se_channels"]:
                    x = self.squeeze_excite(prefix, x, layer)
                x = self.norm_act(prefix + "project", self.convolution(prefix + "project", x, out, groups=groups), eps, "none")
            if layer["residual"]:
                x = x + shortcut
        raise AssertionError("a network ends with a tail")


def layer_of(op, channels=8, out=8, **values):
    layer = {"op": op, "in": [channels, 8, 8], "out_channels": out, "kernel": 3, "stride": 1}
    if op != "conv":
        layer |= {"mid_channels": 16} | ({"expand": True} if op == "irb" else {}) | {"se_channels": 0}
    layer |= {"act": "relu", "padding": "symmetric", "residual": False, "bn_eps": 0.001, "stage": 1} | values
    if layer.get("se_channels"):
        layer = {"se_act": "relu", "se_gate": "sigmoid"} | layer
    return layer


def network_of(name, layer, tail=None):
    size = layer["in"][1]
    span = size - layer["kernel"] + 2 * (layer["kernel"] // 2) * (layer["padding"] == "symmetric")
    size = -(-size // layer["stride"]) if layer["padding"] == "same" else span // layer["stride"] + 1
    last = {"op": "tail", "in": [layer["out_channels"], size, size], "out_channels": CLASSES, "mid_channels": 8, "act": "swish",
            "hidden_channels": 0, "bn_eps": 0.001, "stage": 2} | (tail or {})
    return {"format": "lathe-network", "version": 1, "name": name, "input": layer["in"], "layers": [layer, last]}


def networks():
    depthwise = dict(mid_channels=8, expand=False)
    layers = {
        "conv-k3-s1": layer_of("conv"),
        "conv-k3-s2": layer_of("conv", out=16, stride=2),
        "conv-k5-s1": layer_of("conv", kernel=5),
        "conv-k3-s2-same": layer_of("conv", stride=2, padding="same"),
        "conv-k3-s2-valid": layer_of("conv", stride=2, padding="valid"),
        "conv-k3-residual": layer_of("conv", residual=True),
        "conv-groups": layer_of("conv", groups=2),
        "depthwise-k3-s1": layer_of("irb", **depthwise),
        "depthwise-k3-s2": layer_of("irb", stride=2, **depthwise),
        "depthwise-k5-s1": layer_of("irb", kernel=5, **depthwise),
        "depthwise-k5-s2-same": layer_of("irb", kernel=5, stride=2, padding="same", **depthwise),
        "fused-irb": layer_of("fused_irb", mid_channels=8, stride=2, padding="valid"),
        "fused-irb-se": layer_of("fused_irb", mid_channels=8, se_channels=4, act="swish"),
        "fused-irb-residual": layer_of("fused_irb", mid_channels=8, residual=True),
        "irb": layer_of("irb", act="swish", out=16),
        "irb-se": layer_of("irb", se_channels=4, se_act="swish", act="swish"),
        "irb-se-hard": layer_of("irb", se_channels=4, se_gate="hard_sigmoid", act="hard_swish"),
        "irb-residual": layer_of("irb", residual=True),
        "irb-se-residual": layer_of("irb", residual=True, se_channels=4),
        "irb-groups": layer_of("irb", groups=2),
        "irb-odd-channels": layer_of("irb", channels=6, out=6, mid_channels=12, se_channels=3, residual=True),
        **{f"act-{act.replace('_', '-')}": layer_of("conv", kernel=1, act=act) for act in ACTIVATIONS},
    }
    result = [network_of(name, layer) for name, layer in layers.items()]
    result.append(network_of("hidden", layer_of("conv", kernel=1), {"hidden_channels": 12, "hidden_bias": True, "hidden_act": "hard_swish"}))
    return result


def image_name(network):
    return "image/" + "x".join(map(str, network["input"]))


def image_of(network):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, *network["input"], generator=generator, dtype=torch.float64).float().double()


def layer_case(network, seed):
    """Tensors by name, the labels' loss, and how near any value is to a kink of its activation, where float32 may take the other side."""
    image, tensors = image_of(network), {}
    forward = Forward(network, torch.Generator().manual_seed(seed), tensors)
    forward.training = False
    eval_logits = forward(image)  # makes the tensors
    weights = {name: value.clone() for name, value in tensors.items()}
    trainable = [name for name in tensors if not name.endswith((".mean", ".var"))]
    for name in trainable:
        tensors[name].requires_grad_(True)
    forward.training = True
    logits = forward(image)
    loss = F.cross_entropy(logits, torch.tensor(LABELS_OF_IMAGES))
    loss.backward()
    stored = {"logits": logits, "eval_logits": eval_logits}
    stored |= {f"weight/{name}": value for name, value in weights.items()}
    stored |= {f"gradient/{name}": tensors[name].grad for name in trainable}
    stored |= {f"after/{name}": value for name, value in tensors.items() if name not in trainable}
    return stored, float(loss.detach()), forward.nearest


def layers():
    tensors, cases = {}, []
    for number, network in enumerate(networks()):
        seed = 100 * number
        while True:
            stored, loss, nearest = layer_case(network, seed)
            if nearest > 3e-5:
                break
            seed += 1
        tensors[image_name(network)] = image_of(network)
        tensors |= {f"{network['name']}/{key}": value for key, value in stored.items()}
        cases.append({"image": image_name(network), "labels": LABELS_OF_IMAGES, "loss": loss, "network": network})
    return cases, tensors


def safetensors_bytes(tensors):
    header, data = {"__metadata__": {"made_by": MADE_BY}}, b""
    for name, value in tensors.items():
        content = value.detach().float().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def to_json(value, indent=0):
    """One line for what fits into one, so that a difference can be read."""
    flat = json.dumps(value)
    if len(flat) + indent <= 130 or not isinstance(value, (dict, list)):
        return flat
    inner = " " * (indent + 1)
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{inner}{json.dumps(k)}: {to_json(v, indent + 1)}" for k, v in value.items()) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(inner + to_json(v, indent + 1) for v in value) + "\n" + " " * indent + "]"


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "src/train/testdata"
    folder.mkdir(parents=True, exist_ok=True)
    values = {"made_by": MADE_BY, "optimizers": optimizers(), "clipping": clipping(), "schedules": schedules(),
              "averages": averages(), "losses": losses()}
    (folder / "reference_values.json").write_text(to_json(values) + "\n")
    cases, tensors = layers()
    (folder / "layers.json").write_text(to_json({"made_by": MADE_BY, "tensors": "layers.safetensors", "cases": cases}) + "\n")
    (folder / "layers.safetensors").write_bytes(safetensors_bytes(tensors))


if __name__ == "__main__":
    main()
