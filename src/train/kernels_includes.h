// What train/kernels_body.h needs. Included ahead of the pragma that chooses the processor, so that
// no inline function of the libraries is compiled for that one. Private to this module.
#pragma once

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstring>
#include <type_traits>
