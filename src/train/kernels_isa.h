// The kernels for one kind of processor each; train/kernels.cc chooses between them. Private to
// this module.
#pragma once

#include "train/kernels.h"

#ifdef __x86_64__
#define LATHE_X86 1
#endif

namespace lathe::train::kernels {

namespace plain {  // what every processor of the kind has
#include "train/kernel_functions.inc"
}

namespace avx2 {  // and FMA
#include "train/kernel_functions.inc"
}

namespace avx512 {  // F, BW, DQ and VL
#include "train/kernel_functions.inc"
}

}  // namespace lathe::train::kernels
