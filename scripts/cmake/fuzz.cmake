# libFuzzer with address and undefined-behaviour sanitizers; needs clang.
set(CMAKE_C_COMPILER "clang" CACHE STRING "")
set(CMAKE_BUILD_TYPE "RelWithDebInfo" CACHE STRING "")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g1" CACHE STRING "")
set(MR_SANITIZE "address,undefined" CACHE STRING "")
set(MR_FUZZ ON CACHE BOOL "")
