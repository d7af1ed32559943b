"""The zoo's exact costs: NVIDIA's own counts for the released GPUNets, torchvision's for the baselines."""

import json

import lathe_testing as testing

# Parameters and multiply-accumulates (convolutions and fully connected layers) at the native resolution.
GPUNETS = {
    "gpunet_0": ("0.65ms.json", 320, 11_885_432, 3.254),
    "gpunet_1": ("0.85ms.json", 288, 12_704_192, 3.308),
    "gpunet_2": ("1.75ms.json", 384, 25_798_704, 8.386),
    "gpunet_p0": ("0.5ms-D.json", 224, 22_815_080, 1.870),
    "gpunet_p1": ("0.8ms-D.json", 224, 39_905_672, 3.242),
    "gpunet_d1": ("1.25ms-D.json", 456, 10_589_859, 4.290),
    "gpunet_d2": ("2.25ms-D.json", 528, 19_036_728, 15.740),
}
BASELINES = {
    "mobilenet_v2": (224, 3_504_872),
    "mobilenet_v3_large": (224, 5_483_032),
    "mobilenet_v3_small": (224, 2_542_856),
    "efficientnet_b0": (224, 5_288_548),
    "efficientnet_v2_s": (384, 21_458_488),
}


class ZooTest(testing.TestCase):
    def test_costs(self):
        zoo = {entry["name"]: entry for entry in testing.run_json("zoo", "list")}
        for name, (_, resolution, params, gmacs) in GPUNETS.items():
            self.assertEqual((zoo[name]["resolution"], zoo[name]["params"]), (resolution, params), name)
            self.assertAlmostEqual(zoo[name]["macs"] / 1e9, gmacs, delta=0.0006, msg=name)
        for name, (resolution, params) in BASELINES.items():
            self.assertEqual((zoo[name]["resolution"], zoo[name]["params"]), (resolution, params), name)

    def test_released_files_equal_the_zoo(self):
        data = testing.ROOT.parent / "shared/data/gpunet"
        if not data.is_dir():
            self.skipTest(f"SKIPPED: the released GPUNet files are not at {data}")
        for name, (file, *_) in GPUNETS.items():
            from_file = testing.run_json("net", "show", data / file)
            from_zoo = testing.run_json("zoo", "show", name)
            self.assertEqual(from_file["layers"], from_zoo["layers"], name)
            self.assertEqual(from_file["input"], from_zoo["input"], name)

    def test_resolution_and_width_are_parameters(self):
        small = testing.run_json("zoo", "show", "mobilenet_v2@64x0.5", "--classes", "10", "--channels", "1")
        self.assertEqual(small["input"], [1, 64, 64])
        written = self.folder / "network.json"
        testing.run("zoo", "export", "mobilenet_v2@64x0.5", "--out", written, check=0)
        self.assertEqual(testing.run_json("net", "show", written)["layers"], json.loads(written.read_text())["layers"])


if __name__ == "__main__":
    testing.main()
