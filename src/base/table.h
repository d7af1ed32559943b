// Plain-text tables for people.
#pragma once

#include <string>
#include <vector>

namespace lathe {

// Of the terminal that stdout is; 0 if it is none.
int StdoutColumns();

// Aligned: the first row is the header; columns whose cells look like numbers, with or without a
// unit, are right-aligned. Where a line would be longer than `columns` (0: as long as it likes),
// the widest cells of text are wrapped, numbers never. Ends in a newline.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows,
                        int columns = StdoutColumns());

}  // namespace lathe
