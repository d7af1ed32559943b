"""Exported files as others see them: ONNX's checker, ONNX Runtime and OpenVINO's own Python, beside `lathe net export` and `verify`."""

import gzip
import json
import pathlib
import shutil
import struct
import sys
import tempfile
import unittest

import lathe_testing as testing

sys.path.insert(0, str(testing.ROOT / "build/deps/python"))  # openvino
try:
    import numpy
    import onnx
    import onnxruntime
    import openvino
    from PIL import Image
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/setup --tests installs it")
    sys.exit(77)

NETWORK = {  # small, and quick to train
    "format": "lathe-network", "version": 1, "name": "small", "input": [1, 28, 28], "layers": [
        {"op": "conv", "in": [1, 28, 28], "out_channels": 16, "kernel": 3, "stride": 2, "act": "hard_swish"},
        {"op": "fused_irb", "in": [16, 14, 14], "out_channels": 24, "kernel": 3, "stride": 2, "mid_channels": 48, "act": "relu"},
        {"op": "irb", "in": [24, 7, 7], "out_channels": 24, "kernel": 3, "stride": 1, "mid_channels": 72, "act": "swish", "residual": True},
        {"op": "irb", "in": [24, 7, 7], "out_channels": 40, "kernel": 5, "stride": 2, "mid_channels": 96, "se_channels": 8, "act": "relu6"},
        {"op": "tail", "in": [40, 4, 4], "out_channels": 10, "mid_channels": 128, "act": "relu"}]}
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def test_pixels(count):
    """uint8 {count, 28, 28, 1}."""
    with gzip.open(next(testing.FASHION_MNIST.glob("t10k-images*"))) as file:
        file.read(16)
        return numpy.frombuffer(file.read(count * 784), dtype=numpy.uint8).reshape(count, 28, 28, 1)


def run_ort(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def run_openvino(path, images):
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return model(images)[0]


def metadata(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def softmax(logits):
    shares = numpy.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


class RandomNetworks(testing.TestCase):
    def test_both_runtimes_agree(self):
        """Networks of both spaces; one batch of any size, two fixed ones, all ages of operators."""
        cases = []
        for space, resolution in (("small-images", 32), ("gpunet", 224)):
            path = testing.ROOT / f"configs/spaces/{space}.toml"
            sampled = testing.run("space", "sample", "--space", path, "--restrict", f"resolution={resolution}", "--count", 2, "--seed",
                                  7, check=0).stdout.split()
            for number, encoding in enumerate(sampled):
                network = self.folder / f"{space}-{number}.json"
                testing.run("space", "decode", "--space", path, "--classes", 10, encoding, "--out", network, check=0)
                cases.append(network)
        forms = [(0, 11), (8, 17), (1, 14), (0, 13)]
        for network, (batch, opset) in zip(cases, forms, strict=True):
            out = self.folder / "model.onnx"
            testing.run("net", "export", network, "--random", "--batch", batch, "--opset", opset, "-o", out, check=0)
            onnx.checker.check_model(str(out), full_check=True)
            shape = json.loads(network.read_text())["input"]
            images = numpy.random.default_rng(1).standard_normal((batch or 3, *shape)).astype(numpy.float32)
            logits = run_ort(out, images)
            self.assertEqual(logits.shape, (batch or 3, 10))
            difference = numpy.abs(logits - run_openvino(out, images)).max() / max(1, numpy.abs(logits).max())
            self.assertLess(difference, 1e-4, network.name)


class TrainedNetwork(testing.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.trained = pathlib.Path(tempfile.mkdtemp(prefix="lathe-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.trained)
        described = cls.trained / "described.json"
        described.write_text(json.dumps(NETWORK))
        testing.run("net", "train", described, "--recipe", "quick", "--set", "images_per_epoch=16384", "--set", "learning_rate=0.1",
                    "--out", cls.trained, check=0)
        cls.network, cls.weights = cls.trained / "network.json", cls.trained / "weights.safetensors"

    def export(self, name, *options, check=0):
        out = self.folder / name
        result = testing.run("net", "export", self.network, "--weights", self.weights, "-o", out, *options, "--json", check=check)
        return out, result

    def verify(self, path, *options, check=0):
        return testing.run("net", "verify", self.network, "--weights", self.weights, "--onnx", path, "--images", 1000, "--json",
                           *options, check=check)

    def normalised(self, pixels):
        wants = json.loads(metadata(self.export("form.onnx")[0])["lathe.preprocessing"])
        images = (pixels.astype(numpy.float32) / 255 - numpy.float32(wants["mean"])) / numpy.float32(wants["std"])
        return numpy.ascontiguousarray(images.transpose(0, 3, 1, 2))

    def test_pixels_softmax_and_metadata(self):
        pixels = test_pixels(16)
        plain = self.export("plain.onnx", "--batch", 0)[0]
        whole, _ = self.export("whole.onnx", "--batch", 0, "--pixels", "--softmax", "--licence", "CC0-1.0", "--metadata", "owner=me=us")
        onnx.checker.check_model(str(whole), full_check=True)
        expected = softmax(run_ort(plain, self.normalised(pixels)))
        for found in (run_ort(whole, pixels), run_openvino(whole, pixels)):
            numpy.testing.assert_allclose(found, expected, atol=1e-5)
        picture = self.folder / "picture.png"
        Image.fromarray(pixels[3, :, :, 0]).save(picture)
        for file in (plain, whole):
            answer = testing.run_json("net", "classify", file, picture, "--top", 20)[0]["classes"]
            numpy.testing.assert_allclose([one["probability"] for one in sorted(answer, key=lambda one: one["index"])], expected[3], atol=1e-5)
            self.assertEqual(answer[0]["index"], expected[3].argmax())
        self.assertIn("cannot be read", testing.run("net", "classify", whole, self.folder / "none.png", check=2).stderr)
        said = metadata(whole)
        self.assertEqual((said["licence"], said["owner"]), ("CC0-1.0", "me=us"))
        self.assertEqual(len(json.loads(said["lathe.classes"])), 10)
        self.assertTrue(json.loads(self.verify(whole).stdout)["ok"])

    def test_half(self):
        images = self.normalised(test_pixels(16))
        full, half = self.export("full.onnx", "--batch", 0)[0], self.export("half.onnx", "--batch", 0, "--precision", "f16")[0]
        onnx.checker.check_model(str(half), full_check=True)
        self.assertLess(half.stat().st_size, 0.6 * full.stat().st_size)
        expected = run_ort(full, images)
        difference = numpy.abs(run_ort(half, images) - expected).max() / numpy.abs(expected).max()
        self.assertLess(difference, 0.02)
        self.assertGreater(difference, 1e-6, "computed in f16")

    def test_int8(self):
        """Accurate, as its report says; the same answers in ONNX Runtime; the form that was asked for."""
        pixels = test_pixels(1000)
        images = self.normalised(pixels)
        for activations, kind in (("uint8", onnx.TensorProto.UINT8), ("int8", onnx.TensorProto.INT8)):
            out, result = self.export(f"{activations}.onnx", "--int8", "--calibrate", "fashion-mnist", "--activations", activations,
                                      "--ranges", "min-max", "--batch", 0)
            report = json.loads(result.stdout)
            measured = {one["name"]: one for one in report["measured"]}
            self.assertGreater(measured[str(out)]["accuracy"], measured["f32"]["accuracy"] - 0.01)
            self.assertEqual(sorted(one["layer"] for one in report["layers"]), list(range(len(report["layers"]))))
            self.assertTrue(all(one["error"] >= 0 for one in report["layers"]))
            model = onnx.load(out)
            onnx.checker.check_model(str(out), full_check=True)
            zero_points = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name.endswith("quantize.zero_point")}
            self.assertEqual({tensor.data_type for tensor in zero_points.values()}, {kind})
            if activations == "int8":
                self.assertEqual({onnx.numpy_helper.to_array(tensor).item() for tensor in zero_points.values()}, {0})
            self.assertGreater(sum(node.op_type in QUANTIZERS for node in model.graph.node), 20)
            same = (run_ort(out, images).argmax(1) == run_openvino(out, images).argmax(1)).mean()
            self.assertGreater(same, 0.97)
            verified = json.loads(self.verify(out, "--precision", "int8").stdout)
            self.assertTrue(verified["ok"])
            self.assertGreater(verified["max_difference"], 1e-3, "computed in int8")
            self.assertGreater(verified["median_us"], 0)

    def test_layers_stay_float_until_it_holds(self):
        """What is asked cannot be had with every layer in int8 when nothing at all may change."""
        out, result = self.export("strict.onnx", "--int8", "--calibrate", "fashion-mnist", "--max-drop", 0, "--ranges", "entropy",
                                  "--images", 2, check=(0, 3))
        if result.returncode == 3 and not out.exists():
            self.assertIn("all layers but one in float", result.stderr)
            return
        report = json.loads(result.stdout)
        in_float = {one["layer"] for one in report["layers"] if one["float"]}
        errors = [one["error"] for one in report["layers"]]
        self.assertEqual(errors, sorted(errors, reverse=True))
        self.assertEqual(in_float, {one["layer"] for one in report["layers"][: len(in_float)]}, "the most sensitive ones")

    def test_hardly_trained_networks_pass(self):
        """Their logits are large, and what rounding does to them, too."""
        folder = self.folder / "hardly"
        testing.run("net", "train", "mobilenet_v2@28x0.35", "--recipe", "quick", "--set", "images_per_epoch=2048", "--out", folder, check=0)
        model = folder / "model.onnx"
        testing.run("net", "export", folder / "network.json", "--weights", folder / "weights.safetensors", "-o", model, check=0)
        verify = ("net", "verify", folder / "network.json", "--weights", folder / "weights.safetensors", "--onnx", model, "--images", 500)
        self.assertTrue(testing.run_json(*verify)["ok"])
        # That is no licence: weights that are a little off are still found out.
        other = self.folder / "other.onnx"
        content = bytearray(model.read_bytes())
        tensor = next(t for t in onnx.load(model).graph.initializer if t.name == "l01.depthwise.weight")
        changed = numpy.frombuffer(tensor.raw_data, dtype=numpy.float32) * numpy.float32(1.05)
        at = content.index(tensor.raw_data)
        content[at : at + len(tensor.raw_data)] = changed.tobytes()
        other.write_bytes(content)
        testing.run(*verify[:6], other, *verify[7:], check=3)

    def test_verify_tells_another_network(self):
        other = self.folder / "other.onnx"
        testing.run("net", "export", self.network, "--random", "-o", other, check=0)
        self.assertIn("does not match the trained model: logits differ", self.verify(other, check=3).stderr)
        self.assertTrue(json.loads(self.verify(self.export("same.onnx")[0]).stdout)["ok"])

    def test_bad_input_leaves_nothing(self):
        out = self.folder / "bad.onnx"

        def fails(fragment, *options, weights=self.weights, code=2):
            result = testing.run("net", "export", self.network, "--weights", weights, "-o", out, *options, check=code)
            self.assertIn(fragment, result.stderr)
            self.assertFalse(out.exists())

        fails("--calibrate", "--int8")
        (self.folder / "empty/train/some").mkdir(parents=True)
        (self.folder / "empty/val/some").mkdir(parents=True)
        fails(str(self.folder / "empty/train"), "--int8", "--calibrate", self.folder / "empty")
        for part in ("train", "val"):
            for name in ("a", "b"):
                folder = self.folder / "two" / part / name
                folder.mkdir(parents=True)
                for number in range(20):
                    Image.fromarray(numpy.zeros((28, 28), dtype=numpy.uint8)).save(folder / f"{number}.png")
        fails("the data set has 2 classes, 'small' has 10", "--int8", "--calibrate", self.folder / "two")
        fails("opset 9", "--opset", "9")
        fails("KEY=VALUE", "--metadata", "nonsense")
        content = self.weights.read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])

        def damaged(name, change):
            changed = json.loads(json.dumps(header))
            change(changed)
            text = json.dumps(changed).encode()
            path = self.folder / name
            path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
            return path

        first = header["l00.conv.weight"]["data_offsets"]
        bias = header["l00.conv.bn.bias"]["data_offsets"]
        fails("l00.conv.weight", weights=damaged("huge", lambda h: h["l00.conv.weight"].update(shape=[10**9, 10**9])))
        fails("overlaps", weights=damaged("overlap", lambda h: h["l00.conv.bn.mean"].update(data_offsets=bias)))
        nan = bytearray(content)
        nan[8 + size + first[0] : 8 + size + first[0] + 4] = struct.pack("<f", float("nan"))
        path = self.folder / "nan.safetensors"
        path.write_bytes(nan)
        fails("'l00.conv.weight' is not finite", weights=path)
        other = self.folder / "other.json"
        other.write_text(self.network.read_text().replace('"mid_channels": 128', '"mid_channels": 96').replace('"mid_channels":128',
                                                                                                                '"mid_channels":96'))
        result = testing.run("net", "export", other, "--weights", self.weights, "-o", out, check=2)
        self.assertIn("tensor 'l04.conv.weight' should have shape [96, 40, 1, 1], but has shape [128, 40, 1, 1]", result.stderr)
        refused = self.folder / "refused.onnx"
        refused.write_bytes(b"no model")
        self.assertIn("refused.onnx", self.verify(refused, check=2).stderr)


if __name__ == "__main__":
    testing.main()
