// The tables of study.db: Optuna 5's (schema 12, revision v3.2.0.a, as its SQLite storage creates
// them), then Lathe's own.
#pragma once

namespace lathe::study {

// Of Lathe's tables. 1 had no lathe_call; 1 and 2 had no kFastSchema.
inline constexpr int kStoreVersion = 3;
inline constexpr int kCallVersion = 2, kFastVersion = 3;  // from which on they are there

inline constexpr char kOptunaSchema[] = R"sql(
CREATE TABLE studies (
  study_id INTEGER NOT NULL,
  study_name VARCHAR(512) NOT NULL,
  PRIMARY KEY (study_id)
);
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE TABLE version_info (
  version_info_id INTEGER NOT NULL,
  schema_version INTEGER,
  library_version VARCHAR(256),
  PRIMARY KEY (version_info_id),
  CHECK (version_info_id=1)
);
INSERT INTO version_info VALUES (1, 12, '5.0.0');
CREATE TABLE alembic_version (
  version_num VARCHAR(32) NOT NULL,
  CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('v3.2.0.a');
CREATE TABLE study_directions (
  study_direction_id INTEGER NOT NULL,
  direction VARCHAR(8) NOT NULL,
  study_id INTEGER NOT NULL,
  objective INTEGER NOT NULL,
  PRIMARY KEY (study_direction_id),
  UNIQUE (study_id, objective),
  FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
  study_user_attribute_id INTEGER NOT NULL,
  study_id INTEGER,
  "key" VARCHAR(512),
  value_json TEXT,
  PRIMARY KEY (study_user_attribute_id),
  UNIQUE (study_id, "key"),
  FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_system_attributes (
  study_system_attribute_id INTEGER NOT NULL,
  study_id INTEGER,
  "key" VARCHAR(512),
  value_json TEXT,
  PRIMARY KEY (study_system_attribute_id),
  UNIQUE (study_id, "key"),
  FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE trials (
  trial_id INTEGER NOT NULL,
  number INTEGER,
  study_id INTEGER,
  state VARCHAR(8) NOT NULL,
  datetime_start DATETIME,
  datetime_complete DATETIME,
  PRIMARY KEY (trial_id),
  FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE INDEX ix_trials_study_id ON trials (study_id);
CREATE TABLE trial_user_attributes (
  trial_user_attribute_id INTEGER NOT NULL,
  trial_id INTEGER,
  "key" VARCHAR(512),
  value_json TEXT,
  PRIMARY KEY (trial_user_attribute_id),
  UNIQUE (trial_id, "key"),
  FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_system_attributes (
  trial_system_attribute_id INTEGER NOT NULL,
  trial_id INTEGER,
  "key" VARCHAR(512),
  value_json TEXT,
  PRIMARY KEY (trial_system_attribute_id),
  UNIQUE (trial_id, "key"),
  FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
  param_id INTEGER NOT NULL,
  trial_id INTEGER,
  param_name VARCHAR(512),
  param_value FLOAT,
  distribution_json TEXT,
  PRIMARY KEY (param_id),
  UNIQUE (trial_id, param_name),
  FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_values (
  trial_value_id INTEGER NOT NULL,
  trial_id INTEGER NOT NULL,
  objective INTEGER NOT NULL,
  value FLOAT,
  value_type VARCHAR(7) NOT NULL,
  PRIMARY KEY (trial_value_id),
  UNIQUE (trial_id, objective),
  FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
  trial_intermediate_value_id INTEGER NOT NULL,
  trial_id INTEGER NOT NULL,
  step INTEGER NOT NULL,
  intermediate_value FLOAT,
  intermediate_value_type VARCHAR(7) NOT NULL,
  PRIMARY KEY (trial_intermediate_value_id),
  UNIQUE (trial_id, step),
  FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_heartbeats (
  trial_heartbeat_id INTEGER NOT NULL,
  trial_id INTEGER NOT NULL,
  heartbeat DATETIME NOT NULL,
  PRIMARY KEY (trial_heartbeat_id),
  UNIQUE (trial_id),
  FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
)sql";

// begin_s, end_s: Unix seconds. crashes: starts that ended with evidence of a failure of the trial
// itself.
inline constexpr char kLatheSchema[] = R"sql(
CREATE TABLE lathe_info (
  version INTEGER NOT NULL,
  study_id INTEGER NOT NULL REFERENCES studies (study_id),
  parameters_json TEXT NOT NULL
);
CREATE TABLE lathe_trial (
  trial_id INTEGER PRIMARY KEY REFERENCES trials (trial_id),
  latency_us REAL NOT NULL,
  starts INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  begin_s REAL NOT NULL DEFAULT 0,
  end_s REAL NOT NULL DEFAULT 0
);
CREATE TABLE lathe_event (event_id INTEGER PRIMARY KEY, time_s REAL NOT NULL, text TEXT NOT NULL);
CREATE TABLE lathe_value (key TEXT PRIMARY KEY, value TEXT NOT NULL);
)sql";

// What the proposer was asked and told, in order; `trial` is a trial's number. A step is reported
// once.
inline constexpr char kCallSchema[] = R"sql(
CREATE TABLE lathe_call (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  trial INTEGER NOT NULL,
  step INTEGER,
  value REAL
);
CREATE UNIQUE INDEX ix_lathe_call_report ON lathe_call (trial, step) WHERE kind = 'report';
)sql";

// What keeps a study of 100,000 trials fast: a trial by its number, and its parameters in one place
// ("28,16,3"; Optuna's trial_params have a row and a distribution for each).
inline constexpr char kFastSchema[] = R"sql(
CREATE UNIQUE INDEX ix_lathe_trials_number ON trials (study_id, number);
ALTER TABLE lathe_trial ADD COLUMN encoding TEXT NOT NULL DEFAULT '';
)sql";

}  // namespace lathe::study
