/* SPDX-License-Identifier: Apache-2.0
 *
 * The scheduler of a block: who is ready, who waits where, and the report when nobody can go on.
 */
#include "kernels/emulation/grid.h"

#include "kernels/emulation/collective.h"
#include "kernels/emulation/fiber.h"
#include "kernels/emulation/sanitizers.h"
#include "kernels/emulation/watch.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>

#define DYNAMIC_MAP_BYTES  (256u * 1024)
#define DYNAMIC_ROOM_BYTES (128u * 1024) /* inaccessible on both sides */

struct mr_emu_lane *mr_emu_current;

/* Static __shared__ variables of all kernels stand in one section, so that each block can find
 * them poisoned. */
extern "C" {
extern unsigned char __start_mr_shared[] __attribute__((weak));
extern unsigned char __stop_mr_shared[] __attribute__((weak));
}

/* The one block that runs. */
static struct {
    const struct emu_grid *grid;
    struct fiber fibers[EMU_THREADS_MAX];
    struct mr_emu_lane lanes[EMU_THREADS_MAX];
    struct fiber scheduler;
    uint16_t ready[EMU_THREADS_MAX];
    uint32_t n_ready, n_done, n_at_barrier;
    uint64_t random; /* 0: lanes run in order */
    struct uint3 block_idx, block_dim, grid_dim;
    unsigned char *dynamic_map, *dynamic;
    size_t dynamic_open; /* bytes at the end of the map that may be touched */
    bool faulted;
    char *report;
    size_t report_bytes;
} block;

uint64_t emu_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct uint3 mr_emu_thread_idx(void)
{
    return mr_emu_current->thread_idx;
}

struct uint3 mr_emu_block_idx(void)
{
    return block.block_idx;
}

struct uint3 mr_emu_block_dim(void)
{
    return block.block_dim;
}

struct uint3 mr_emu_grid_dim(void)
{
    return block.grid_dim;
}

unsigned char *mr_emu_dynamic_shared(void)
{
    return block.dynamic;
}

static uint32_t index_of(const struct mr_emu_lane *lane)
{
    return static_cast<uint32_t>(lane - block.lanes);
}

static void yield(void)
{
    fiber_switch(&block.fibers[index_of(mr_emu_current)], &block.scheduler, false);
}

static void set_ready(struct mr_emu_lane *lane)
{
    lane->state = LANE_READY;
    block.ready[block.n_ready++] = static_cast<uint16_t>(index_of(lane));
}

/* ---- memory ---- */

static void must_be_aligned(const void *at, size_t bytes, const char *call, const char *file,
                            int line)
{
    if (reinterpret_cast<uintptr_t>(at) % bytes != 0)
        mr_emu_fault(file, line, "%s: %p is not aligned to %zu bytes", call, at, bytes);
}

void mr_emu_atomic(const void *at, size_t bytes, const char *call, const char *file, int line)
{
    must_be_aligned(at, bytes, call, file, line);
    watch_atomic(at, bytes, __builtin_return_address(0));
    if (block.random == 0 || (emu_random(&block.random) & 3) != 0)
        return;
    set_ready(mr_emu_current); /* others first */
    yield();
}

bool mr_emu_replace(void *at, void *old, const void *next, size_t bytes)
{
    if (bytes == 4)
        return __atomic_compare_exchange_n(static_cast<uint32_t *>(at),
                                           static_cast<uint32_t *>(old),
                                           *static_cast<const uint32_t *>(next), false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return __atomic_compare_exchange_n(static_cast<uint64_t *>(at), static_cast<uint64_t *>(old),
                                       *static_cast<const uint64_t *>(next), false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void mr_emu_read_only(const void *at, size_t bytes, const char *file, int line)
{
    must_be_aligned(at, bytes, "__ldg", file, line);
    watch_read_only(at, bytes, __builtin_return_address(0));
}

/* ---- faults ---- */

static void append(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void append(const char *format, ...)
{
    size_t used = strlen(block.report);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(block.report + used, block.report_bytes - used, format, arguments);
    va_end(arguments);
}

static void open_report(void)
{
    block.faulted = true;
    block.report[0] = '\0';
    append("kernel %s, block %u: ", block.grid->kernel, block.block_idx.x);
}

void mr_emu_fault(const char *file, int line, const char *format, ...)
{
    size_t used;
    va_list arguments;

    open_report();
    append("thread %u", mr_emu_current->thread_idx.x);
    if (file != nullptr)
        append(" at %s:%d", file, line);
    append(": ");
    used = strlen(block.report);
    va_start(arguments, format);
    vsnprintf(block.report + used, block.report_bytes - used, format, arguments);
    va_end(arguments);
    fiber_switch(&block.fibers[index_of(mr_emu_current)], &block.scheduler, true);
    __builtin_trap(); /* a faulted lane is never resumed */
}

static bool waits_alike(const struct mr_emu_lane *x, const struct mr_emu_lane *y)
{
    if (x->state != y->state)
        return false;
    if (x->state == LANE_DONE)
        return true;
    return same_site(x->site, y->site) &&
           (x->state == LANE_BARRIER || x->offer.mask == y->offer.mask);
}

/* "threads 0-31,40" of those that wait like `like`. */
static void append_threads(const struct mr_emu_lane *like)
{
    uint32_t n = block.grid->n_threads, first = index_of(like), count = 0;
    const char *comma = "";

    for (uint32_t i = first; i < n; i++)
        count += waits_alike(&block.lanes[i], like);
    append(count == 1 ? "thread " : "threads ");
    for (uint32_t i = first; i < n; i++) {
        uint32_t last = i;
        if (!waits_alike(&block.lanes[i], like))
            continue;
        while (last + 1 < n && waits_alike(&block.lanes[last + 1], like))
            last++;
        append(last == i ? "%s%u" : "%s%u-%u", comma, i, last);
        comma = ",";
        i = last;
    }
}

/* Nobody can go on: says who waits where. */
static void report_stuck(const char *why)
{
    const char *semicolon = "";

    open_report();
    append("%s: ", why);
    for (uint32_t i = 0; i < block.grid->n_threads; i++) {
        const struct mr_emu_lane *lane = &block.lanes[i];
        uint32_t k = 0;
        while (k < i && !waits_alike(&block.lanes[k], lane))
            k++;
        if (k < i)
            continue; /* said already */
        append("%s", semicolon);
        semicolon = "; ";
        append_threads(lane);
        if (lane->state == LANE_DONE)
            append(" returned");
        else if (lane->state == LANE_READY)
            append(" did not come this far");
        else if (lane->state == LANE_BARRIER)
            append(" at %s (%s:%d)", lane->site.call, lane->site.file, lane->site.line);
        else
            append(" at %s with mask 0x%08x (%s:%d)", lane->site.call, lane->offer.mask,
                   lane->site.file, lane->site.line);
    }
}

/* ---- meeting ---- */

/* Everybody is there: different barriers are a fault, for they meet by accident only. */
static void finish_barrier(void)
{
    uint32_t n = block.grid->n_threads;
    uint64_t result;

    for (uint32_t i = 1; i < n; i++) {
        if (!same_site(block.lanes[i].site, block.lanes[0].site)) {
            report_stuck("different barriers meet");
            fiber_switch(&block.fibers[index_of(mr_emu_current)], &block.scheduler, true);
            __builtin_trap();
        }
    }
    result = barrier_result(block.lanes, n);
    block.n_at_barrier = 0;
    watch_barrier();
    for (uint32_t i = 0; i < n; i++) {
        block.lanes[i].result = result;
        set_ready(&block.lanes[i]);
    }
}

/* True when all lanes of the mask wait at this call with this mask. */
static bool warp_is_there(const struct mr_emu_lane *warp, const struct mr_emu_lane *self)
{
    for (uint32_t i = 0; i < 32; i++) {
        if ((self->offer.mask >> i & 1) == 0)
            continue;
        if (warp[i].state != LANE_WARP || warp[i].offer.mask != self->offer.mask ||
            !same_site(warp[i].site, self->site))
            return false;
    }
    return true;
}

uint64_t mr_emu_meet(const struct mr_emu_site &site, const struct mr_emu_offer &offer)
{
    struct mr_emu_lane *self = mr_emu_current;
    struct mr_emu_lane *warp = &block.lanes[index_of(self) & ~31u];
    uint32_t own = index_of(self) & 31;

    self->site = site;
    self->offer = offer;
    if (site.op >= EMU_BARRIER) {
        self->state = LANE_BARRIER;
        if (++block.n_at_barrier == block.grid->n_threads)
            finish_barrier();
    } else {
        const char *wrong = collective_check(self, own);
        if (wrong != nullptr)
            mr_emu_fault(site.file, site.line, "%s with mask 0x%08x: %s", site.call, offer.mask,
                         wrong);
        self->state = LANE_WARP;
        if (warp_is_there(warp, self)) {
            collective_finish(warp, offer.mask);
            if (site.op == EMU_SYNCWARP)
                watch_syncwarp(index_of(warp), offer.mask);
            for (uint32_t i = 0; i < 32; i++) {
                if (offer.mask >> i & 1)
                    set_ready(&warp[i]);
            }
        }
    }
    yield();
    return self->result;
}

/* ---- running ---- */

static void lane_entry(void *argument)
{
    struct mr_emu_lane *self = static_cast<struct mr_emu_lane *>(argument);

    block.grid->call(block.grid->arguments);
    self->state = LANE_DONE;
    block.n_done++;
    fiber_switch(&block.fibers[index_of(self)], &block.scheduler, true);
}

/* A block finds its shared memory as another kernel left it; poison stands for that. Byte by byte
 * and unseen by AddressSanitizer, whose red zones stand between the variables. */
__attribute__((no_sanitize("address"), no_sanitize("thread"))) static void poison_static(void)
{
    for (volatile unsigned char *p = __start_mr_shared; p < __stop_mr_shared; p++)
        *p = 0xA5;
}

static bool setup_dynamic(size_t bytes)
{
    size_t room = (bytes + 15) & ~size_t{15};

    if (block.dynamic_map == nullptr) {
        void *map = mmap(nullptr, DYNAMIC_MAP_BYTES + 2 * DYNAMIC_ROOM_BYTES, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
            return false;
        block.dynamic_map = static_cast<unsigned char *>(map) + DYNAMIC_ROOM_BYTES;
        if (mprotect(block.dynamic_map, DYNAMIC_MAP_BYTES, PROT_READ | PROT_WRITE) != 0)
            return false;
        sanitizer_forbid(block.dynamic_map, DYNAMIC_MAP_BYTES);
    }
    sanitizer_allow(block.dynamic_map + DYNAMIC_MAP_BYTES - room, room);
    if (room < block.dynamic_open) /* the rest of what the last block had */
        sanitizer_forbid(block.dynamic, block.dynamic_open - room);
    block.dynamic_open = room;
    block.dynamic = block.dynamic_map + DYNAMIC_MAP_BYTES - room; /* ends at the guard */
    memset(block.dynamic, 0xA5, room);
    sanitizer_forbid(block.dynamic + bytes, room - bytes);
    return true;
}

static uint32_t draw(void)
{
    uint32_t at = 0;

    if (block.random != 0)
        at = static_cast<uint32_t>(emu_random(&block.random) % block.n_ready);
    uint32_t lane = block.ready[at];
    if (block.random != 0)
        block.ready[at] = block.ready[block.n_ready - 1];
    else
        memmove(block.ready, block.ready + 1, (block.n_ready - 1) * sizeof(block.ready[0]));
    block.n_ready--;
    return lane;
}

static bool run_block(uint32_t index)
{
    uint32_t n = block.grid->n_threads;

    watch_block(n, block.dynamic, block.grid->shared_bytes);
    block.block_idx.x = index;
    block.n_ready = block.n_done = block.n_at_barrier = 0;
    for (uint32_t i = 0; i < n; i++) {
        block.lanes[i].thread_idx.x = i;
        fiber_prepare(&block.fibers[i], lane_entry, &block.lanes[i]);
        set_ready(&block.lanes[i]);
    }
    while (block.n_done < n && !block.faulted) {
        if (block.n_ready == 0) {
            report_stuck("stuck");
            return false;
        }
        uint32_t next = draw();
        mr_emu_current = &block.lanes[next];
        watch_turn(next);
        fiber_switch(&block.scheduler, &block.fibers[next], false);
        mr_emu_current = nullptr;
    }
    return !block.faulted;
}

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* A number that has no divisor in common with `n`: steps of so many come to each of n blocks. */
static uint32_t draw_step(uint32_t n)
{
    uint32_t step;

    do {
        step = 1 + static_cast<uint32_t>(emu_random(&block.random) % n);
    } while (common_divisor(step, n) != 1);
    return step;
}

static bool run_blocks(void)
{
    uint64_t step = 1, start = 0, n = block.grid->n_blocks;

    if (block.random != 0) { /* in another order, each once */
        start = emu_random(&block.random) % n;
        step = draw_step(block.grid->n_blocks);
    }
    for (uint64_t i = 0; i < n; i++) {
        poison_static();
        if (!setup_dynamic(block.grid->shared_bytes)) {
            snprintf(block.report, block.report_bytes, "no memory for shared memory");
            return false;
        }
        if (!run_block(static_cast<uint32_t>((start + i * step) % n)))
            return false;
    }
    return true;
}

bool grid_run(const struct emu_grid *grid, uint64_t seed, char *report, size_t report_bytes)
{
    const struct fiber *first = &block.fibers[0], *last = &block.fibers[EMU_THREADS_MAX - 1];

    block.grid = grid;
    block.report = report;
    block.report_bytes = report_bytes;
    block.faulted = false;
    block.random = seed;
    block.block_dim = {grid->n_threads, 1, 1};
    block.grid_dim = {grid->n_blocks, 1, 1};
    if (first->stack == nullptr && !fiber_stacks_alloc(block.fibers, EMU_THREADS_MAX)) {
        snprintf(report, report_bytes, "no memory for the stacks of lanes");
        return false;
    }
    watch_grid(first->stack, static_cast<size_t>(static_cast<char *>(last->stack) -
                                                 static_cast<char *>(first->stack)) +
                                 last->stack_bytes);
    bool good = run_blocks();
    watch_grid_end();
    return good;
}
