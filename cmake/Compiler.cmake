# Language, warnings, linker and sanitizers for every target of the project.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-Og -g")

# Linked into every target by lathe_module(); third-party headers are system headers and so exempt.
add_library(lathe_options INTERFACE)
target_compile_options(lathe_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                                               -Woverloaded-virtual
                                               -Wno-missing-field-initializers -fno-plt)
if(LATHE_WERROR)
  target_compile_options(lathe_options INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of GCC's optimiser in the standard library and in inlined torch code.
  target_compile_options(lathe_options INTERFACE -Wno-error=maybe-uninitialized -Wno-error=array-bounds
                                                 -Wno-error=stringop-overflow -Wno-error=restrict
                                                 -Wno-error=dangling-pointer
                                                 -Wno-subobject-linkage)  # takes sources that are compiled together for headers
endif()

# Everywhere alike, since it decides how Eigen allocates: the kernels of search read whole cache lines.
add_compile_definitions(EIGEN_MAX_ALIGN_BYTES=64)

if(LATHE_SANITIZE)
  add_compile_options("-fsanitize=${LATHE_SANITIZE}" -fno-omit-frame-pointer -g)
  add_link_options("-fsanitize=${LATHE_SANITIZE}")
endif()

# A DT_RPATH, unlike the default DT_RUNPATH, also serves the libraries' own dependencies. It makes OpenVINO's TBB and
# torch's CUDA runtime win over older ones that other packages, or LD_LIBRARY_PATH, would bring in.
add_link_options(-Wl,--disable-new-dtags)

# Optional speed-ups, used when they are installed.
include(CheckCXXSourceCompiles)
foreach(linker IN ITEMS mold lld)
  set(CMAKE_REQUIRED_LINK_OPTIONS "-fuse-ld=${linker}")
  check_cxx_source_compiles("int main() {}" "LATHE_HAVE_${linker}")
  unset(CMAKE_REQUIRED_LINK_OPTIONS)
  if(LATHE_HAVE_${linker})
    add_link_options("-fuse-ld=${linker}")
    break()
  endif()
endforeach()

find_program(LATHE_CCACHE ccache)
if(LATHE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The sloppiness is what ccache asks for with precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros "${LATHE_CCACHE}")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-fpch-preprocess)
  endif()
endif()
