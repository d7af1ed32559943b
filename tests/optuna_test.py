"""study.db as Optuna sees it: `optuna_test.py LATHE [STUDY_FOLDER]`; without a folder, a small search makes one."""

import json
import pathlib
import shutil
import sqlite3
import sys
import unittest
import wsgiref.util

import lathe_testing as testing

try:
    import optuna
except ImportError:
    optuna = None

FOLDER = sys.argv[2] if len(sys.argv) > 2 else ""


def schema(path):
    """Table -> columns with type and nullability, without Lathe's own tables."""
    with sqlite3.connect(path) as database:
        tables = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        return {table: [row[1:4] for row in database.execute(f"pragma table_info({table})")]
                for table in sorted(tables) if not table.startswith("lathe_")}


class StudyOfOptuna(testing.TestCase):
    """One search for all tests of a class, each with a copy of its database."""

    settings = ()  # of the search

    @classmethod
    def setUpClass(cls):
        if optuna is None:
            raise unittest.SkipTest("SKIPPED: optuna is not installed (pip install optuna)")
        cls.out = pathlib.Path(FOLDER)
        if not FOLDER:
            cls._search = testing.TestCase()
            testing.TestCase.setUp(cls._search)
            cls.addClassCleanup(cls._search.doCleanups)
            cls.out = cls._search.folder / "out"
            sets = [word for setting in cls.settings for word in ("--set", setting)]
            testing.run("search", cls._search.study(trials=6, images=256), "--dir", cls.out, *sets, check=testing.SEARCHED)

    def setUp(self):
        super().setUp()
        out = self.out
        self.trials = testing.run_json("study", "trials", out)
        self.name = testing.run_json("study", "status", out)["study"]
        self.database = self.folder / "study.db"
        shutil.copy(out / "study.db", self.database)  # Optuna may write
        self.url = f"sqlite:///{self.database}"


class OptunaTest(StudyOfOptuna):
    settings = ("trial.epochs=2", "pruning.rule=halving", "pruning.reduction=2", "pruning.startup=1")

    def test_same_trials(self):
        study = optuna.load_study(study_name=self.name, storage=self.url)
        self.assertEqual([t.number for t in study.trials], [t["number"] for t in self.trials])
        if not FOLDER:
            self.assertEqual({t.state.name for t in study.trials}, {"COMPLETE", "PRUNED"})
        for theirs, ours in zip(study.trials, self.trials):
            self.assertEqual(theirs.state.name, ours["state"])
            self.assertEqual(theirs.params, ours["params"])
            self.assertEqual(theirs.value, ours.get("value"))
            if ours["state"] == "PRUNED":
                objective = theirs.intermediate_values[theirs.last_step] + 0.1 * ours["latency_us"] / 1000
                self.assertAlmostEqual(theirs.value, objective, places=9)
            self.assertEqual(theirs.user_attrs["latency_us"], ours["latency_us"])
            if theirs.state.is_finished():
                self.assertGreaterEqual(theirs.duration.total_seconds(), 0)
            for name, value in ours["metrics"].items():
                self.assertEqual(theirs.user_attrs[name], value)
        complete = [t for t in self.trials if t["state"] == "COMPLETE"]
        if complete:
            self.assertEqual(study.best_value, min(t["value"] for t in complete))

    def test_the_dashboard_shows_it(self):
        try:
            from optuna_dashboard import wsgi
        except ImportError:
            self.skipTest("SKIPPED: optuna-dashboard is not installed (scripts/setup --tests)")
        application = wsgi(optuna.storages.RDBStorage(self.url))

        def get(path):
            status = []
            environment = {"PATH_INFO": path, "QUERY_STRING": "after=0"}
            wsgiref.util.setup_testing_defaults(environment)
            body = b"".join(application(environment, lambda line, headers, error=None: status.append(line)))
            self.assertEqual(status, ["200 OK"])
            return json.loads(body)

        studies = get("/api/studies")["study_summaries"]
        self.assertEqual([study["study_name"] for study in studies], [self.name])
        shown = get(f"/api/studies/{studies[0]['study_id']}")["trials"]
        self.assertEqual([trial["state"].upper() for trial in shown], [trial["state"] for trial in self.trials])
        for theirs, ours in zip(shown, self.trials):
            self.assertEqual({param["name"]: int(param["param_external_value"]) for param in theirs["params"]}, ours["params"])

    def test_same_schema(self):
        fresh = self.folder / "optuna.db"
        optuna.create_study(storage=f"sqlite:///{fresh}")
        self.assertEqual(schema(self.database), schema(fresh))
        with sqlite3.connect(self.database) as ours, sqlite3.connect(fresh) as theirs:
            for query in ("select version_num from alembic_version", "select schema_version from version_info"):
                self.assertEqual(ours.execute(query).fetchall(), theirs.execute(query).fetchall())

    def test_optuna_can_go_on(self):
        study = optuna.load_study(study_name=self.name, storage=self.url)
        first = study.trials[0]
        study.add_trial(optuna.trial.create_trial(value=1.0, params=first.params, distributions=first.distributions))
        self.assertEqual(len(optuna.load_study(study_name=self.name, storage=self.url).trials), len(self.trials) + 1)


@unittest.skipIf(FOLDER, "of a search of its own")
class FrontTest(StudyOfOptuna):
    settings = ("search.goal=front",)

    def test_two_values(self):
        study = optuna.load_study(study_name=self.name, storage=self.url)
        self.assertEqual([direction.name for direction in study.directions], ["MINIMIZE", "MINIMIZE"])
        points = {}
        for theirs, ours in zip(study.trials, self.trials, strict=True):
            self.assertEqual(theirs.values, [ours["value"], ours["latency_us"]])
            self.assertAlmostEqual(ours["value"], 1 - ours["metrics"]["accuracy"], places=12)
            points[ours["number"]] = (ours["value"], ours["latency_us"])
        front = {number for number, a in points.items()
                 if not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in points.values())}
        self.assertEqual({trial.number for trial in study.best_trials}, front)
        ranked = testing.run_json("study", "rank", self.out)
        self.assertEqual({trial["number"] for trial in ranked}, front)
        best = testing.run_json("study", "best", self.out)[0]
        self.assertEqual(best["value"], min(value for value, _ in points.values()))

    def test_the_goal_stays(self):
        file = self.out.parent / "study.toml"
        for setting, message in (("search.goal=weighted", "front"), ("search.goal=accuracy", "front")):
            result = testing.run("search", file, "--dir", self.out, "--resume", "--quiet", "--set", setting)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(message, result.stderr)
        self.assertIn('goal = "front"', (self.out / "study.toml").read_text(), "what was refused leaves no trace")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
