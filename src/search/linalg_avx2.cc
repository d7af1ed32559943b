// Compiled for AVX2 and FMA.
#define Eigen EigenAvx2
#define LATHE_KERNELS kAvx2Kernels
#include "search/linalg_kernels.inc"
