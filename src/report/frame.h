// What is around the content of every page: head, style, scripts.
#pragma once

#include <string>

#include "report/report.h"

namespace lathe::report {

struct Frame {
  std::string title;  // text
  PageKind kind = PageKind::kFile;
  std::string main;  // HTML
  std::string data;  // JSON for the plots and the table of trials (data.js); empty: there are none
};

std::string WholePage(const Frame& frame);

}  // namespace lathe::report
