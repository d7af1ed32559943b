// One fully trained network on its way into the final table: exported, quantised, measured in the
// engine, verified on the test images.
#pragma once

#include "cli/contenders.h"
#include "cli/finalists.h"
#include "cli/search_job.h"
#include "deploy/package.h"

namespace lathe::cli {

struct Judged {
  FinalistRow row;
  deploy::Package package;
};

// `search`: what the trials cost. Leaves the ONNX files in the training's folder. Blocking: seconds
// to minutes.
Judged Judge(const StudyContext& context, const deploy::SearchCost& search,
             const Contender& contender);

}  // namespace lathe::cli
