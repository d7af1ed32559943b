// What a user's own training program says of a trial, in files of the folder it was given:
// metrics.jsonl grows while it trains, result.json is there in the end. Strangers write them, so
// nothing in them is believed. NaN and Infinity are read as Python's json module writes them. One
// thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "study/trial.h"

namespace lathe::study {

// Follows metrics.jsonl: an object of numbers per line, one of them the integer "step".
class ReportReader {
 public:
  explicit ReportReader(const std::filesystem::path& file) : file_(file) {}
  // What whole lines have come since the last call; steps ascend, and one that was there already is
  // passed over: programs repeat steps after a restart. So is, with a warning, a line that is no
  // report. Throws kInput for what is no log of a training: a line too long, too many, no file.
  std::vector<MetricLine> Read();

 private:
  void Take(const std::string& line, std::vector<MetricLine>& reports);

  const std::filesystem::path file_;
  std::string begun_;  // the line that has no end yet
  uint64_t read_ = 0;  // bytes
  int lines_ = 0;
  int last_step_ = -1;
};

// Cuts off what a program that was killed left of a line, so that its next line is whole.
void CutTornLine(const std::filesystem::path& file);

// result.json: an object of finite numbers, among them "accuracy" (0 to 1); or {"error": "why"}. A
// file that is none is a result that failed, with the reason.
TrialResult ReadProgramResult(const std::filesystem::path& file, int64_t number);

}  // namespace lathe::study
