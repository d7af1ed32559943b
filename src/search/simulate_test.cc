#include "search/simulate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/temp_folder_testing.h"

namespace lathe::search {
namespace {

using ::testing::HasSubstr;

// 4 x 5 x 3 x 3 rows with a smooth objective; `flops` grows with the parameters.
std::string SmoothTable() {
  std::string csv = "width,depth,op,se,flops,loss,seconds\n";
  for (int width = 0; width < 4; ++width) {
    for (int depth = 0; depth < 5; ++depth) {
      for (const char* op : {"conv", "irb", "fused"}) {
        for (int se = 0; se < 3; ++se) {
          const double penalty = op[0] == 'i' ? 0 : op[0] == 'f' ? 0.1 : 0.4;
          const double loss = 0.1 * (width - 2) * (width - 2) + 0.05 * (depth - 3) * (depth - 3) +
                              penalty + 0.02 * se;
          csv += fmt::format("{},{},{},{},{},{},{}\n", 16 << width, depth, op, se,
                             100 * (width + 1) * (depth + 1), loss, 1 + width);
        }
      }
    }
  }
  return csv;
}

TableOptions SmoothOptions() {
  return {.params = {"width", "depth", "op", "se"}, .objective = "loss"};
}

std::string TableError(const std::string& csv, const TableOptions& options,
                       ErrorKind kind = ErrorKind::kInput) {
  return MessageOf(kind, [&] { Table::Parse(csv, "t.csv", options); });
}

TEST(Table, ReadsNumbersWordsAndConstraints) {
  TableOptions options = SmoothOptions();
  options.constraints = {ParseConstraint("flops <= 800")};
  const Table table = Table::Parse(SmoothTable(), "t.csv", options);
  EXPECT_EQ(table.rows().size(), 180u);
  ASSERT_EQ(table.dimensions().size(), 4u);
  EXPECT_TRUE(table.dimensions()[0].ordinal);
  EXPECT_FALSE(table.dimensions()[2].ordinal);
  EXPECT_EQ(table.dimensions()[1].choices.size(), 5u);
  for (const Table::Row& row : table.rows()) {
    EXPECT_EQ(table.Find(row.candidate.encoding), &row);
    EXPECT_EQ(row.feasible, std::exp(row.candidate.features[0]) < 800.5);
  }
  EXPECT_NEAR(table.best(), 0.1, 1e-12);  // width 32, depth 3, irb
}

TEST(Table, MaximisesByTurningTheSign) {
  TableOptions options = SmoothOptions();
  options.maximize = true;
  EXPECT_NEAR(Table::Parse(SmoothTable(), "t.csv", options).best(), -(0.4 + 0.45 + 0.4 + 0.04),
              1e-9);
}

TEST(Table, ColumnsOfTheSameValuesAreOfOneKind) {
  const Table table =
      Table::Parse("a,b,c,d,y\nx,z,1,x,3\nz,x,2,w,4\n", "t.csv", {.objective = "y"});
  const std::vector<Dimension>& dimensions = table.dimensions();
  EXPECT_EQ(dimensions[0].kind, dimensions[1].kind);
  EXPECT_NE(dimensions[0].kind, dimensions[2].kind);
  EXPECT_NE(dimensions[0].kind, dimensions[3].kind);
}

TEST(Table, ByDefaultAllOtherColumnsAreParameters) {
  const Table table = Table::Parse("a,b,y\n1,x,3\n2,y,4\n", "t.csv", {.objective = "y"});
  EXPECT_EQ(table.dimensions().size(), 2u);
}

TEST(Table, RowsWithoutAResultCountAsFailed) {
  const Table table = Table::Parse("a,y\n1,nan\n2,4\n3,\n4,inf\n", "t.csv", {.objective = "y"});
  EXPECT_EQ(table.best(), 4);
  const Simulation run = Simulate(table, {.budget = 10});
  EXPECT_EQ(run.rows.size(), 4u);  // all were tried
  EXPECT_EQ(run.best.back(), 4);
}

TEST(Table, SaysWhatIsWrong) {
  const TableOptions y{.objective = "y"};
  EXPECT_THAT(TableError("", y), HasSubstr("empty"));
  EXPECT_THAT(TableError("a,y\n", y), HasSubstr("no rows"));
  EXPECT_THAT(TableError("a,y\n1,2\n3\n", y), HasSubstr("t.csv:3: 1 fields"));
  EXPECT_THAT(TableError("a,a,y\n1,2,3\n", y), HasSubstr("twice"));
  EXPECT_THAT(TableError("a,y\n,2\n", y), HasSubstr("t.csv:2: column 'a' has no value"));
  EXPECT_THAT(TableError("a,y\n1,2\n1,3\n", y),
              HasSubstr("t.csv:3: the same parameters as in line 2"));
  EXPECT_THAT(TableError("alpha,y\n1,2\n", {.params = {"alpa"}, .objective = "y"}),
              HasSubstr("did you mean 'alpha'"));
  EXPECT_THAT(TableError("a,f,y\n1,5,2\n", {.objective = "y", .constraints = {{"f", 4}}},
                         ErrorKind::kTargetNotReached),
              HasSubstr("no row meets"));
  EXPECT_THAT(TableError("a,f,y\n1,x,2\n", {.objective = "y", .constraints = {{"f", 4}}}),
              HasSubstr("t.csv:2: column 'f' is 'x'"));
  EXPECT_THAT(TableError("a,y\n1,nan\n", y), HasSubstr("no finite number"));
  EXPECT_THAT(TableError("a,y\n1,2\n", {.objective = "y", .curve = "loss_"}),
              HasSubstr("no columns loss_1"));
  EXPECT_THROW(ParseConstraint("flops<5"), Error);
}

TEST(Simulate, FindsTheBestRowSoonerThanChance) {
  TableOptions options = SmoothOptions();
  options.constraints = {{"flops", 1200}};
  const Table table = Table::Parse(SmoothTable(), "t.csv", options);
  double bayes = 0, random = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const Simulation run = Simulate(table, {.budget = 1000, .seed = seed});
    ASSERT_EQ(run.rows.size(), table.feasible().size());
    for (const size_t row : run.rows) EXPECT_TRUE(table.rows()[row].feasible);
    bayes += run.to_optimum;
    random += Simulate(table, {.proposer = "random", .budget = 1000, .seed = seed}).to_optimum;
  }
  EXPECT_LT(bayes, 0.5 * random);
  EXPECT_LT(bayes / 5, 35);
}

TEST(Simulate, IsTheSameEachTime) {
  const Table table = Table::Parse(SmoothTable(), "t.csv", SmoothOptions());
  const SimulateOptions options{.budget = 40, .workers = 4, .fail_rate = 0.1, .seed = 9};
  EXPECT_EQ(Simulate(table, options).rows, Simulate(table, options).rows);
}

// A result that is there is used, even if others came at the same moment.
TEST(Simulate, TellsAllThatEndedBeforeItAsks) {
  constexpr int kWorkers = 8, kWaves = 4;
  const Table table = Table::Parse(SmoothTable(), "t.csv", SmoothOptions());
  TableSource source(table);
  const auto proposer = MakeProposer(
      "bayes", source,
      {.dimensions = table.dimensions(), .seed = SubSeed(3, "proposer"), .most_draws = 6000});
  std::vector<size_t> rows;
  for (int wave = 0; wave < kWaves; ++wave) {
    const int64_t first = kWorkers * wave;
    for (int64_t trial = first; trial < first + kWorkers; ++trial) {
      const Table::Row* row = table.Find(proposer->Ask(trial).value().encoding);
      rows.push_back(static_cast<size_t>(row - table.rows().data()));
    }
    for (int64_t trial = first; trial < first + kWorkers; ++trial) {
      proposer->Tell(trial, table.rows()[rows[static_cast<size_t>(trial)]].objective);
    }
  }
  const Simulation run =
      Simulate(table, {.budget = kWorkers * kWaves, .workers = kWorkers, .seed = 3});
  EXPECT_EQ(run.rows, rows);
}

TEST(Simulate, ManyWorkersStayBusyAndLoseNothing) {
  TableOptions options = SmoothOptions();
  options.cost = "seconds";
  const Table table = Table::Parse(SmoothTable(), "t.csv", options);
  const Simulation run = Simulate(
      table, {.proposer = "random", .budget = 170, .workers = 16, .fail_rate = 0.2, .seed = 2});
  EXPECT_EQ(run.rows.size(), 170u);
  EXPECT_EQ(std::set<size_t>(run.rows.begin(), run.rows.end()).size(), 170u);
  EXPECT_EQ(run.lost, 0);
  EXPECT_EQ(run.repeated, 0);
  EXPECT_GT(run.restarts, 10);
  EXPECT_GT(run.utilisation, 0.98);
  EXPECT_LE(run.utilisation, 1 + 1e-9);  // never more trials than workers
  // About 170 trials of 2.5 s on 16 workers, a fifth of the starts half done in vain.
  EXPECT_NEAR(run.seconds, 170 * 2.5 * 1.125 / 16, 8);
}

// 300 rows whose losses after 1 to 9 epochs foretell the end, the more so the later.
std::string CurveTable() {
  std::string csv = "a,b,loss_1,loss_3,loss_9,loss\n";
  Random random(4);
  for (int a = 0; a < 20; ++a) {
    for (int b = 0; b < 15; ++b) {
      const double loss = 0.01 * (a - 13) * (a - 13) + 0.02 * (b - 4) * (b - 4);
      csv += fmt::format("{},{},{},{},{},{}\n", a, b, loss + 2 + 0.2 * random.Normal(),
                         loss + 1 + 0.1 * random.Normal(), loss + 0.01 * random.Normal(), loss);
    }
  }
  return csv;
}

TEST(Simulate, PruningReachesTheSameInHalfTheTime) {
  const Table table = Table::Parse(CurveTable(), "t.csv", {.objective = "loss", .curve = "loss_"});
  EXPECT_EQ(table.dimensions().size(), 2u);
  EXPECT_EQ(table.last_step(), 9);
  double full = 0, pruned = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SimulateOptions options{
        .proposer = "random", .budget = 300, .until_optimum = true, .seed = seed};
    const Simulation without = Simulate(table, options);
    options.pruner.rule = "halving";
    const Simulation with = Simulate(table, options);
    EXPECT_EQ(without.pruned, 0);
    EXPECT_GT(with.pruned, 0);
    EXPECT_EQ(with.lost, 0);
    EXPECT_EQ(with.best.back(), table.best()) << seed;
    full += without.seconds_to_optimum;
    pruned += with.seconds_to_optimum;
  }
  EXPECT_LT(pruned, 0.5 * full);
}

// Large networks learn slowly at first: the best is among the worst after an epoch.
TEST(Simulate, TheBestIsNotLostWhereCurvesCross) {
  Random random(5);
  std::string csv = "a,b,loss_1,loss_3,loss_9,loss\n";
  for (int a = 0; a < 20; ++a) {
    for (int b = 0; b < 15; ++b) {
      const double loss = 0.01 * (a - 19) * (a - 19) + 0.02 * (b - 4) * (b - 4);
      csv += fmt::format("{},{},{},{},{},{}\n", a, b, 3 + 0.1 * a + 0.1 * random.Normal(),
                         loss + 1 + 0.1 * random.Normal(), loss, loss);
    }
  }
  const Table table = Table::Parse(csv, "t.csv", {.objective = "loss", .curve = "loss_"});
  double full = 0, pruned = 0;
  int lost_by_halving = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SimulateOptions options{
        .proposer = "random", .budget = 300, .until_optimum = true, .seed = seed};
    full += Simulate(table, options).seconds_to_optimum;
    options.pruner.rule = "halving";
    lost_by_halving += Simulate(table, options).best.back() != table.best();
    options.pruner.rule = "forecast";
    const Simulation with = Simulate(table, options);
    EXPECT_EQ(with.best.back(), table.best()) << seed;
    pruned += with.seconds_to_optimum;
  }
  EXPECT_EQ(lost_by_halving, 0);
  EXPECT_LT(pruned, 0.6 * full);
}

// On so easy a table pruning saves bayes nothing; it must not lead it astray.
TEST(Simulate, BayesFindsTheBestFromForetoldTrials) {
  const Table table = Table::Parse(CurveTable(), "t.csv", {.objective = "loss", .curve = "loss_"});
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SimulateOptions options{.budget = 100, .until_optimum = true, .seed = seed};
    options.pruner.rule = "halving";
    EXPECT_EQ(Simulate(table, options).best.back(), table.best()) << seed;
  }
}

TEST(Simulate, DyingTrialsWithCurvesLoseNothing) {
  const Table table = Table::Parse(CurveTable(), "t.csv", {.objective = "loss", .curve = "loss_"});
  SimulateOptions options{.budget = 100, .workers = 20, .fail_rate = 0.3, .seed = 5};
  options.pruner.rule = "median";
  const Simulation run = Simulate(table, options);
  EXPECT_EQ(run.rows.size(), 100u);
  EXPECT_EQ(run.lost, 0);
  EXPECT_GT(run.restarts, 10);
  EXPECT_EQ(run.rows, Simulate(table, options).rows);
  EXPECT_GT(run.utilisation_with_asks, 0);
  EXPECT_LE(run.utilisation_with_asks, 1);
  EXPECT_GT(run.controller_cores, 0);
}

}  // namespace
}  // namespace lathe::search
