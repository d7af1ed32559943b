"""Commands of the documentation's pages, run in their order as they stand there, only shorter. So are own-pictures.md (init_test.py) and
own-trainer.md (command_evaluator_test.py); what lut-import.md and slurm.md tell is tested by lut_import_test.py and slurm_test.py."""

import re
import shlex

import lathe_testing as testing
import pictures_testing

# In place of what a reader has, or has the time for.
INSTEAD = {"--minutes 5": "--minutes 0.1", "--count 10": "--count 2", "--processes 8": "--processes 2", "gpunet_1": "gpunet_1@64",
           "fashion-mnist": "pictures", "flowers": "pictures", "imagenet": "pictures", "DATA": "pictures",
           " network.json": " out/network.json", " weights.safetensors": " out/weights.safetensors"}
# What is added to a command so that it ends soon.
SHORT_TRAINING = ["--set", "images_per_epoch=64", "--set", "batch=16", "--epochs", "1"]
ADDED = {("init",): ["--no-estimate"], ("net", "train"): SHORT_TRAINING, ("net", "verify"): ["--data", "pictures"],
         ("search",): [word for key in ("search.trials=1", "trial.epochs=1", "finalists.epochs=1", "finalists.count=1", "int8.finalists=false",
                                        'baselines.networks=["mobilenet_v3_small"]', "stage1.points=256", "stage1.subspace_ms=[0.02, 1.0]",
                                        "target.latency_ms=10") for word in ("--set", key)]}
ENDS = {("search",): testing.SEARCHED, ("net", "verify"): testing.SEARCHED, ("net", "export"): (0, 3)}  # hardly trained networks


class PagesTest(testing.TestCase):
    def setUp(self):
        super().setUp()
        (self.folder / "configs").symlink_to(testing.ROOT / "configs")
        pictures_testing.striped(self.folder / "pictures", {"train": 40, "val": 10}, names=("cat", "dog"))

    def run_page(self, name):
        text = (testing.ROOT / "docs" / name).read_text()
        lines = [line.split("  #")[0] for line in re.findall(r"^    lathe (.*)$", text, re.MULTILINE)]
        for line in lines:
            for old, new in INSTEAD.items():
                line = line.replace(old, new)
            words = shlex.split(line)
            command = tuple(words[:2]) if tuple(words[:2]) in ADDED | ENDS else (words[0],)
            if command == ("net", "train") and "--data" not in words:
                words += ["--data", "pictures"]
            testing.run(*words, *ADDED.get(command, []), check=ENDS.get(command, 0), cwd=self.folder, env={"XDG_CACHE_HOME": str(self.folder / "cache")})
        return len(lines)

    def test_own_device(self):
        self.assertGreaterEqual(self.run_page("own-device.md"), 7)
        self.assertTrue((self.folder / "runs/pictures/finalists.json").exists())
        self.assertEqual((self.folder / "runs/pictures/lut.json").read_text(), (self.folder / "lut.json").read_text())

    def test_deploy(self):
        self.assertGreaterEqual(self.run_page("deploy.md"), 5)
        self.assertTrue((self.folder / "model.onnx").exists())

    def test_training(self):
        self.assertGreaterEqual(self.run_page("training.md"), 2)
        for name in ("out", "gpunet"):
            self.assertTrue((self.folder / name / "weights.safetensors").exists())


if __name__ == "__main__":
    testing.main()
