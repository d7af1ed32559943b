#include "train/kernels_includes.h"
#include "train/kernels_isa.h"

#define LATHE_ISA plain
#include "train/kernels_body.h"
