// LATHE_VECTOR_CODE marks a function whose loops are worth the processor's widest vectors: it is
// compiled for several instruction sets, and the program picks one when it starts. Sources that use
// it are compiled with -O3 (CMakeLists.txt).
#pragma once

// The sanitizers' own start-up comes after the moment of picking.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define LATHE_VECTOR_CODE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define LATHE_VECTOR_CODE
#endif
