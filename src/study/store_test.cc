#include "study/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>

#include "base/error.h"
#include "base/file.h"

namespace lathe::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

const std::vector<Parameter> kParameters = {{"resolution", {224, 256, 288}, true},
                                            {"stage1.activation", {0, 2}, false},
                                            {"stage1.layers", {1, 2, 4}, true},
                                            {"stage1.kernel", {3}, true}};

std::string TextOf(const std::vector<Call>& calls) {
  std::string text;
  for (const Call& call : calls) {
    constexpr std::string_view kLetters = "AarT";  // ask, add, report, tell
    text += fmt::format("{}{}", kLetters[static_cast<size_t>(call.kind)], call.trial);
    if (call.step) text += fmt::format("@{}", *call.step);
    if (call.value) text += fmt::format("={}", *call.value);
    text += " ";
  }
  return text;
}

class StoreFile : public ::testing::Test {
 protected:
  StoreFile() { MakeFolder(folder_); }
  ~StoreFile() override { fs::remove_all(folder_); }

  Store Open() const { return Store(path_, "demo", kParameters); }

  static TrialRecord Trial(int64_t number, std::vector<int> encoding = {256, 2, 4, 3}) {
    TrialRecord trial;
    trial.number = number;
    trial.encoding = std::move(encoding);
    trial.latency_us = 123.456;
    trial.metrics = {{"params", 1000}};
    trial.constraints = {{"latency_us", -3.5}};
    return trial;
  }

  template <typename Function>
  static std::string Message(Function function, ErrorKind kind = ErrorKind::kInput) {
    try {
      function();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      return error.what();
    }
    return "";
  }

  // One value by SQL, as another program would see it.
  std::string Query(const std::string& sql) const {
    sqlite3* database = nullptr;
    sqlite3_open(path_.c_str(), &database);
    std::string value;
    const auto keep = [](void* out, int, char** values, char**) {
      *static_cast<std::string*>(out) += values[0] == nullptr ? "NULL" : values[0];
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), keep, &value, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
    return value;
  }

  const fs::path folder_ = fs::temp_directory_path() / fmt::format("lathe-store-test-{}", getpid());
  const fs::path path_ = folder_ / "study.db";
};

TEST_F(StoreFile, ALifeOfATrial) {
  {
    Store store = Open();
    EXPECT_EQ(store.next_number(), 0);
    store.Create(Trial(0));
    EXPECT_EQ(store.next_number(), 1);
    EXPECT_EQ(store.Trials().front().state, TrialState::kWaiting);
    store.SetRunning(0);
    store.AddCrash(0, "killed by signal 9 (SIGKILL)");
    store.SetRunning(0);
    EXPECT_TRUE(store.AddReport(0, {.step = 1, .measured = 0.5, .objective = 0.75}));
    EXPECT_FALSE(store.AddReport(0, {.step = 1, .measured = 0.25, .objective = 0.25}));
    TrialRecord trial = store.Trials().front();
    EXPECT_EQ(trial.state, TrialState::kRunning);
    EXPECT_EQ(trial.reason, "killed by signal 9 (SIGKILL)");
    trial.state = TrialState::kComplete;
    trial.value = 1.0 / 3;
    trial.reason.clear();
    trial.metrics["accuracy"] = 0.875;
    store.Finish(trial);
  }
  const Store store = Store::OpenReadOnly(path_);
  EXPECT_EQ(store.study_name(), "demo");
  EXPECT_EQ(store.parameters().size(), kParameters.size());
  EXPECT_EQ(store.parameters()[2].choices, kParameters[2].choices);
  ASSERT_EQ(store.Trials().size(), 1u);
  const TrialRecord trial = store.Trials().front();
  EXPECT_EQ(trial.number, 0);
  EXPECT_EQ(trial.state, TrialState::kComplete);
  EXPECT_THAT(trial.encoding, ElementsAre(256, 2, 4, 3));
  EXPECT_EQ(trial.latency_us, 123.456);
  EXPECT_EQ(trial.value, 1.0 / 3) << "bit for bit, or a restored search differs";
  EXPECT_THAT(trial.metrics, ElementsAre(Pair("accuracy", 0.875), Pair("params", 1000)));
  EXPECT_THAT(trial.constraints, ElementsAre(Pair("latency_us", -3.5)));
  EXPECT_EQ(trial.starts, 2);
  EXPECT_EQ(trial.crashes, 1);
  EXPECT_GT(trial.begin, 1.7e9);
  EXPECT_GE(trial.end, trial.begin);
}

TEST_F(StoreFile, SpeaksOptunasLanguage) {
  Store store = Open();
  store.Create(Trial(0));
  store.SetRunning(0);
  const double infinite = std::numeric_limits<double>::infinity();
  store.AddReport(0, {.step = 3, .measured = infinite, .objective = infinite});
  EXPECT_EQ(Query("SELECT direction FROM study_directions"), "MINIMIZE");
  EXPECT_EQ(Query("SELECT state FROM trials"), "RUNNING");
  EXPECT_EQ(Query("SELECT datetime_start LIKE '____-__-__ __:__:__.______' FROM trials"), "1");
  EXPECT_EQ(
      Query("SELECT param_value || distribution_json FROM trial_params WHERE param_name = "
            "'resolution'"),
      R"(256.0{"name":"IntDistribution","attributes":{"log":false,"step":32,"low":224,"high":288}})");
  EXPECT_EQ(Query("SELECT param_value || distribution_json FROM trial_params WHERE param_name = "
                  "'stage1.layers'"),
            R"(2.0{"name":"CategoricalDistribution","attributes":{"choices":[1,2,4]}})")
      << "no range has these steps";
  EXPECT_EQ(Query("SELECT intermediate_value_type FROM trial_intermediate_values"), "INF_POS");
  EXPECT_EQ(Query("SELECT key || value_json FROM trial_system_attributes"),
            "constraints:latency_us-3.5");
}

TEST_F(StoreFile, AFrontHasTwoValues) {
  {
    Store store(path_, "demo", kParameters, search::Goal::kFront);
    store.Create(Trial(0));
    store.Create(Trial(1));
    TrialRecord trial = Trial(0);
    trial.state = TrialState::kComplete;
    trial.value = 0.25;
    store.Finish(trial);
    ASSERT_EQ(store.Trials().size(), 2u) << "one record per trial, not per value";
    EXPECT_EQ(store.Trials()[0].value, 0.25);
    EXPECT_FALSE(store.Trials()[1].value);
  }
  EXPECT_EQ(Query("SELECT group_concat(direction) FROM study_directions"), "MINIMIZE,MINIMIZE");
  EXPECT_EQ(Query("SELECT group_concat(value) FROM trial_values ORDER BY objective"),
            "0.25,123.456");
  EXPECT_THAT(Message([&] { Open(); }), HasSubstr("looks for a front"));
  EXPECT_EQ(Store(path_, "demo", kParameters, search::Goal::kFront).Trials().size(), 2u);
}

TEST_F(StoreFile, ImportsAllOrNothing) {
  TrialRecord trial = Trial(0);
  trial.state = TrialState::kComplete;
  trial.value = 0.5;
  trial.imported_from = "trial 7 of runs/a";
  TrialRecord second = trial;
  second.number = 1;
  {
    Store store = Open();
    TrialRecord wrong = second;
    wrong.value.reset();
    EXPECT_THAT(Message([&] { store.Import({trial, wrong}, "taken", "a"); }, ErrorKind::kInternal),
                HasSubstr("trial 1 is complete without"));
    EXPECT_TRUE(store.Trials().empty());
    EXPECT_FALSE(store.Value("taken"));
    store.Import({trial, second}, "taken", "a");
  }
  Store store = Open();
  ASSERT_EQ(store.Trials().size(), 2u);
  EXPECT_EQ(store.Trials()[1].imported_from, "trial 7 of runs/a");
  EXPECT_EQ(store.Trials()[1].state, TrialState::kComplete);
  EXPECT_EQ(store.Trials()[1].starts, 0);
  EXPECT_EQ(store.Value("taken"), "a");
  EXPECT_EQ(TextOf(store.Calls()), "a0 T0=0.5 a1 T1=0.5 ");
  EXPECT_EQ(Query("SELECT count(*) FROM trials WHERE datetime_start <= datetime_complete"), "2");
  store.Create(Trial(2), CallKind::kAdd);
  EXPECT_EQ(TextOf(store.Calls()), "a0 T0=0.5 a1 T1=0.5 a2 ");
}

TEST_F(StoreFile, FinishingTwiceIsAnError) {
  Store store = Open();
  store.Create(Trial(0));
  TrialRecord trial = Trial(0);
  EXPECT_THAT(Message([&] { store.Finish(trial); }, ErrorKind::kInternal),
              HasSubstr("cannot be finished"));
  trial.state = TrialState::kComplete;
  EXPECT_THAT(Message([&] { store.Finish(trial); }, ErrorKind::kInternal),
              HasSubstr("without a finite value"));
  trial.state = TrialState::kFail;
  trial.reason = "no luck";
  store.Finish(trial);
  const std::string again = Message([&] { store.Finish(trial); }, ErrorKind::kInternal);
  EXPECT_THAT(again, HasSubstr("finished already"));
  EXPECT_THAT(Message([&] { store.SetRunning(0); }, ErrorKind::kInternal),
              HasSubstr("finished already"));
  EXPECT_THAT(Message([&] { store.SetRunning(1); }, ErrorKind::kInternal), HasSubstr("no trial 1"));
  EXPECT_THAT(Message([&] { store.Create(Trial(5)); }, ErrorKind::kInternal),
              HasSubstr("next is 1"));
  EXPECT_THAT(Message([&] { store.Create(Trial(1, {256, 1, 4, 3})); }, ErrorKind::kInternal),
              HasSubstr("stage1.activation"));
  EXPECT_EQ(store.Trials().size(), 1u) << "nothing of what was refused stays";
  EXPECT_EQ(store.Trials().front().reason, "no luck");
}

TEST_F(StoreFile, KeepsTheProposersCallsInOrder) {
  Store store = Open();
  store.Create(Trial(0));
  store.Create(Trial(1));
  store.AddReport(1, {.step = 1, .measured = 0.5, .objective = 1.0 / 3});
  store.AddReport(0, {.step = 1, .measured = 0.5, .objective = std::nan("")});
  store.AddReport(1, {.step = 1, .measured = 0.1, .objective = 0.1});
  TrialRecord trial = Trial(1);
  trial.state = TrialState::kComplete;
  trial.value = 0.1 + 0.2;
  store.Finish(trial);
  store.Create(Trial(2));
  trial = Trial(0);
  trial.state = TrialState::kFail;
  store.Finish(trial);
  EXPECT_EQ(TextOf(store.Calls()),
            "A0 A1 r1@1=0.3333333333333333 r0@1 T1=0.30000000000000004 A2 T0 ");
  EXPECT_EQ(TextOf(Store::OpenReadOnly(path_).Calls()), TextOf(store.Calls()));
  EXPECT_THAT(Message([&] { store.Finish(trial); }, ErrorKind::kInternal),
              HasSubstr("finished already"));
  EXPECT_THAT(Message([&] { store.AddReport(0, {.step = 2}); }, ErrorKind::kInternal),
              HasSubstr("finished already"))
      << "a proposer hears nothing of a trial after its end";
  EXPECT_EQ(store.Calls().size(), 7u) << "nothing of what was refused stays";
  Query("UPDATE lathe_call SET kind = 'shout' WHERE seq = 1");
  EXPECT_THAT(Message([&] { store.Calls(); }), HasSubstr("'shout'"));
}

// Version 1 had no log: its proposers were restored trial by trial.
TEST_F(StoreFile, AnOlderStudyIsBroughtUpToDate) {
  {
    Store store = Open();
    for (int64_t number : {0, 1, 2}) store.Create(Trial(number));
    TrialRecord trial = Trial(1);
    trial.state = TrialState::kComplete;
    trial.value = 0.5;
    store.Finish(trial);
    trial = Trial(0);
    trial.state = TrialState::kFail;
    store.Finish(trial);
    store.SetRunning(2);
  }
  Query(
      "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, "
      "intermediate_value_type) SELECT trial_id, 1, 0.75, 'FINITE' FROM trials WHERE number = 2");
  Query("DROP TABLE lathe_call");
  Query("DROP INDEX ix_lathe_trials_number");
  Query("ALTER TABLE lathe_trial DROP COLUMN encoding");
  Query("UPDATE lathe_info SET version = 1");
  const std::string expected = "a0 T0 a1 T1=0.5 a2 ";
  EXPECT_EQ(TextOf(Store::OpenReadOnly(path_).Calls()), expected);
  EXPECT_EQ(Query("SELECT version FROM lathe_info"), "1") << "looking changes nothing";
  Store store = Open();
  EXPECT_EQ(TextOf(store.Calls()), expected);
  EXPECT_EQ(Query("SELECT version FROM lathe_info"), "3");
  EXPECT_TRUE(store.AddReport(2, {.step = 1, .measured = 0.75, .objective = 1}))
      << "nobody was told";
  store.Create(Trial(3));
  EXPECT_EQ(TextOf(Open().Calls()), expected + "r2@1=1 A3 ");
}

// Version 2 had a log, but neither an index of numbers nor encodings.
TEST_F(StoreFile, EncodingsOfAnOlderStudyAreTheirParameters) {
  Open().Create(Trial(0, {224, 0, 1, 3}));
  Open().Create(Trial(1));
  Query("DROP INDEX ix_lathe_trials_number");
  Query("ALTER TABLE lathe_trial DROP COLUMN encoding");
  Query("UPDATE lathe_info SET version = 2");
  EXPECT_THAT(Store::OpenReadOnly(path_).Trials()[0].encoding, ElementsAre(224, 0, 1, 3));
  EXPECT_THAT(Open().Trials()[0].encoding, ElementsAre(224, 0, 1, 3));
  EXPECT_EQ(Query("SELECT encoding FROM lathe_trial"), "224,0,1,3256,2,4,3");
  EXPECT_EQ(TextOf(Open().Calls()), "A0 A1 ");
  for (const std::string damaged : {"224,0,1", "224,0,1,3,", "224,0,1,x", ""}) {
    Query("UPDATE lathe_trial SET encoding = '" + damaged + "' WHERE trial_id = 1");
    EXPECT_THAT(Message([&] { Open().Trials(); }), HasSubstr("encoding is '" + damaged + "'"));
  }
}

TEST_F(StoreFile, CountsTrialsByState) {
  Store store = Open();
  for (int64_t number : {0, 1, 2}) store.Create(Trial(number));
  store.SetRunning(1);
  TrialRecord imported = Trial(3);
  imported.state = TrialState::kComplete;
  imported.value = 0.5;
  imported.imported_from = "elsewhere";
  store.Import({imported}, "taken", "yes");
  const TrialCounts counts = store.Count();
  EXPECT_EQ(counts.states.at(TrialState::kWaiting), 2);
  EXPECT_EQ(counts.states.at(TrialState::kRunning), 1);
  EXPECT_EQ(counts.states.at(TrialState::kComplete), 1);
  EXPECT_EQ(counts.imported, 1);
}

TEST_F(StoreFile, OneWriteIsSeenAtItsEnd) {
  Store store = Open();
  const Store reader = Store::OpenReadOnly(path_);
  store.InOneWrite([&] {
    store.Create(Trial(0));
    store.SetRunning(0);
    EXPECT_TRUE(reader.Trials().empty());
  });
  EXPECT_EQ(reader.Trials().size(), 1u);
  const auto fails = [&] {
    store.InOneWrite([&] {
      store.Create(Trial(1));
      store.SetRunning(7);
    });
  };
  EXPECT_THAT(Message(fails, ErrorKind::kInternal), HasSubstr("no trial 7"));
  EXPECT_EQ(reader.Trials().size(), 2u) << "what came before an error is true all the same";
  const auto is_killed = [&] {
    store.InOneWrite([&] {
      store.Create(Trial(2));
      throw 0;
    });
  };
  EXPECT_THROW(is_killed(), int);
  EXPECT_EQ(reader.Trials().size(), 2u);
}

TEST_F(StoreFile, EventsAndValues) {
  Store store = Open();
  store.LogEvent("first");
  store.LogEvent("second");
  ASSERT_EQ(store.Events().size(), 2u);
  EXPECT_EQ(store.Events()[1].second, "second");
  EXPECT_FALSE(store.Value("stage"));
  store.SetValue("stage", "search");
  store.SetValue("stage", "rank");
  EXPECT_EQ(store.Value("stage"), "rank");
}

TEST_F(StoreFile, RefusesWhatDoesNotFit) {
  Open();
  EXPECT_THAT(Message([&] { Store(path_, "other", kParameters); }),
              HasSubstr("holds the study 'demo', not 'other'"));
  std::vector<Parameter> changed = kParameters;
  changed[0].choices.pop_back();
  EXPECT_THAT(Message([&] { Store(path_, "demo", changed); }),
              HasSubstr("'resolution' has the choices {224, 256} instead of {224, 256, 288}"));
  changed = kParameters;
  changed.pop_back();
  EXPECT_THAT(Message([&] { Store(path_, "demo", changed); }),
              HasSubstr("'stage1.kernel' is gone"));
  Query("UPDATE alembic_version SET version_num = 'v9.9.9.a'");
  EXPECT_THAT(Message([&] { Open(); }), HasSubstr("Optuna tables"));
  Query("UPDATE lathe_info SET version = 99");
  EXPECT_THAT(Message([&] { Open(); }), HasSubstr("newer Lathe"));
}

TEST_F(StoreFile, RefusesWhatIsNoStudy) {
  EXPECT_THAT(Message([&] { Store::OpenReadOnly(path_); }), HasSubstr("no such file"));
  EXPECT_FALSE(fs::exists(path_)) << "looking must not create";
  WriteFileAtomically(path_,
                      "This is a text file, long enough to be looked at as a database header; it "
                      "is none, of course.");
  EXPECT_THAT(Message([&] { Open(); }), HasSubstr("no SQLite file"));
  fs::remove(path_);
  Query("CREATE TABLE unrelated (x)");
  EXPECT_THAT(Message([&] { Open(); }), HasSubstr("no study of Lathe's"));
  EXPECT_THAT(Message([&] { Store::OpenReadOnly(path_); }), HasSubstr("no study of Lathe's"));
}

TEST_F(StoreFile, ReportsDamage) {
  Open().Create(Trial(0));
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);
  file << std::string(fs::file_size(path_) - 4096, '\xa5');
  file.close();
  EXPECT_THAT(Message([&] { Open().Trials(); }), HasSubstr("damaged"));
}

TEST_F(StoreFile, ReadOnlyStaysReadOnly) {
  Open().Create(Trial(0));
  Store store = Store::OpenReadOnly(path_);
  EXPECT_THAT(Message([&] { store.SetValue("a", "b"); }, ErrorKind::kIo),
              HasSubstr("cannot use the database"));
}

// A full disk, as far as SQLite can tell: files may not grow.
TEST_F(StoreFile, AFullDiskLosesNothing) {
  Store store = Open();
  store.Create(Trial(0));
  const auto size = static_cast<rlim_t>(fs::file_size(path_));
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old_limit{};
  getrlimit(RLIMIT_FSIZE, &old_limit);
  const rlimit limit{size, old_limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  const std::string message =
      Message([&] { store.SetValue("large", std::string(100'000, 'x')); }, ErrorKind::kIo);
  setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(message, HasSubstr("study.db"));
  EXPECT_FALSE(store.Value("large"));
  store.SetRunning(0);
  EXPECT_EQ(store.Trials().front().state, TrialState::kRunning) << "it goes on once there is room";
}

TEST_F(StoreFile, ReadsWhileTheControllerWrites) {
  Store writer = Open();
  const Store reader = Store::OpenReadOnly(path_);
  writer.Create(Trial(0));
  EXPECT_EQ(reader.Trials().size(), 1u);
  writer.SetRunning(0);
  EXPECT_EQ(reader.Trials().front().state, TrialState::kRunning);
}

}  // namespace
}  // namespace lathe::study
