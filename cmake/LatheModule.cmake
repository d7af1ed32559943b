# One module = one folder = one static library, with its tests beside its sources.
#
#   lathe_module(<name>
#     DEPS <modules>...      Lathe modules whose headers it includes
#     PUBLIC_LIBS <libs>...  third-party libraries that its own headers include
#     LIBS <libs>...         third-party libraries that only its sources and tests include
#     TEST_DEPS <modules>... Lathe modules that only its tests use, such as engine_fake
#     PCH <target>)          precompiled header to share
#
# makes lathe_<name> from all *.cc of the current folder but main.cc, *_main.cc and *_test.cc, and <name>_test from all
# *_test.cc, one test with the label "fast". Tests run in the source root; LATHE_SOURCE_DIR is its path. Sources named
# *_testing.cc (doubles) are part of the library.

option(LATHE_UNITY "Compile several sources of a module at a time: quicker from scratch, slower after an edit" ON)

# So what is private to a source needs a name that no other source of its module has.
function(lathe_unity target)
  if(LATHE_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  endif()
endfunction()

function(lathe_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "PCH" "DEPS;PUBLIC_LIBS;LIBS;TEST_DEPS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "lathe_module(${name}): unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  set(target "lathe_${name}")
  set(deps ${arg_DEPS})
  list(TRANSFORM deps PREPEND lathe_)
  set(test_deps ${arg_TEST_DEPS})
  list(TRANSFORM test_deps PREPEND lathe_)

  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "(_test|_main|/main)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")

  if(sources)
    add_library(${target} STATIC ${sources})
    target_include_directories(${target} PUBLIC "${CMAKE_SOURCE_DIR}/src")
    target_link_libraries(${target} PUBLIC ${deps} ${arg_PUBLIC_LIBS} PRIVATE lathe_options ${arg_LIBS})
    lathe_unity(${target})
    if(arg_PCH)
      target_precompile_headers(${target} REUSE_FROM ${arg_PCH})
    endif()
  else()  # A module of headers alone.
    add_library(${target} INTERFACE)
    target_include_directories(${target} INTERFACE "${CMAKE_SOURCE_DIR}/src")
    target_link_libraries(${target} INTERFACE ${deps} ${arg_PUBLIC_LIBS})
  endif()

  if(BUILD_TESTING AND tests)
    set(test "${name}_test")
    add_executable(${test} ${tests})
    lathe_unity(${test})
    target_compile_definitions(${test} PRIVATE "LATHE_SOURCE_DIR=\"${CMAKE_SOURCE_DIR}\"")
    target_link_libraries(${test} PRIVATE lathe_options ${target} ${test_deps} ${arg_LIBS} GTest::gmock GTest::gtest_main)
    if(arg_PCH)
      target_precompile_headers(${test} REUSE_FROM ${arg_PCH})
    else()  # What a precompiled header was made with must stay.
      target_compile_options(${test} PRIVATE "$<$<CONFIG:Release>:-O1;-Wno-maybe-uninitialized>")  # takes three quarters of the time to compile
    endif()
    add_test(NAME ${test} COMMAND ${test} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
    set_tests_properties(${test} PROPERTIES LABELS fast TIMEOUT 300)
  endif()
endfunction()

# lathe_backend(<name> ...): the engine back end in the current folder, as lathe_engine_<name>; arguments as above. A
# folder without sources is skipped, and cli does not link it.
function(lathe_backend name)
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
  if(sources)
    lathe_module("engine_${name}" ${ARGN})
    set_property(GLOBAL APPEND PROPERTY LATHE_BACKENDS "lathe_engine_${name}")
  endif()
endfunction()

# lathe_embed(<var> HEADER <x/y.h> NAMESPACE <ns> FUNCTION <name> FILE <path>): generates <x/y.h>, which declares
# `std::string_view ns::name()`, and a source that defines it to return the file's text; the source's path goes to <var>.
function(lathe_embed var)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "HEADER;NAMESPACE;FUNCTION;FILE" "")
  set(header "${CMAKE_BINARY_DIR}/generated/${arg_HEADER}")
  string(REGEX REPLACE "\\.h$" ".cc" source "${header}")
  file(READ "${arg_FILE}" text)
  configure_file("${CMAKE_SOURCE_DIR}/cmake/embed.h.in" "${header}" @ONLY)
  configure_file("${CMAKE_SOURCE_DIR}/cmake/embed.cc.in" "${source}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${arg_FILE}")
  set(${var} "${source}" PARENT_SCOPE)
endfunction()
