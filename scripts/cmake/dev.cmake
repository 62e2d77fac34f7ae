# For working on the engine: optimised enough to run the tests fast, assertions on.
set(CMAKE_BUILD_TYPE "RelWithDebInfo" CACHE STRING "")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g" CACHE STRING "")
# Nothing to relocate at the start: tests start thousands of processes.
set(CMAKE_EXE_LINKER_FLAGS_RELWITHDEBINFO "-no-pie" CACHE STRING "" FORCE)
set(MR_WATCH ON CACHE BOOL "") # races between lanes of emulated kernels are faults
set(MR_BENCH ON CACHE BOOL "") # so that what measures is built, with our warnings, whenever tests are
