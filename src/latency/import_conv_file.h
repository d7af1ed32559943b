// Reads tables of convolutions that were timed alone with TensorRT, as published with
// alibaba/lightweight-neural-architecture-search (latency/op_profiler). A convolution per line:
//   {Regular|Depthwise,batch,Cin,H,W,Cout,kernel,stride,elementwise_fused} milliseconds
// where -1 means that it could not be timed, and elementwise_fused = 1 that a second input is added
// to its output.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "latency/part.h"

namespace lathe::latency {

struct ConvTiming {
  Part part;  // a convolution without activation
  double latency_us = 0;
};

struct ConvTimings {
  std::vector<ConvTiming> timings;  // of one batch size, each convolution once
  int64_t failed = 0;               // lines of that batch size with -1
};

// Blocking. Throws kInput naming file and line: not such a line, a latency that is none, the same
// convolution with two latencies; or naming the batch sizes that are there if `batch` is not.
ConvTimings ReadConvTimings(const std::filesystem::path& path, int batch);

}  // namespace lathe::latency
