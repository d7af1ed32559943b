"""`lathe lut import`: a table of timed convolutions becomes a LUT that stage 1 runs on; bad tables are refused."""

import json
import math

import lathe_testing as testing

SPACE = testing.ROOT / "configs/spaces/gpunet.toml"
GPUNETS = testing.ROOT / "configs/latencies/gpunet-v100.csv"
V100 = testing.ROOT.parent / "shared/data/v100-tensorrt-conv/conv_data.out.fp16"
SMALL = ["--restrict", "resolution=224,256", "--restrict", "stage2.kernel=3", "--restrict", "stage3.kernel=3"]


def law(depthwise, width, image, out, kernel, stride, fused):
    """Milliseconds of an imaginary device."""
    side = math.ceil(image / stride)
    weights = out * kernel * kernel * (1 if depthwise else width)
    images = width * image**2 + out * side**2 * (1 + fused)
    return (9 + weights * side**2 / 8e6 + (weights + images) / 4e5) / 1000


def law_table():
    lines = []
    for depthwise in (False, True):
        for kernel in (1, 3, 5, 7):
            for stride in (1, 2):
                for fused in (0, 1):
                    for image in (6, 8, 14, 26, 42, 74, 126, 214, 366):
                        for width in (3, 16, 32, 64, 96, 192, 384, 768, 1536, 3072):
                            for ratio in (0.25, 1, 4):
                                if depthwise and (fused or ratio != 1):
                                    continue
                                out = width if depthwise else max(8, int(width * ratio))
                                ms = law(depthwise, width, image, out, kernel, stride, fused)
                                kind = "Depthwise" if depthwise else "Regular"
                                lines.append(f"{{{kind},1,{width},{image},{image},{out},{kernel},{stride},{fused}}} {ms:.6f}")
    return lines


class LutImportTest(testing.TestCase):
    def setUp(self):
        super().setUp()
        self.table = self.folder / "conv.txt"
        self.lut = self.folder / "lut.json"

    def convert(self, *arguments, check=0, form="tensorrt-conv", table=None):
        return testing.run("lut", "import", table or self.table, "--format", form, "--out", self.lut, *arguments, check=check)

    def test_stage_1_runs_on_an_imported_table(self):
        self.table.write_text("\n".join(law_table()) + "\n")
        self.convert("--space", SPACE, *SMALL, "--device-name", "imaginary")
        shown = testing.run("lut", "show", self.lut, check=0).stdout
        self.assertIn("device_name: imaginary", shown)
        self.assertIn("precision: f16", shown)
        counted = testing.run_json("space", "count", "--space", SPACE, *SMALL, "--lut", self.lut, "--edges", "1,1.5,2")
        self.assertGreater(int(counted["buckets"][1]["count"]), 0)
        drawn = testing.run("space", "sample", "--space", SPACE, *SMALL, "--lut", self.lut, "--between", "0", "1.5", "--exact",
                            "--count", "3", check=0)
        self.assertEqual(len(drawn.stdout.strip().splitlines()), 3, drawn.stdout)

    def test_calibration_is_told(self):
        self.table.write_text("\n".join(law_table()))
        result = json.loads(self.convert("--calibrate", GPUNETS, "--json").stdout)
        calibration = result["calibration"]
        self.assertEqual([row["name"] for row in calibration["networks"]][:3], ["gpunet_0", "gpunet_1", "gpunet_2"])
        self.assertEqual(json.loads(self.lut.read_text())["band"], calibration["left_out"])
        self.assertLess(calibration["after"]["mape"], calibration["alone"]["mape"])
        text = self.convert("--calibrate", GPUNETS).stdout
        for word in ("gpunet_d2", "left out", "mean |error|", "bias", "Spearman", "ranking"):
            self.assertIn(word, text)

    def test_v100(self):
        """NVIDIA's latencies of the released GPUNets, each predicted with numbers fitted to the other six; networks under 0.5 ms."""
        if not V100.is_file():
            self.skipTest(f"SKIPPED: the published convolutions are not at {V100}")
        result = json.loads(self.convert("--space", SPACE, "--calibrate", GPUNETS, "--json", table=V100).stdout)
        calibration = result["calibration"]
        self.assertEqual(calibration["wrong_pairs"], 0)
        self.assertLess(calibration["left_out"]["mape"], 0.075)
        self.assertLess(self.lut.stat().st_size, 12e6)
        counted = testing.run_json("space", "count", "--space", SPACE, "--lut", self.lut, "--edges", "0.5")
        self.assertGreater(int(counted["buckets"][0]["count"]), 0)
        drawn = testing.run("space", "sample", "--space", SPACE, "--lut", self.lut, "--between", "0", "0.5", "--exact", "--count", "5",
                            check=0).stdout
        latencies_ms = [float(line.split()[1]) for line in drawn.strip().splitlines()]
        self.assertEqual(len(latencies_ms), 5)
        self.assertTrue(all(0 < latency <= 0.5 for latency in latencies_ms), drawn)

    def test_ofa(self):
        table = self.folder / "table.yaml"
        table.write_text("Conv-input:224x224x3-output:112x112x32: {count: 10, mean: 2.0, std: 0.1}\n"
                         "bottleneck-input:14x14x32-output:14x14x64: {count: 10, mean: 2.0, std: 0.1}\n")
        result = self.convert("--json", form="ofa", table=table)
        told = json.loads(result.stdout)
        self.assertEqual((told["entries"], told["keys"]), (1, 2))
        self.assertIn("1 keys left out", result.stderr)
        self.assertIn("bottleneck-input:14x14x32-output:14x14x64", result.stderr)
        self.assertIn("conv_i3x224x224_o32_k3_s2_relu6", self.lut.read_text())

    def test_bad_input(self):
        def fails(text, *fragments, arguments=(), form="tensorrt-conv"):
            self.table.write_text(text)
            message = self.convert(*arguments, check=2, form=form).stderr
            for fragment in fragments:
                self.assertIn(fragment, message)
            self.assertFalse(self.lut.exists())

        good = "{Regular,1,96,56,56,192,1,1,0} 0.0135\n"
        fails(good + "{Regular,1,96,56,56,192,1,1,1} 0\n", f"{self.table}:2:", "above 0")
        fails(good + "{Regular,1,96,56", f"{self.table}:2:")
        fails(good, "batch 8", "1 (1 lines)", arguments=["--batch", "8"])
        fails(good, "convolutions of kernel")
        fails("a: 1\n", f"{self.table}:1", form="ofa")
        fails("Conv-input:224x224x3-output:112x112x32: {mean: 2}\n", "--calibrate", form="ofa", arguments=["--calibrate", GPUNETS])
        fails(good, "takes one file", arguments=[self.table])


if __name__ == "__main__":
    testing.main()
