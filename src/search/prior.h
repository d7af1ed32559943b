// What is believed of the hyperparameters before any trial has ended.
#pragma once

#include "search/gp_fit.h"
#include "search/inputs.h"

namespace lathe::search {

GpPrior PriorFor(const InputMap& map);

}  // namespace lathe::search
