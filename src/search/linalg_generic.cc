#define LATHE_KERNELS kGenericKernels
#include "search/linalg_kernels.inc"
