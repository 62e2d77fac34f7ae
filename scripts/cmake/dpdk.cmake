# DPDK for the layers that touch packets' memory: the target mr_dpdk.
#
# Linked statically where the archives are there. As a shared library the EAL looks for its
# folder of plug-ins and loads every one of them, some 170: 20 ms of each start, 100 ms of the first.
# Linked in, it has the drivers named here and no more.
add_library(mr_dpdk INTERFACE)
foreach(folder ${DPDK_INCLUDE_DIRS}) # as system headers: they do not pass our warnings
  target_include_directories(mr_dpdk SYSTEM INTERFACE ${folder})
endforeach()
target_compile_options(mr_dpdk INTERFACE ${DPDK_CFLAGS_OTHER})

set(drivers mempool_ring) # what every mempool is made with at first
set(libraries mbuf mempool ring eal telemetry kvargs)
set(dpdk_static ON)
set(archives)
foreach(name ${drivers} ${libraries})
  find_library(MR_DPDK_${name} librte_${name}.a HINTS ${DPDK_LIBRARY_DIRS})
  if(MR_DPDK_${name})
    list(APPEND archives ${MR_DPDK_${name}})
  else()
    set(dpdk_static OFF)
  endif()
endforeach()
foreach(name log argparse) # parts of the EAL in later versions
  find_library(MR_DPDK_${name} librte_${name}.a HINTS ${DPDK_LIBRARY_DIRS})
  if(MR_DPDK_${name})
    list(APPEND archives ${MR_DPDK_${name}})
  endif()
endforeach()
if(dpdk_static)
  # the constructors of drivers and of the parts that register themselves must not be left out
  list(JOIN archives "," archives) # one item, so that nobody takes the list apart
  set(dpdk_link "-Wl,--whole-archive,${archives},--no-whole-archive")
  foreach(name numa bsd archive elf)
    find_library(MR_SYSTEM_${name} ${name})
    if(MR_SYSTEM_${name})
      list(APPEND dpdk_link -Wl,--as-needed ${MR_SYSTEM_${name}})
    endif()
  endforeach()
  list(APPEND dpdk_link m ${CMAKE_DL_LIBS} Threads::Threads)
  include(CheckCSourceCompiles)
  set(CMAKE_REQUIRED_LIBRARIES ${dpdk_link})
  check_c_source_compiles("int rte_eal_init(int, char **); int main(void) { return rte_eal_init(0, 0); }"
    MR_DPDK_STATIC)
  unset(CMAKE_REQUIRED_LIBRARIES)
endif()
if(MR_DPDK_STATIC)
  target_link_libraries(mr_dpdk INTERFACE ${dpdk_link})
  message(STATUS "millrace: DPDK is linked statically")
else()
  target_link_libraries(mr_dpdk INTERFACE PkgConfig::DPDK)
  message(STATUS "millrace: DPDK is linked as shared libraries (no static ones found): starts are some 30 ms slower")
endif()
