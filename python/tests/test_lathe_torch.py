"""lathe_torch against Lathe, torchvision and recorded values of torch's functions. Runs under pytest and unittest.

Lathe's part: weights are written here, exported by build/lathe (or $LATHE), and the ONNX file is run by OpenVINO.
"""

import copy
import gzip
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "python"))

import lathe_torch  # noqa: E402
from lathe_torch import safetensors  # noqa: E402

LATHE = pathlib.Path(os.environ.get("LATHE", ROOT / "build/lathe"))
TESTDATA = ROOT / "src/train/testdata"
FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")
TOLERANCE = 1e-4  # of the largest logit

torch.set_num_threads(1)  # threads that wait for each other are slow on a busy machine

try:
    import numpy
    import openvino
except ImportError:
    openvino = None

needs_lathe = unittest.skipUnless(LATHE.exists(), f"no {LATHE}: run make, or set LATHE")
needs_openvino = unittest.skipUnless(openvino, "needs openvino and numpy")


def lathe(*arguments):
    done = subprocess.run([LATHE, "--quiet", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"lathe {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def busy(network, seed=1):
    """Weights, norms and biases of which none is trivial."""
    generator = torch.Generator().manual_seed(seed)
    network.initialise(generator)
    with torch.no_grad():
        for name, tensor in network.tensors().items():
            if name.endswith((".bn.weight", ".bn.var")):
                tensor.uniform_(0.7, 1.3, generator=generator)
            elif name.endswith((".bias", ".bn.mean")):
                tensor.uniform_(-0.3, 0.3, generator=generator)
    return network.eval()


@torch.no_grad()
def settle(network):
    """Norms take the statistics of some images, as after a training: at random, rounding errors grow to the size of the logits."""
    norms = [part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    network.train()(images_of(network, 2, seed=3))
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


def images_of(network, count=1, seed=2):
    return torch.randn(count, *network.description.input, generator=torch.Generator().manual_seed(seed))


def difference(a, b):
    """Largest, relative to the largest value."""
    return float((a - b).detach().abs().max() / b.abs().max())


SMALL = {"format": "lathe-network", "version": 1, "name": "small", "input": [3, 16, 16], "layers": [
    {"op": "conv", "in": [3, 16, 16], "out_channels": 8, "kernel": 3, "stride": 2, "act": "relu"},
    {"op": "irb", "in": [8, 8, 8], "out_channels": 8, "kernel": 3, "stride": 1, "mid_channels": 16, "se_channels": 4, "act": "swish",
     "residual": True},
    {"op": "fused_irb", "in": [8, 8, 8], "out_channels": 8, "kernel": 3, "stride": 1, "mid_channels": 16, "act": "relu", "residual": True},
    {"op": "tail", "in": [8, 8, 8], "out_channels": 5, "mid_channels": 16, "act": "relu"}]}


def small(**changes):
    """`l1_act="mish"`: of layer 1; others of the document."""
    document = copy.deepcopy(SMALL)
    for key, value in changes.items():
        if key[0] == "l" and key[1].isdigit():
            document["layers"][int(key[1])][key[3:]] = value
        else:
            document[key] = value
    return document


class RecordedTest(unittest.TestCase):
    """Layer by layer against torch.nn.functional in double precision (bench/train/reference_values.py)."""

    @unittest.skipUnless((TESTDATA / "layers.json").exists(), f"no {TESTDATA}")
    def test_logits_gradients_and_statistics(self):
        recorded, _ = safetensors.read(TESTDATA / "layers.safetensors")
        cases = json.loads((TESTDATA / "layers.json").read_text())["cases"]
        self.assertGreater(len(cases), 20)
        for case in cases:
            network = lathe_torch.build(case["network"]).double()
            name = network.description.name
            with self.subTest(name), torch.no_grad():
                for key, tensor in network.tensors().items():
                    tensor.copy_(recorded[f"{name}/weight/{key}"])
            image = recorded[case["image"]].double()
            with self.subTest(name):
                self.assertLess(difference(network.eval()(image), recorded[f"{name}/eval_logits"]), 1e-6)
                logits = network.train()(image)
                self.assertLess(difference(logits, recorded[f"{name}/logits"]), 1e-6)
                loss = F.cross_entropy(logits, torch.tensor(case["labels"]))
                self.assertAlmostEqual(float(loss.detach()), case["loss"], places=9)
                loss.backward()
                for key, parameter in network.named_parameters():
                    torch.testing.assert_close(parameter.grad.float(), recorded[f"{name}/gradient/{key}"], rtol=1e-5, atol=1e-7)
                for key, tensor in network.tensors().items():
                    if key.endswith((".mean", ".var")):
                        torch.testing.assert_close(tensor.float(), recorded[f"{name}/after/{key}"], rtol=1e-5, atol=1e-7)


@needs_lathe
class LatheTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def check(self, path):
        network = settle(busy(lathe_torch.load(path)))
        weights, model = self.folder / "weights.safetensors", self.folder / "model.onnx"
        network.save_weights(weights)
        lathe("net", "export", path, "--weights", weights, "-o", model)
        images = images_of(network)
        with torch.inference_mode():
            logits = network(images)
        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
        expected = torch.tensor(numpy.asarray(compiled(images.numpy())[0]))
        self.assertEqual(logits.shape, expected.shape)
        self.assertLess(difference(logits, expected), TOLERANCE)

    @needs_openvino
    def test_every_network_of_the_zoo(self):
        names = [line.split()[0] for line in lathe("zoo", "list").splitlines()[1:]]
        self.assertGreaterEqual(len(names), 12)
        for name in names:
            with self.subTest(name):
                path = self.folder / f"{name}.json"
                lathe("zoo", "export", name, "-o", path)
                self.check(path)

    @needs_openvino
    def test_random_networks_of_both_spaces(self):
        for space, flags in (("gpunet", ["--restrict", "resolution=224"]), ("small-images", [])):
            file = ["--space", ROOT / f"configs/spaces/{space}.toml", *flags]
            lines = lathe("--seed", 5, "space", "sample", *file, "--count", 5).split()
            encodings = [line for line in lines if line.replace(",", "").isdigit()]
            self.assertEqual(len(encodings), 5)
            for encoding in encodings:
                with self.subTest(f"{space} {encoding}"):
                    path = self.folder / "network.json"
                    lathe("space", "decode", *file, "-o", path, encoding)
                    self.check(path)

    def test_same_as_torchvision(self):
        try:
            import torchvision
        except ImportError:
            self.skipTest("no torchvision")
        for name in ("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_v2_s"):
            with self.subTest(name):
                path = self.folder / f"{name}.json"
                lathe("zoo", "export", f"{name}@96", "-o", path)
                network = settle(busy(lathe_torch.load(path)))
                peer = getattr(torchvision.models, name)().eval()
                ours = [t for t in network.state_dict().values()]
                theirs = [t for t in peer.state_dict().values()]
                self.assertEqual([t.shape for t in ours], [t.shape for t in theirs])
                with torch.inference_mode():
                    for a, b in zip(ours, theirs):
                        b.copy_(a)
                    images = images_of(network, 2)
                    self.assertLess(difference(network(images), peer(images)), TOLERANCE)

    @unittest.skipUnless(FASHION_MNIST.exists(), f"no {FASHION_MNIST}")
    def test_weights_that_lathe_trained(self):
        """The accuracy and loss that Lathe reports are found again."""
        document = small(input=[1, 28, 28], l0_in=[1, 28, 28], l1_in=[8, 14, 14], l2_in=[8, 14, 14], l3_in=[8, 14, 14], l3_out_channels=10)
        (self.folder / "start.json").write_text(json.dumps(document))
        folder = self.folder / "trained"
        reported = json.loads(lathe("--json", "net", "train", self.folder / "start.json", "--epochs", 0.02, "-o", folder))
        network = lathe_torch.load(folder / "network.json", folder / "weights.safetensors").eval()
        size = network.description.input[1]

        def pixels(part):
            content = bytearray(gzip.open(FASHION_MNIST / f"{part}-images-idx3-ubyte.gz").read())
            return torch.frombuffer(content, dtype=torch.uint8, offset=16).reshape(-1, 1, 28, 28)

        train, test = pixels("train"), pixels("t10k")
        sample = train[torch.arange(5000) * len(train) // 5000].double() / 255
        preprocessing = lathe_torch.Preprocessing(size, 1, (float(sample.mean()),), (float(sample.std(correction=0)),))
        labels = torch.tensor(list(gzip.open(FASHION_MNIST / "t10k-labels-idx1-ubyte.gz").read()[8:]))
        self.assertEqual(preprocessing(test[0]).shape, (1, 1, 28, 28))
        with torch.inference_mode():
            images = (test.float() / 255 - preprocessing.mean[0]) / preprocessing.std[0]
            logits = torch.cat([network(some) for some in images.split(500)])
        self.assertAlmostEqual(float((logits.argmax(1) == labels).float().mean()), reported["accuracy"], delta=5e-4)
        self.assertAlmostEqual(float(F.cross_entropy(logits, labels)), reported["loss"], delta=1e-3)


class FileTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.path = pathlib.Path(scratch.name) / "file"

    def fails(self, *words):
        """The error is a LatheError, and names all of these."""
        test = self

        class Context:
            def __enter__(self):
                return self

            def __exit__(self, kind, error, trace):
                test.assertIsInstance(error, lathe_torch.LatheError)
                for word in words:
                    test.assertIn(word, str(error))
                return True

        return Context()

    def test_networks_that_are_wrong(self):
        for changes, words in (
            ({"l1_op": "ird"}, ("layer 1", "op", "'ird'", "'irb'")),
            ({"l1_act": "swich"}, ("layer 1", "act", "'swish'")),
            ({"l2_paddin": "same"}, ("layer 2", "'paddin'", "'padding'")),
            ({"version": 2}, ("version 1", "2")),
            ({"format": "onnx"}, ("'onnx'", "'lathe-network'")),
            ({"input": [3, 18, 16]}, ("layer 0", "(3, 16, 16)", "(3, 18, 16)")),
            ({"l1_out_channels": 12}, ("layer 1", "residual")),
            ({"l1_mid_channels": True}, ("layer 1", "mid_channels", "True")),
            ({"l1_kernel": 4}, ("layer 1", "odd")),
            ({"l2_groups": 2}, ("layer 2", "groups")),
            ({"l0_bn_eps": 0}, ("layer 0", "bn_eps")),
            ({"layers": SMALL["layers"][:-1]}, ("layer 2", "tail")),
            ({"layers": []}, ("layers",)),
        ):
            with self.subTest(changes), self.fails(*words):
                lathe_torch.build(small(**changes))
        missing = small()
        del missing["layers"][0]["kernel"]
        with self.fails("layer 0", "kernel"):
            lathe_torch.build(missing)
        self.path.write_text("[]")
        with self.fails(str(self.path), "lathe net show"):
            lathe_torch.load(self.path)
        self.path.write_text("{")
        with self.fails(str(self.path), "JSON"):
            lathe_torch.load(self.path)

    def test_weights_come_back(self):
        network = busy(lathe_torch.build(small()))
        network.metadata = {"classes": '["a", "b"]', "preprocessing": '{"resolution": 16, "channels": 3, "mean": [0, 0, 0], "std": [1, 1, 1]}'}
        network.save_weights(self.path)
        again = lathe_torch.build(small())
        again.load_weights(self.path)
        self.assertEqual(again.class_names, ["a", "b"])
        self.assertEqual(again.preprocessing.resolution, 16)
        for (name, a), b in zip(network.tensors().items(), again.tensors().values()):
            self.assertTrue(torch.equal(a, b), name)
        self.assertIn("l01.se.reduce.bias", network.tensors())
        self.assertIn("l00.conv.bn.mean", network.tensors())
        try:
            from safetensors.torch import load_file
        except ImportError:
            return
        for name, tensor in load_file(self.path).items():
            self.assertTrue(torch.equal(tensor, network.tensors()[name]), name)

    def test_weights_that_do_not_fit(self):
        network = lathe_torch.build(small())
        tensors = dict(network.tensors())

        def load(**changes):
            safetensors.write(self.path, {k: v for k, v in {**tensors, **changes}.items() if v is not None}, {})
            network.load_weights(self.path)

        name = "l00.conv.weight"
        with self.fails(str(self.path), name, "[8, 3, 3, 3]", "[8, 3, 5, 5]"):
            load(**{name: torch.zeros(8, 3, 5, 5)})
        with self.fails(name, "missing"):
            load(**{name: None})
        with self.fails("l09.conv.weight", "does not belong"):
            load(**{"l09.conv.weight": torch.zeros(1)})
        with self.fails(name, "finite"):
            load(**{name: torch.full((8, 3, 3, 3), math.nan)})

    def test_files_that_are_damaged(self):
        safetensors.write(self.path, {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}, {"k": "v"})
        whole = self.path.read_bytes()
        tensors, metadata = safetensors.read(self.path)
        self.assertEqual((tensors["a"].tolist(), metadata), ([[0, 1, 2], [3, 4, 5]], {"k": "v"}))
        for name, content in {
            "empty": b"", "short": whole[:-4], "long": whole + b"1234", "no header": b"\xff" * 64, "header cut": whole[:20],
            "not JSON": whole[:8] + b"}" + whole[9:], "type": whole.replace(b'"F32"', b'"I32"', 1),
            "shape": whole.replace(b"[2, 3]", b"[2, 9]").replace(b"[2,3]", b"[2,9]"), "overlap": whole.replace(b"[24,32]", b"[20,28]"),
        }.items():
            self.path.write_bytes(content)
            with self.subTest(name), self.fails(str(self.path)):
                safetensors.read(self.path)

    def test_half_precision_is_widened(self):
        values = torch.tensor([1.5, -2.0, 0.25])
        for kind, name in ((torch.bfloat16, "BF16"), (torch.float16, "F16")):
            header = json.dumps({"a": {"dtype": name, "shape": [3], "data_offsets": [0, 6]}}).encode()
            data = values.to(kind).view(torch.int16).numpy().tobytes()
            self.path.write_bytes(len(header).to_bytes(8, "little") + header + data)
            self.assertTrue(torch.equal(safetensors.read(self.path)[0]["a"], values))


class TrainingTest(unittest.TestCase):
    def test_random_weights_keep_values_of_order_one(self):
        torch.manual_seed(1)
        network = lathe_torch.build(small())
        self.assertAlmostEqual(float(network.l02.project.weight.detach().std()), math.sqrt(2 / 16), delta=0.05)
        self.assertAlmostEqual(float(network.l00.conv.weight.detach().std()), math.sqrt(1 / 27), delta=0.03)
        a = copy.deepcopy(network)
        network.initialise(torch.Generator().manual_seed(4))
        self.assertFalse(torch.equal(a.l00.conv.weight, network.l00.conv.weight))

    def test_drop_connect_grows_with_depth_and_keeps_the_mean(self):
        network = lathe_torch.build(small(), drop_connect=0.4)
        self.assertEqual([getattr(network, name).drop for name in ("l00", "l01", "l02")], [0.0, 0.2, 0.4])
        block = network.l02
        for part in block.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.eval()
        image = torch.randn(1, 8, 8, 8)
        with torch.no_grad():
            path = block.project(block.expand(image))
            many = block(image.expand(4000, -1, -1, -1)) - image
        dropped = (many.flatten(1).abs().amax(1) < 1e-6).float().mean()
        self.assertAlmostEqual(float(dropped), 0.4, delta=0.03)
        self.assertLess(difference(many[many.flatten(1).abs().amax(1) > 1e-6][:1], path / 0.6), 1e-4)

    def test_dropout_acts_in_training_alone(self):
        network = busy(lathe_torch.build(small(), dropout=0.5))
        images = images_of(network, 4)
        with torch.no_grad():
            self.assertTrue(torch.equal(network(images), network(images)))
            network.l03.train()
            network.l03.conv.eval()
            self.assertFalse(torch.equal(network(images), network(images)))
        with self.assertRaises(lathe_torch.LatheError):
            lathe_torch.build(small(), dropout=1.0)

    def test_learns(self):
        torch.manual_seed(1)
        network = lathe_torch.build(small()).to(memory_format=torch.channels_last)
        images, labels = images_of(network, 20), torch.arange(20) % 5
        optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
        losses = []
        for _ in range(20):
            loss = F.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        self.assertLess(losses[-1], 0.5 * losses[0])

    def test_wrong_images(self):
        with self.assertRaisesRegex(lathe_torch.LatheError, r"3, 16, 16.*\(1, 3, 8, 8\)"):
            lathe_torch.build(small())(torch.zeros(1, 3, 8, 8))


class PreprocessingTest(unittest.TestCase):
    def of(self, **changes):
        return lathe_torch.Preprocessing(**{"resolution": 4, "channels": 3, "mean": (0.5, 0.25, 0.0), "std": (0.5, 1.0, 2.0), **changes})

    def test_normalises(self):
        image = torch.full((3, 4, 4), 255, dtype=torch.uint8)
        self.assertEqual(self.of()(image)[0, :, 0, 0].tolist(), [1.0, 0.75, 0.5])

    def test_resizes_as_pillow_and_cuts_the_middle(self):
        try:
            import numpy as np
            from PIL import Image
        except ImportError:
            self.skipTest("needs pillow and numpy")
        plain = self.of(resolution=10, channels=1, mean=(0.0,), std=(1 / 255,))
        for height, width, resized in ((31, 47, (15, 10)), (10, 26, (26, 10)), (7, 7, (10, 10)), (40, 20, (10, 20))):
            array = np.random.default_rng(1).integers(0, 256, (height, width), dtype=np.uint8)
            expected = np.asarray(Image.fromarray(array).resize(resized, Image.Resampling.BILINEAR))
            top, left = (resized[1] - 10) // 2, (resized[0] - 10) // 2
            expected = torch.tensor(expected[top : top + 10, left : left + 10]).float()
            self.assertLessEqual(float((plain(array)[0, 0].round() - expected).abs().max()), 1, (height, width))

    def test_keeps_a_share_of_the_shorter_side(self):
        plain = self.of(channels=1, mean=(0.0,), std=(1 / 255,), crop=0.5)
        image = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8)
        torch.testing.assert_close(plain(image)[0, 0], image[0, 2:6, 2:6].float())

    def test_pictures_arrays_and_tensors_agree(self):
        try:
            import numpy as np
            from PIL import Image
        except ImportError:
            self.skipTest("needs pillow and numpy")
        array = np.random.default_rng(1).integers(0, 256, (9, 7, 3), dtype=np.uint8)
        preprocessing = self.of()
        results = [preprocessing(picture) for picture in (Image.fromarray(array), array, torch.tensor(array).permute(2, 0, 1))]
        self.assertEqual(results[0].shape, (1, 3, 4, 4))
        self.assertTrue(torch.equal(results[0], results[1]) and torch.equal(results[1], results[2]))
        grey = np.ascontiguousarray(array[:, :, 0])
        self.assertTrue(torch.equal(preprocessing(Image.fromarray(grey)), preprocessing(grey)))

    def test_says_what_is_wrong(self):
        network = lathe_torch.build(small())
        with self.assertRaisesRegex(lathe_torch.LatheError, "preprocessing"):
            network.preprocess(torch.zeros(3, 4, 4, dtype=torch.uint8))
        for picture in (torch.zeros(3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8)):
            with self.assertRaises(lathe_torch.LatheError):
                self.of()(picture)
        for text in ("{", '{"resolution": 4}', '{"resolution": 4, "channels": 3, "mean": [0], "std": [1, 1, 1]}'):
            with self.assertRaises(lathe_torch.LatheError):
                lathe_torch.Preprocessing.from_json(text)
        self.assertEqual(lathe_torch.Preprocessing.from_json(self.of(crop=0.875).to_json()), self.of(crop=0.875))


class JobTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.table = {
            "format": "lathe-job", "version": 1, "study": "s", "kind": "search", "number": 3, "seed": 5, "epochs": 2.0, "threads": 1,
            "processes": 1, "network": "/n.json", "out": str(self.folder), "data": "/d", "split": str(self.folder / "split.json"),
            "data_kind": "idx", "judged_on": "validation", "recipe": {"batch": 64}, "of a later version": 1}
        (self.folder / "split.json").write_text(json.dumps({"classes": ["a"], "validation": ["2", "9"], "test": []}))

    def read(self, table):
        file = self.folder / "job.json"
        file.write_text(table if isinstance(table, str) else json.dumps(table))
        return lathe_torch.Job.read(file)

    def test_reads_and_answers(self):
        job = self.read(self.table)
        self.assertEqual((job.number, job.epochs, job.network, job.onnx), (3, 2.0, pathlib.Path("/n.json"), None))
        self.assertEqual(self.read(self.table | {"onnx": "/n.onnx"}).onnx, pathlib.Path("/n.onnx"))
        self.assertEqual(job.held_back(), {"2", "9"})
        job.report(1, loss=0.5)
        job.report(2, loss=math.nan, accuracy=0.25)
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        self.assertEqual([json.loads(line)["step"] for line in lines], [1, 2])
        job.finish(accuracy=0.25, loss=0.5)
        self.assertEqual(json.loads((self.folder / "result.json").read_text()), {"accuracy": 0.25, "loss": 0.5})
        job.fail("diverged")
        self.assertEqual(json.loads((self.folder / "result.json").read_text()), {"error": "diverged"})

    def test_says_what_is_wrong(self):
        incomplete = {key: value for key, value in self.table.items() if key != "seed"}
        for table, message in (("{", "not JSON"), ("[]", "no file of format 'lathe-job'"), ({"format": "lathe-trial"}, "no file of format"),
                               (self.table | {"version": 2}, "reads version 1, the file has 2"), (incomplete, "'seed'")):
            with self.assertRaisesRegex(lathe_torch.LatheError, message):
                self.read(table)


if __name__ == "__main__":
    unittest.main()
