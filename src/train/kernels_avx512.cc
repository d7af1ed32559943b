#include "train/kernels_isa.h"

#ifdef LATHE_X86
#include "train/kernels_includes.h"
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
#define LATHE_ISA avx512
#define LATHE_AVX2 1
#define LATHE_WIDE 1
#include "train/kernels_body.h"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
