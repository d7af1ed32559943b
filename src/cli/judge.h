// One fully trained network on its way into the final table: exported, quantised, measured in the
// engine, verified on the test images.
#pragma once

#include <filesystem>
#include <string>

#include "cli/finalists.h"
#include "cli/search_job.h"
#include "deploy/package.h"
#include "net/network.h"
#include "study/store.h"

namespace lathe::cli {

// A network that goes into the final table.
struct Contender {
  std::string name, kind, origin;
  net::Network network;
  double lut_us = 0;
  double measured_us = 0;        // with random weights, before training
  std::filesystem::path folder;  // of its training
};

struct Judged {
  FinalistRow row;
  deploy::Package package;
};

// Leaves the ONNX files in the training's folder. Blocking: seconds to minutes.
Judged Judge(const StudyContext& context, const study::Store& store, const Contender& contender);

}  // namespace lathe::cli
