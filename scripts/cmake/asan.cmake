# Address and undefined-behaviour sanitizers.
set(CMAKE_BUILD_TYPE "RelWithDebInfo" CACHE STRING "")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g1" CACHE STRING "")
set(MR_SANITIZE "address,undefined" CACHE STRING "")
