// Compiled for AVX-512 (F and DQ).
#define Eigen EigenAvx512
#define LATHE_KERNELS kAvx512Kernels
#include "search/linalg_kernels.inc"
