# Thread sanitizer.
set(CMAKE_BUILD_TYPE "RelWithDebInfo" CACHE STRING "")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g1" CACHE STRING "")
# starts are a fifth cheaper, as in dev
set(CMAKE_EXE_LINKER_FLAGS_RELWITHDEBINFO "-no-pie" CACHE STRING "" FORCE)
set(MR_SANITIZE "thread" CACHE STRING "")
