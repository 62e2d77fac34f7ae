# For running and measuring.
set(CMAKE_BUILD_TYPE "Release" CACHE STRING "")
set(CMAKE_C_FLAGS_RELEASE "-O3 -g1" CACHE STRING "")
set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON CACHE BOOL "")
set(MR_WERROR OFF CACHE BOOL "" FORCE) # newer compilers than ours warn of more; dev, asan and tsan are strict
set(MR_BENCH ON CACHE BOOL "")
set(MR_CUDA ON CACHE BOOL "")
