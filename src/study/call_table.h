// The log of calls in study.db: the table lathe_call.
#pragma once

#include <vector>

#include "study/calls.h"
#include "study/sqlite.h"

namespace lathe::study {

// Within the transaction of the change that the call tells of.
void WriteCall(const Database& database, const Call& call);
// In order. Throws kInput for a call this program does not know.
std::vector<Call> ReadCalls(const Database& database);

}  // namespace lathe::study
