# Third-party targets. Packages without a usable CMake package get one target here, named lathe::<part>.

set(LATHE_WHEELS "${LATHE_DEPS_DIR}/python")
if(NOT EXISTS "${LATHE_WHEELS}/torch/lib/libtorch_cpu.so")
  message(FATAL_ERROR "torch is missing in ${LATHE_WHEELS}: run scripts/setup first")
endif()

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Boost REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
find_package(SQLite3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)
pkg_check_modules(jpeg REQUIRED IMPORTED_TARGET libjpeg libturbojpeg)
pkg_check_modules(spng REQUIRED IMPORTED_TARGET spng)
pkg_check_modules(httplib REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(yamlcpp REQUIRED IMPORTED_TARGET yaml-cpp)
if(BUILD_TESTING)
  find_package(GTest REQUIRED)
endif()

# lathe_find_library(VAR NAME): like find_library, but an error names the library.
function(lathe_find_library var name)
  find_library(${var} ${name} ${ARGN})
  if(NOT ${var})
    message(FATAL_ERROR "lib${name} is missing: run scripts/setup first")
  endif()
endfunction()

# OpenCV: two libraries only; Debian's OpenCV package file asks for all of them.
lathe_find_library(LATHE_OPENCV_CORE opencv_core)
lathe_find_library(LATHE_OPENCV_IMGPROC opencv_imgproc)
add_library(lathe_opencv INTERFACE)
target_include_directories(lathe_opencv SYSTEM INTERFACE /usr/include/opencv4)
target_link_libraries(lathe_opencv INTERFACE "${LATHE_OPENCV_IMGPROC}" "${LATHE_OPENCV_CORE}")
add_library(lathe::opencv ALIAS lathe_opencv)

# ONNX: Debian's package file names libraries that the package does not contain.
find_package(Protobuf REQUIRED)
lathe_find_library(LATHE_ONNX onnx)
lathe_find_library(LATHE_ONNX_PROTO onnx_proto)
add_library(lathe_onnxlib INTERFACE)
target_compile_definitions(lathe_onnxlib INTERFACE ONNX_NAMESPACE=onnx ONNX_ML=1)
target_link_libraries(lathe_onnxlib INTERFACE "${LATHE_ONNX}" "${LATHE_ONNX_PROTO}" protobuf::libprotobuf)
add_library(lathe::onnxlib ALIAS lathe_onnxlib)

# OpenVINO: the wheel's own package works, and brings its own TBB.
find_package(OpenVINO REQUIRED COMPONENTS Runtime PATHS "${LATHE_WHEELS}/openvino/cmake" NO_DEFAULT_PATH)

# torch: its own package asks for the CUDA toolkit, so link the two CPU libraries by path. Link it PRIVATE only: its
# include folder also holds copies of protobuf, which must not meet onnx's headers, and of another fmt than the one we
# link; hence it is searched after the system's.
set(torch "${LATHE_WHEELS}/torch")
add_library(lathe_torch INTERFACE)
target_compile_options(lathe_torch INTERFACE "SHELL:-idirafter ${torch}/include"
                                             "SHELL:-idirafter ${torch}/include/torch/csrc/api/include")
target_link_libraries(lathe_torch INTERFACE "${torch}/lib/libtorch_cpu.so" "${torch}/lib/libc10.so" Threads::Threads)
# at::parallel_for is an inline function that runs on torch's threads only when compiled with OpenMP.
target_compile_options(lathe_torch INTERFACE -fopenmp)
target_link_libraries(lathe_torch INTERFACE "${torch}/lib/libgomp.so.1")
if(LATHE_CUDA)
  # The wheels hold all that is needed of the CUDA toolkit: the runtime's library, and its headers in two parts.
  set(cuda "${LATHE_WHEELS}/nvidia/cu13")
  if(NOT EXISTS "${cuda}/include/crt/host_defines.h")
    message(FATAL_ERROR "LATHE_CUDA is on, but CUDA's headers are missing in ${cuda}: run scripts/setup --cuda first")
  endif()
  target_compile_definitions(lathe_torch INTERFACE LATHE_CUDA=1)
  target_compile_options(lathe_torch INTERFACE "SHELL:-idirafter ${cuda}/include"
                                               "SHELL:-idirafter ${LATHE_WHEELS}/nvidia/nccl/include")
  # Little refers to libtorch_cuda by name (it registers itself when loaded), so it must not be dropped.
  target_link_libraries(lathe_torch INTERFACE -Wl,--no-as-needed "${torch}/lib/libtorch_cuda.so"
                                              "${torch}/lib/libc10_cuda.so" -Wl,--as-needed
                                              "${cuda}/lib/libcudart.so.13")
  target_link_options(lathe_torch INTERFACE -Wl,--allow-shlib-undefined)
  unset(cuda)
endif()
add_library(lathe::torch ALIAS lathe_torch)

# A precompiled header for everything that sees torch: parsing it takes longer than compiling our code.
# Use with lathe_module(... PCH lathe_torch_pch).
file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/generated/torch_pch.cc" CONTENT "// Compiles the precompiled header.\n")
add_library(lathe_torch_pch OBJECT EXCLUDE_FROM_ALL "${CMAKE_BINARY_DIR}/generated/torch_pch.cc")
target_link_libraries(lathe_torch_pch PRIVATE lathe_options lathe_torch)
target_precompile_headers(
  lathe_torch_pch
  PRIVATE
  <torch/autograd.h>
  <torch/cuda.h>
  <torch/nn.h>
  <torch/optim.h>
  <torch/serialize.h>
  <torch/types.h>
  <torch/utils.h>)

# Every executable finds the wheels' libraries, in the build tree and installed.
file(GLOB LATHE_RUNTIME_DIRS "${LATHE_WHEELS}/nvidia/*/lib")
list(PREPEND LATHE_RUNTIME_DIRS "${LATHE_WHEELS}/openvino/libs" "${torch}/lib")
set(CMAKE_BUILD_RPATH ${LATHE_RUNTIME_DIRS})
set(CMAKE_INSTALL_RPATH ${LATHE_RUNTIME_DIRS})
unset(torch)

# Chart.js for reports: one minified file.
find_file(LATHE_CHART_JS NAMES chart.min.js Chart.min.js PATHS /usr/share/javascript/chart.js NO_DEFAULT_PATH REQUIRED)
