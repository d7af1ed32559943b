#include "train/kernels_isa.h"

#ifdef LATHE_X86
#include "train/kernels_includes.h"
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define LATHE_ISA avx2
#define LATHE_AVX2 1
#include "train/kernels_body.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
