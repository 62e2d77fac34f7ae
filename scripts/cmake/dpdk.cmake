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
set(libraries ethdev net meter mbuf mempool ring eal telemetry kvargs)
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
  # of the EAL's own, whatever its version: host/capture/cpus.c stands in front of them
  check_c_source_compiles("int eal_cpu_detected(unsigned); unsigned eal_cpu_core_id(unsigned);
    unsigned eal_cpu_socket_id(unsigned); int eal_trace_init(void);
    int main(void) { return eal_cpu_detected(0) + (int)(eal_cpu_core_id(0) + eal_cpu_socket_id(0)) + eal_trace_init(); }"
    MR_DPDK_CPUS)
  unset(CMAKE_REQUIRED_LIBRARIES)
endif()
if(MR_DPDK_STATIC)
  target_link_libraries(mr_dpdk INTERFACE ${dpdk_link})
  if(MR_DPDK_CPUS)
    target_link_options(mr_dpdk INTERFACE LINKER:--wrap=eal_cpu_detected LINKER:--wrap=eal_cpu_core_id
      LINKER:--wrap=eal_cpu_socket_id LINKER:--wrap=eal_trace_init LINKER:--undefined=__wrap_eal_cpu_detected)
  endif()
  message(STATUS "millrace: DPDK is linked statically")
else()
  target_link_libraries(mr_dpdk INTERFACE PkgConfig::DPDK)
  message(STATUS "millrace: DPDK is linked as shared libraries (no static ones found): starts are some 30 ms slower")
endif()

# Drivers of network cards and of the kernel's interfaces: the target mr_ports, for executables that
# capture live. All that the machine's DPDK has and whose libraries are there; shared DPDK finds its
# own.
add_library(mr_ports INTERFACE)
set(MR_PORT_DRIVERS af_packet af_xdp null ring tap virtio e1000 igc ixgbe i40e iavf ice ena vmxnet3 bnxt
    enic ionic hns3 qede sfc cxgbe bnx2x nfp atlantic axgbe txgbe ngbe gve fm10k hinic netvsc mlx4 mlx5
    thunderx octeon_ep memif idpf)
if(MR_DPDK_STATIC)
  # What network cards' drivers stand on; eventdev wants dmadev since 23.03, nfp and ionic share since 24.
  set(MR_CARD_LIBRARIES bus_pci bus_auxiliary bus_vmbus common_iavf common_sfc_efx common_mlx5 common_idpf
      common_octeontx common_nfp common_ionic hash rcu pci timer security cryptodev sched ip_frag cmdline gso
      dmadev eventdev bpf stack)
  # link_ports(VARIABLE LIBRARY...): what links these drivers, empty when it does not link.
  function(link_ports variable)
    set(archives)
    foreach(name bus_vdev ${ARGN})
      find_library(MR_DPDK_${name} librte_${name}.a HINTS ${DPDK_LIBRARY_DIRS})
      if(MR_DPDK_${name})
        list(APPEND archives ${MR_DPDK_${name}})
      endif()
    endforeach()
    list(JOIN archives "," archives)
    set(link "-Wl,--whole-archive,${archives},--no-whole-archive")
    foreach(name libxdp.a libbpf.a elf z ibverbs mlx5 mlx4 numa bsd atomic)
      find_library(MR_SYSTEM_${name} NAMES ${name} HINTS ${DPDK_LIBRARY_DIRS})
      if(MR_SYSTEM_${name})
        list(APPEND link -Wl,--as-needed ${MR_SYSTEM_${name}})
      elseif(name STREQUAL atomic)
        list(APPEND link -Wl,--as-needed -latomic) # the compiler's own folder has it
      endif()
    endforeach()
    list(APPEND link "-Wl,--push-state,-lm,-ldl,-lpthread,--pop-state") # behind them, in whatever order
    set(CMAKE_REQUIRED_LIBRARIES ${link} ${dpdk_link})
    string(MD5 what "${DPDK_VERSION} ${CMAKE_REQUIRED_LIBRARIES}") # an answer is kept for what was asked
    check_c_source_compiles("int rte_eal_init(int, char **); int main(void) { return rte_eal_init(0, 0); }"
      MR_LINKS_${variable}_${what})
    if(MR_LINKS_${variable}_${what})
      set(${variable} ${link} PARENT_SCOPE)
    else()
      set(${variable} PARENT_SCOPE)
    endif()
  endfunction()
  list(TRANSFORM MR_PORT_DRIVERS PREPEND net_)
  link_ports(MR_ALL_PORTS ${MR_CARD_LIBRARIES} ${MR_PORT_DRIVERS})
  link_ports(MR_KERNEL_PORTS net_af_packet net_null net_ring)
  if(MR_ALL_PORTS)
    target_link_libraries(mr_ports INTERFACE ${MR_ALL_PORTS})
    message(STATUS "millrace: live capture with the drivers of all network cards that DPDK has")
  elseif(MR_KERNEL_PORTS)
    target_link_libraries(mr_ports INTERFACE ${MR_KERNEL_PORTS})
    message(STATUS "millrace: live capture from the kernel's interfaces only (libxdp, libbpf, libelf or libibverbs is missing)")
  else()
    message(STATUS "millrace: live capture is off: the static drivers of this DPDK do not link")
  endif()
endif()
