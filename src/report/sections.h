// The parts of the report's page, each as HTML that reads without scripts; page.js fills the plots.
#pragma once

#include <string>

#include "report/report.h"

namespace lathe::report {

std::string Headline(const ReportData& data);  // title and tiles
std::string FrontPlot(const ReportData& data);
std::string NetworkTable(const ReportData& data);
std::string FinalistCards(const ReportData& data);
std::string SmallPlots(const ReportData& data, bool effects);  // `effects`: there are some to show
std::string TrialTable(const ReportData& data);
std::string Provenance(const ReportData& data);

}  // namespace lathe::report
