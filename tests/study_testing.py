"""Studies for tests that look at them: searched in seconds, and grown larger than a test could search them."""

import json
import sqlite3

import lathe_testing as testing
import pictures_testing

# Of each new trial: number, whether it is complete, and reproducible noise in 0..1 from two primes.
NEW = """
CREATE TEMP TABLE new AS
  WITH RECURSIVE n (number) AS (SELECT :first UNION ALL SELECT number + 1 FROM n WHERE number + 1 < :count)
  SELECT number, :state AS state, (number * 7919 % 10007) / 10007.0 AS a, (number * 104729 % 99991) / 99991.0 AS b FROM n;
"""
FILL = """
INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete)
  SELECT number + 1, number, 1, state, '2026-01-01 00:00:00.000000', iif(state = 'RUNNING', NULL, '2026-01-01 00:01:00.000000') FROM new;
INSERT INTO lathe_trial (trial_id, latency_us, starts, begin_s, end_s)
  SELECT number + 1, 100 + 400 * a, 1, unixepoch() - 60, iif(state = 'RUNNING', 0, unixepoch()) FROM new;
INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
  SELECT number + 1, p.param_name,
         (SELECT param_value FROM trial_params s WHERE s.param_name = p.param_name
            AND s.trial_id = 1 + (number * (2 * p.param_id + 1) / 3) % :first), distribution_json
  FROM new CROSS JOIN trial_params p WHERE p.trial_id = 1;
INSERT INTO trial_user_attributes (trial_id, key, value_json)
  SELECT number + 1, 'params', 100000 + 1000 * CAST(500 * b AS INTEGER) FROM new
  UNION ALL SELECT number + 1, 'macs', 5000000 + 1000 * CAST(9000 * a AS INTEGER) FROM new;
"""
# Lathe's own column: the parameters' values in their order. Optuna's have indices of choices for some.
ENCODE = """
CREATE UNIQUE INDEX temp.ix_value ON value (param_name, param_value);
UPDATE lathe_trial SET encoding = (
    SELECT group_concat(external) FROM (SELECT external FROM trial_params JOIN value USING (param_name, param_value)
                                        WHERE trial_id = lathe_trial.trial_id ORDER BY position)) WHERE encoding = '';
DROP TABLE value;
"""
COMPLETE = """
INSERT INTO trial_values (trial_id, objective, value, value_type) SELECT number + 1, 0, 0.9 - 0.3 * a - 0.4 * b, 'FINITE' FROM new;
INSERT INTO trial_user_attributes (trial_id, key, value_json)
  SELECT number + 1, 'accuracy', 0.5 + 0.2 * a + 0.25 * b FROM new
  UNION ALL SELECT number + 1, 'loss', 0.9 - 0.3 * a - 0.4 * b FROM new;
"""


def quick_study(folder, trials):
    """The path of a study of a hundred pictures, in `folder`."""
    pictures_testing.striped(folder / "pictures", {"train": 40, "val": 10}, side=28)
    file = folder / "study.toml"
    file.write_text(testing.tiny_study(trials=trials, images=0, finalist_images=0)
                    .replace('kind = "fashion-mnist"\nvalidation = 1000', f'kind = "image-folder"\npath = "{folder}/pictures"\ncache_gb = 0')
                    .replace('recipe = "quick"', 'recipe = "quick"\nbatch = 16\nlearning_rate = 0.05')
                    .replace("build_seconds = 6", "build_seconds = 2"))
    return file


def grow(folder, count, state="COMPLETE"):
    """The study in `folder`, searched to its end, then has `count` trials; the new ones are in `state`, COMPLETE or RUNNING."""
    database = sqlite3.connect(folder / "study.db", isolation_level=None)
    first = database.execute("SELECT count(*) FROM trials").fetchone()[0]
    database.execute("PRAGMA synchronous = OFF")
    database.execute("BEGIN")
    for statement in (NEW + FILL + (COMPLETE if state == "COMPLETE" else "")).split(";\n"):
        values = {key: value for key, value in {"first": first, "count": count, "state": state}.items() if ":" + key in statement}
        database.execute(statement, values)
    database.execute("DROP TABLE new")
    known = dict(database.execute("SELECT trial_id, encoding FROM lathe_trial WHERE encoding <> ''"))
    names = [parameter["name"] for parameter in json.loads(database.execute("SELECT parameters_json FROM lathe_info").fetchone()[0])]
    database.execute("CREATE TEMP TABLE value (param_name TEXT, param_value REAL, external TEXT, position INTEGER)")
    values = {(name, value, known[trial].split(",")[names.index(name)], names.index(name)) for trial, name, value in
              database.execute("SELECT trial_id, param_name, param_value FROM trial_params") if trial in known}
    database.executemany("INSERT INTO value VALUES (?, ?, ?, ?)", values)
    for statement in ENCODE.split(";\n"):
        database.execute(statement)
    database.execute("COMMIT")
    database.close()
