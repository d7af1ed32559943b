"""`lathe space` on a small space with a table of the fake engine: counts against a list of all networks, draws, messages."""

import csv
import json
import math
import struct

import lathe_testing as testing

SPACE = testing.ROOT / "configs/spaces/small-images.toml"
# 2,304 networks: small enough to list, with stages that may be empty.
RESTRICT = ["resolution=28", "stage1.kernel=3", "stage1.activation=relu", "stage1.layers=1", "stage2.kernel=3", "stage2.expansion=2",
            "stage2.activation=relu,swish", "stage2.layers=1", "stage2.filters=16", "stage3.kernel=3", "stage3.expansion=2",
            "stage3.activation=swish", "stage3.layers=1", "stage3.filters=24", "stage4.kernel=3", "stage4.activation=swish",
            "stage4.expansion=2", "stage4.layers=1,2", "stage4.filters=48,96", "stage4.se=0", "stage5.kernel=3,5", "stage5.expansion=4",
            "stage5.se=0,1", "stage5.activation=swish", "stage5.filters=64,96", "stage6.kernel=3", "stage6.activation=swish",
            "stage6.layers=1", "stage6.se=1", "stage6.filters=96,128", "stage6.expansion=2,4", "stage7.kernel=3",
            "stage7.activation=swish", "stage7.se=0", "stage7.filters=128,192,256", "stage7.expansion=2"]


class SpaceTest(testing.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lut = testing.pathlib.Path(testing.tempfile.mkdtemp(prefix="lathe-test-")) / "lut.json"
        cls.addClassCleanup(testing.shutil.rmtree, cls.lut.parent)
        testing.run("lut", "build", *cls.space(), "--engine", "fake", "--minutes", "0.05", "--out", cls.lut, check=0)

    @staticmethod
    def space():
        return ["--space", SPACE, *[word for text in RESTRICT for word in ("--restrict", text)], "--channels", "1", "--classes", "10"]

    def call(self, command, *arguments, **options):
        return testing.run("space", command, *self.space(), "--lut", self.lut, *arguments, **options)

    def everything(self):
        """Encoding -> latency in us of all networks: Sobol points until no new one comes."""
        file = self.folder / "all.csv"
        self.call("sample", "--count", "200000", "--out", file, "--quiet", check=0)
        with open(file, newline="") as lines:
            rows = list(csv.reader(lines))
        self.assertEqual(rows[0][0], "resolution")
        self.assertEqual(rows[0][-1], "latency_us")
        return {tuple(map(int, row[:-1])): float(row[-1]) for row in rows[1:]}

    def test_counts_are_those_of_the_list(self):
        networks = self.everything()
        latencies = sorted(networks.values())
        edges = [latencies[len(latencies) * i // 4] / 1000 for i in (1, 2, 3)]
        expected = [0] * 4
        for latency in latencies:
            expected[sum(latency >= 1000 * edge for edge in edges)] += 1
        text = ",".join(f"{edge:.9f}" for edge in edges)
        counted = json.loads(self.call("count", "--edges", text, "--json", check=0).stdout)
        self.assertEqual(counted["networks"], str(len(networks)))
        self.assertEqual([int(bucket["count"]) for bucket in counted["buckets"]], expected)
        for bucket, count in zip(counted["buckets"], expected):
            self.assertAlmostEqual(bucket["sobol_estimate"] / count, 1, delta=0.05)
        self.assertIn("one by one", self.call("count", "--edges", text, check=0).stdout)

    def test_exact_draws_lie_inside(self):
        networks = self.everything()
        latencies = sorted(networks.values())
        low, high = latencies[100] / 1000, latencies[200] / 1000
        inside = {e for e, latency in networks.items() if low <= latency / 1000 <= high}
        draws = json.loads(self.call("sample", "--exact", "--between", f"{low:.9f}", f"{high:.9f}", "--count", "5000", "--json",
                                     check=0).stdout)
        drawn = {tuple(draw["encoding"]) for draw in draws}
        self.assertEqual(len(draws), 5000)
        self.assertEqual(drawn, inside, "all networks of the sub-space, and no other")
        limit = sorted(draw["params"] for draw in draws)[1000]
        few = json.loads(self.call("sample", "--exact", "--between", f"{low:.9f}", f"{high:.9f}", "--count", "500", "--json",
                                   "--max-params", str(limit), check=0).stdout)
        self.assertLessEqual(max(draw["params"] for draw in few), limit)
        again = json.loads(self.call("sample", "--exact", "--between", f"{low:.9f}", f"{high:.9f}", "--count", "500", "--json",
                                     "--max-params", str(limit), check=0).stdout)
        self.assertEqual(few, again, "the same seed draws the same networks")

    def test_binary_file(self):
        file, lines = self.folder / "some.bin", self.folder / "some.csv"
        self.call("sample", "--count", "1000", "--out", file, "--format", "binary", "--quiet", check=0)
        self.call("sample", "--count", "1000", "--out", lines, "--quiet", check=0)
        header, data = file.read_bytes().split(b"\n", 1)
        genes = json.loads(header)["genes"]
        with open(lines, newline="") as text:
            rows = list(csv.reader(text))[1:]
        size = len(genes) + 4
        self.assertEqual(len(data), 1000 * size)
        for i, row in enumerate(rows):
            record = data[i * size:(i + 1) * size]
            self.assertEqual([gene["choices"][c] for gene, c in zip(genes, record)], [int(v) for v in row[:-1]])
            self.assertTrue(math.isclose(struct.unpack("<f", record[-4:])[0], float(row[-1]), rel_tol=1e-6))

    def test_describe(self):
        description = json.loads(self.call("describe", "--json", check=0).stdout)
        low, high = description["latency_ms"]["p5"], description["latency_ms"]["median"]
        described = json.loads(self.call("describe", "--json", "--budget", high, check=0).stdout)
        count = json.loads(self.call("count", "--edges", high, "--json", check=0).stdout)
        self.assertEqual(description["networks"], count["networks"])
        self.assertAlmostEqual(described["budget"]["share"], count["buckets"][0]["share"], delta=0.01)
        self.assertAlmostEqual(described["budget"]["share"], 0.5, delta=0.02)
        for gene, shares in described["subspace"]["genes"].items():
            self.assertAlmostEqual(sum(shares["share"]), 1, msg=gene)
            self.assertAlmostEqual(sum(shares["share_in_space"]), 1, msg=gene)
        picture = self.folder / "space.svg"
        text = self.call("describe", "--between", low, high, "--picture", picture, check=0).stdout
        self.assertIn("times as", text)
        self.assertIn("</svg>", picture.read_text())
        self.assertIn("No network lies", self.call("describe", "--budget", "0.001", check=0).stdout)
        without = testing.run("space", "describe", *self.space(), check=0).stdout
        self.assertIn("MACs", without)

    def test_nearest_encoding_is_offered(self):
        gpunet = testing.ROOT / "configs/spaces/gpunet.toml"
        failed = testing.run("space", "encode", "--space", gpunet, "gpunet_1@300", check=2)
        self.assertIn("nearest encoding", failed.stderr)
        nearest = testing.run("space", "encode", "--space", gpunet, "gpunet_1@300", "--nearest", check=0).stdout.strip()
        self.assertIn(nearest, failed.stderr)
        testing.run("space", "decode", "--space", gpunet, nearest, check=0)

    def test_messages(self):
        def fails(code, *fragments, arguments):
            result = testing.run("space", *arguments)
            self.assertEqual(result.returncode, code, result.stderr)
            for fragment in fragments:
                self.assertIn(fragment, result.stderr)

        space, lut = self.space(), ["--lut", self.lut]
        fails(2, "ascend", arguments=["count", *space, *lut, "--edges", "0.2,0.1"])
        fails(2, "stage4.filters", "nearest", arguments=["count", *space, *lut, "--edges", "1", "--restrict", "stage4.filters=50"])
        fails(2, "GENE=CHOICE", arguments=["describe", "--space", SPACE, "--restrict", "resolution"])
        fails(2, "resolution", arguments=["describe", "--space", SPACE, "--restrict", "resolutoin=28"])
        fails(2, "--lut", arguments=["sample", *space, "--exact"])
        fails(3, "no network", arguments=["sample", *space, *lut, "--exact", "--between", "5", "6"])
        fails(3, "--exact", arguments=["sample", *space, *lut, "--between", "5", "6"])
        fails(2, "coarser", arguments=["count", "--space", SPACE, *lut, "--edges", "100", "--resolution-us", "0.0001"])
        # A table that lacks layers: how many, and how to fill it.
        fails(2, "lacks", "lathe lut build", arguments=["count", "--space", SPACE, *lut, "--edges", "1", "--measured-only"])
        table = json.loads(self.lut.read_text())
        table["entries"] = {k: v for k, v in table["entries"].items() if not k.startswith("irb")} if isinstance(
            table["entries"], dict) else [e for e in table["entries"] if not e["key"].startswith("irb")]
        poor = self.folder / "poor.json"
        poor.write_text(json.dumps(table))
        fails(2, "lacks", "'irb'", "lathe lut build", arguments=["count", *space, "--lut", poor, "--edges", "1"])


if __name__ == "__main__":
    testing.main()
