/* Races between lanes are found, whatever the order of lanes, and nothing else is called one: every
 * kernel here is given with its barrier and without. */
// threads: 1
#include "kernels/device.cuh"
#include "kernels/emulation/control.h"

#include <csetjmp>
#include <cstdarg>
#include <cstdio>
#include <cstring>

extern "C" {
#include <cmocka.h>
}

#define ALL    0xffffffffu
#define BLOCKS 3
#define LANES  64

static int reset(void **state)
{
    (void)state;
    mr_emulation_seed(0);
    return cudaDeviceReset();
}

/* What one of another warp has written. */
static __global__ void between_warps(unsigned *out, int good)
{
    __shared__ unsigned x;

    if (threadIdx.x == 0)
        x = 1;
    if (good)
        __syncthreads();
    out[blockIdx.x * LANES + threadIdx.x] = x;
}

/* A barrier of warps is none of the block. */
static __global__ void warps_only(unsigned *out, int good)
{
    __shared__ unsigned x;

    if (threadIdx.x == 0)
        x = 1;
    __syncwarp();
    if (good)
        __syncthreads();
    out[blockIdx.x * LANES + threadIdx.x] = x;
}

/* Lanes of a warp run apart: what looks like one step is none. */
static __global__ void within_a_warp(unsigned *out, int good)
{
    MR_DYNAMIC_SHARED(unsigned, x);

    x[threadIdx.x] = threadIdx.x;
    if (good)
        __syncwarp();
    out[blockIdx.x * LANES + threadIdx.x] = x[threadIdx.x ^ 1];
}

/* A shuffle, or a vote, exchanges what it is given and orders no memory. */
static __global__ void by_shuffle(unsigned *out, int good)
{
    MR_DYNAMIC_SHARED(unsigned, x);

    x[threadIdx.x] = threadIdx.x;
    (void)__shfl_xor_sync(ALL, threadIdx.x, 1);
    (void)__ballot_sync(ALL, threadIdx.x & 1);
    if (good)
        __syncwarp();
    out[blockIdx.x * LANES + threadIdx.x] = x[threadIdx.x ^ 1];
}

/* Written again before all have read. */
static __global__ void too_early(unsigned *out, int good)
{
    MR_DYNAMIC_SHARED(unsigned, x);
    unsigned sum = 0;

    for (unsigned round = 0; round < 4; round++) {
        x[threadIdx.x] = round;
        __syncwarp();
        sum += x[(threadIdx.x & ~31u) + ((threadIdx.x + 1) & 31)];
        if (good)
            __syncwarp();
    }
    out[blockIdx.x * LANES + threadIdx.x] = sum;
}

/* The wrong lanes meet. What lane 0 knows of lane 1 lane 2 learns of lane 0. */
static __global__ void wrong_mask(unsigned *out, int good)
{
    __shared__ unsigned x[2];
    unsigned lane = threadIdx.x & 31, warp = threadIdx.x / 32;

    if (lane == 1)
        x[warp] = 5;
    if (lane < 2)
        __syncwarp(good ? 0x3u : 1u << lane);
    if ((lane & 1) == 0)
        __syncwarp(0x55555555u);
    if (lane == 2)
        out[blockIdx.x * LANES + threadIdx.x] = x[warp];
}

/* The same word by all blocks, each by its first thread. */
static __global__ void between_blocks(unsigned *out, int good)
{
    if (threadIdx.x == 0 && good)
        atomicAdd(&out[0], 1u);
    if (threadIdx.x == 0 && !good)
        out[0] = out[0] + 1;
}

/* An atomic by one, a plain read by another. */
static __global__ void half_atomic(unsigned *out, int good)
{
    __shared__ unsigned n;

    if (threadIdx.x == 0)
        n = 0;
    __syncthreads();
    atomicAdd(&n, 1u);
    if (threadIdx.x == 40)
        out[blockIdx.x] = good ? atomicOr(&n, 0u) : n;
}

/* An atomic is no barrier: a flag says nothing of what was written before it. */
static __global__ void by_flag(unsigned *out, int good)
{
    __shared__ unsigned flag, x;

    if (threadIdx.x == 33)
        flag = 0;
    __syncthreads();
    if (threadIdx.x == 0)
        x = 7;
    if (threadIdx.x == 0)
        atomicExch(&flag, 1u);
    if (good)
        __syncthreads();
    if (threadIdx.x == 33 && (atomicOr(&flag, 0u) == 1 || !good))
        out[blockIdx.x] = x;
}

/* Bytes of one word are apart. */
static __global__ void bytes(unsigned *out, int good)
{
    uint8_t *at = reinterpret_cast<uint8_t *>(out) + (blockIdx.x * LANES + threadIdx.x) * 2;

    at[0] = 1;
    at[good ? 1 : 2] = 2; /* the next thread's first one */
}

/* The read-only cache does not see what the grid itself writes, barrier or not. */
static __global__ void read_only(unsigned *out, int good)
{
    unsigned *at = &out[blockIdx.x * LANES];

    at[threadIdx.x] = 3;
    __syncthreads();
    at[threadIdx.x] = good ? at[threadIdx.x] : __ldg(&at[threadIdx.x]);
}

static const struct {
    const char *name;
    void (*kernel)(unsigned *, int);
    const char *text;
} kernels[] = {
#define KERNEL(name, text) {#name, name, text}
    KERNEL(between_warps, "shared memory"),
    KERNEL(warps_only, "shared memory"),
    KERNEL(within_a_warp, "no barrier of both"),
    KERNEL(by_shuffle, "no barrier of both"),
    KERNEL(too_early, "no barrier of both"),
    KERNEL(wrong_mask, "no barrier of both"),
    KERNEL(between_blocks, "blocks have no order"),
    KERNEL(half_atomic, "by an atomic"),
    KERNEL(by_flag, "shared memory"),
    KERNEL(bytes, "device memory"),
    KERNEL(read_only, "__ldg is for device memory"),
};

/* Runs it; what is wrong with it. */
static void run(size_t which, int good, unsigned *out, char *report, size_t bytes_max)
{
    MR_LAUNCH(kernels[which].kernel, BLOCKS, LANES, LANES * 4, nullptr, out, good);
    (void)cudaDeviceSynchronize();
    mr_emulation_report(report, bytes_max);
}

static void races_are_found(void **state)
{
    char report[2048];
    void *out = nullptr;

    (void)state;
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            mr_emulation_seed(seed);
            assert_int_equal(cudaMalloc(&out, BLOCKS * LANES * 4), cudaSuccess);
            run(i, 1, static_cast<unsigned *>(out), report, sizeof(report));
            if (report[0] != '\0')
                fail_msg("%s, seed %d: %s", kernels[i].name, static_cast<int>(seed), report);
            run(i, 0, static_cast<unsigned *>(out), report, sizeof(report));
            if (strstr(report, kernels[i].text) == nullptr || strstr(report, "race: ") == nullptr)
                fail_msg("%s, seed %d: \"%s\" does not say \"%s\"", kernels[i].name,
                         static_cast<int>(seed), report, kernels[i].text);
            assert_int_equal(cudaGetLastError(), cudaErrorLaunchFailure);
            assert_int_equal(cudaDeviceReset(), cudaSuccess);
        }
    }
}

/* The lines of both sides are in the report, for addr2line. */
static void races_are_placed(void **state)
{
    char report[2048], command[2048 + 32], line[512];
    void *out = nullptr;
    unsigned n = 0;

    (void)state;
    mr_emulation_seed(0);
    assert_int_equal(cudaMalloc(&out, BLOCKS * LANES * 4), cudaSuccess);
    run(2, 0, static_cast<unsigned *>(out), report, sizeof(report));
    const char *at = strstr(report, "-ife ");
    while (at != nullptr) {
        snprintf(command, sizeof(command), "addr2line %.*s",
                 static_cast<int>(strcspn(at, ";)")), at);
        FILE *output = popen(command, "r");
        assert_non_null(output);
        bool found = false;
        while (fgets(line, sizeof(line), output) != nullptr)
            found |= strstr(line, "test_emulation_races.cpp:") != nullptr;
        assert_int_equal(pclose(output), 0);
        if (!found)
            fail_msg("%s: no line of this file (%s)", command, report);
        n++;
        at = strstr(at + 1, "-ife ");
    }
    assert_int_equal(n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(races_are_found, reset),
        cmocka_unit_test_teardown(races_are_placed, reset),
    };
    if (!mr_emulation_watches()) {
        printf("this build does not watch lanes: nothing to test\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
