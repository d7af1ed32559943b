"""`lathe simulate`: a made-up table, and the recorded NAS-Bench-Macro where it is there."""

import json
import statistics
import unittest

import lathe_testing as testing

NAS_BENCH_MACRO = testing.ROOT.parent / "shared/data/nas-bench-macro/nas-bench-macro_cifar10.json"


class SimulateTest(testing.TestCase):
    def table(self):
        file = self.folder / "table.csv"
        rows = ["a,b,kind,flops,loss"]
        for a in range(8):
            for b in range(8):
                for kind in ("x", "y"):
                    rows.append(f"{a},{b},{kind},{a + b},{(a - 3) ** 2 + (b - 5) ** 2 + (kind == 'y')}")
        file.write_text("\n".join(rows) + "\n")
        return file

    def test_finds_the_best_feasible_row(self):
        result = testing.run_json("simulate", self.table(), "--params", "a,b,kind", "--objective", "loss", "--constraint", "flops<=8",
                                  "--budget", "60", "--seeds", "3", "--workers", "4", "--fail-rate", "0.1", "--quiet")
        self.assertEqual(result["best"], 0)
        self.assertLess(result["median_evaluations"], 40)
        for seed in result["seeds"]:
            self.assertEqual((seed["lost"], seed["repeated"]), (0, 0))
            self.assertEqual(len(set(seed["rows"])), 60)
            self.assertEqual(seed["best_after"], sorted(seed["best_after"], reverse=True))
            self.assertEqual(seed["ends_s"], sorted(seed["ends_s"]))
            self.assertEqual(seed["ends_s"][-1], seed["simulated_seconds"])

    def test_messages(self):
        table = self.table()
        for fragment, *arguments in (("did you mean 'loss'", "--objective", "los"),
                                     ("COLUMN<=NUMBER", "--objective", "loss", "--constraint", "flops<8"),
                                     ("did you mean 'bayes'", "--objective", "loss", "--proposer", "baies")):
            self.assertIn(fragment, testing.run("simulate", table, *arguments, check=2).stderr)
        self.assertIn("no row", testing.run("simulate", table, "--objective", "loss", "--constraint", "flops<=-1", check=3).stderr)
        testing.run("simulate", self.folder / "none.csv", "--objective", "loss", check=2)

    @unittest.skipUnless(NAS_BENCH_MACRO.exists(), f"SKIPPED: {NAS_BENCH_MACRO} is not there")
    def test_nas_bench_macro(self):
        """The proposer needs far fewer evaluations than chance to come close to the best of 3,282 feasible networks."""
        networks = json.loads(NAS_BENCH_MACRO.read_text())
        limit = statistics.median(network["flops"] for network in networks.values())
        file = self.folder / "macro.csv"
        rows = [",".join([f"op{i}" for i in range(8)] + ["accuracy", "flops"])]
        rows += [",".join([*name, str(n["mean_acc"]), str(n["flops"])]) for name, n in sorted(networks.items())]
        file.write_text("\n".join(rows) + "\n")
        common = [file, "--objective", "accuracy", "--maximize", "--constraint", f"flops<={limit}", "--budget", "60", "--seeds", "5",
                  "--quiet"]
        best = {proposer: statistics.median(seed["best_after"][-1]
                                            for seed in testing.run_json("simulate", *common, "--proposer", proposer)["seeds"])
                for proposer in ("bayes", "random")}
        self.assertGreater(best["bayes"], 92.1)
        self.assertGreater(best["bayes"], best["random"] + 0.1)


if __name__ == "__main__":
    testing.main()
