/* Mempools of packets, behind DPDK's interface for mempool drivers.
 *
 * The driver is ours for three reasons: DPDK's default one is a plug-in that had to be found and
 * loaded; it hands out the packet that was freed longest ago, which is the coldest; and it wants
 * every packet touched at start (9 ms for 65,536). Users move bursts, so that one lock a burst
 * costs less than DPDK's per-thread caches would; packets stay with the thread that uses them. */
#include "capture/pool.h"

#include "base/near.h"

#include <errno.h>
#include <pthread.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GROW_BYTES (1u << 20) /* at a time, where packets have room */
#define POOL_FLAGS (RTE_MEMPOOL_F_NO_SPREAD | RTE_MEMPOOL_F_NO_IOVA_CONTIG)

/* Packets that lie free: each thread puts back on a list of its own, and takes from there first. */
struct shelf {
    _Alignas(64) pthread_mutex_t lock;
    _Atomic uint32_t n; /* changed under the lock */
    void **objects;     /* last in, first out; has room for all */
};

/* What hangs at rte_mempool.pool_data. */
struct stack {
    struct mr_near near;
    struct shelf shelves[MR_NEAR_LISTS];
    pthread_mutex_t grow; /* taken before the others: populating the pool pushes on a shelf */
    uint32_t size;
    uint32_t populated; /* under grow */
    uint8_t *memory;
    size_t memory_bytes, object_bytes;
};

static int stack_alloc(struct rte_mempool *pool)
{
    pool->pool_data = pool->pool_config;
    return 0;
}

/* Address space: memory as it is used. */
static void *reserve(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static size_t shelves_bytes(uint32_t size)
{
    return (size_t)MR_NEAR_LISTS * size * sizeof(void *);
}

static struct stack *stack_new(const struct rte_mempool *pool)
{
    size_t object_bytes = pool->header_size + pool->elt_size + pool->trailer_size;
    size_t memory_bytes = (size_t)pool->size * object_bytes;
    struct stack *stack = aligned_alloc(64, sizeof *stack);
    void **objects = reserve(shelves_bytes(pool->size));
    void *memory = reserve(memory_bytes);
    if (!stack || !objects || !memory) {
        if (memory)
            munmap(memory, memory_bytes);
        if (objects)
            munmap((void *)objects, shelves_bytes(pool->size));
        free(stack);
        return NULL;
    }
    memset(stack, 0, sizeof *stack);
    stack->size = pool->size;
    stack->object_bytes = object_bytes;
    stack->memory = memory;
    stack->memory_bytes = memory_bytes;
    pthread_mutex_init(&stack->grow, NULL);
    for (uint32_t i = 0; i < MR_NEAR_LISTS; i++) {
        pthread_mutex_init(&stack->shelves[i].lock, NULL);
        stack->shelves[i].objects = objects + (size_t)i * pool->size;
    }
    return stack;
}

static void stack_free(struct rte_mempool *pool)
{
    struct stack *stack = pool->pool_data;
    munmap((void *)stack->shelves[0].objects, shelves_bytes(stack->size));
    munmap(stack->memory, stack->memory_bytes);
    for (uint32_t i = 0; i < MR_NEAR_LISTS; i++)
        pthread_mutex_destroy(&stack->shelves[i].lock);
    pthread_mutex_destroy(&stack->grow);
    free(stack);
}

static void put(struct shelf *shelf, void *const *objects, uint32_t n)
{
    pthread_mutex_lock(&shelf->lock);
    uint32_t there = atomic_load_explicit(&shelf->n, memory_order_relaxed);
    memcpy((void *)(shelf->objects + there), (const void *)objects, n * sizeof(void *));
    atomic_store_explicit(&shelf->n, there + n, memory_order_relaxed);
    pthread_mutex_unlock(&shelf->lock);
}

/* As many as there are, up to n. */
static uint32_t take(struct shelf *shelf, void **objects, uint32_t n)
{
    pthread_mutex_lock(&shelf->lock);
    uint32_t there = atomic_load_explicit(&shelf->n, memory_order_relaxed);
    uint32_t taken = there < n ? there : n;
    memcpy((void *)objects, (void *)(shelf->objects + there - taken), taken * sizeof(void *));
    atomic_store_explicit(&shelf->n, there - taken, memory_order_relaxed);
    pthread_mutex_unlock(&shelf->lock);
    return taken;
}

static int stack_enqueue(struct rte_mempool *pool, void *const *objects, unsigned n)
{
    struct stack *stack = pool->pool_data;
    put(&stack->shelves[mr_near_list(&stack->near)], objects, n);
    return 0;
}

/* Puts the next packets of the pool's memory into use; false when there are none left. */
static bool grow(struct rte_mempool *pool, struct stack *stack, uint32_t at_least)
{
    bool grown = false;
    pthread_mutex_lock(&stack->grow);
    uint32_t left = stack->size - stack->populated;
    uint32_t step = (uint32_t)(GROW_BYTES / stack->object_bytes) + 1;
    if (pool->elt_size == sizeof(struct rte_mbuf))
        step = MR_POOL_STEP;
    uint32_t n = at_least > step ? at_least : step;
    if (n > left)
        n = left;
    if (n) {
        char *start = (char *)stack->memory + stack->populated * stack->object_bytes;
        int added = rte_mempool_populate_iova(pool, start, RTE_BAD_IOVA, n * stack->object_bytes,
                                              NULL, NULL);
        grown = added > 0;
        /* whatever it made of them, this memory is not offered again */
        __atomic_store_n(&stack->populated, stack->populated + n, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&stack->grow);
    return grown;
}

static int stack_dequeue(struct rte_mempool *pool, void **objects, unsigned n)
{
    struct stack *stack = pool->pool_data;
    uint32_t mine = mr_near_list(&stack->near), taken = 0;

    do {
        taken += take(&stack->shelves[mine], objects + taken, n - taken);
        /* who takes and who gives back may always be two threads */
        for (uint32_t i = 0; taken < n && i < MR_NEAR_LISTS; i++)
            if (atomic_load_explicit(&stack->shelves[i].n, memory_order_relaxed))
                taken += take(&stack->shelves[i], objects + taken, n - taken);
    } while (taken < n && grow(pool, stack, n - taken));
    if (taken == n)
        return 0;
    put(&stack->shelves[mine], objects, taken);
    return -ENOBUFS;
}

/* What could be taken, put into use already or not. */
static unsigned stack_count(const struct rte_mempool *pool)
{
    struct stack *stack = pool->pool_data;
    uint32_t n = 0;
    for (uint32_t i = 0; i < MR_NEAR_LISTS; i++)
        n += atomic_load_explicit(&stack->shelves[i].n, memory_order_relaxed);
    return n + stack->size - __atomic_load_n(&stack->populated, __ATOMIC_RELAXED);
}

struct adding {
    rte_mempool_populate_obj_cb_t *add;
    void *argument;
};

static void add_packet(struct rte_mempool *pool, void *argument, void *object, rte_iova_t iova)
{
    struct adding *adding = argument;
    adding->add(pool, adding->argument, object, iova);
    rte_pktmbuf_init(pool, NULL, object, 0);
}

static int stack_populate(struct rte_mempool *pool, unsigned max, void *memory, rte_iova_t iova,
                          size_t len, rte_mempool_populate_obj_cb_t *add, void *argument)
{
    struct adding adding = {add, argument};
    return rte_mempool_op_populate_helper(pool, 0, max, memory, iova, len, add_packet, &adding);
}

static const struct rte_mempool_ops stack_ops = {
    .name = "millrace_stack",
    .alloc = stack_alloc,
    .free = stack_free,
    .enqueue = stack_enqueue,
    .dequeue = stack_dequeue,
    .get_count = stack_count,
    .populate = stack_populate,
};

/* DPDK has one table of drivers for a process. */
static bool registered(void)
{
    for (uint32_t i = 0; i < rte_mempool_ops_table.num_ops; i++)
        if (!strcmp(rte_mempool_ops_table.ops[i].name, stack_ops.name))
            return true;
    return rte_mempool_register_ops(&stack_ops) >= 0;
}

enum mr_status mr_pool_new(struct rte_mempool **out, const struct mr_pool_config *config,
                           struct mr_error *error)
{
    struct rte_pktmbuf_pool_private private = {.mbuf_data_room_size = (uint16_t)config->room};
    enum mr_status status = MR_OK;
    struct stack *stack;

    struct rte_mempool *pool = rte_mempool_create_empty(
        config->name, config->packets, (unsigned)sizeof(struct rte_mbuf) + config->room, 0,
        sizeof private, SOCKET_ID_ANY, POOL_FLAGS);
    if (!pool || !registered() || !(stack = stack_new(pool))) {
        status = mr_fail(error, MR_ERR_START, "cannot make a pool of %u packets: %s",
                         config->packets, pool ? "out of memory" : rte_strerror(rte_errno));
        rte_mempool_free(pool);
        return status;
    }
    rte_mempool_set_ops_byname(pool, stack_ops.name, stack);
    rte_pktmbuf_pool_init(pool, &private);
    if (!grow(pool, stack, config->whole ? config->packets : 1)) {
        status = mr_fail(error, MR_ERR_START, "cannot make a pool of %u packets: out of memory",
                         config->packets);
        mr_pool_free(pool);
        pool = NULL;
    }
    *out = pool;
    return status;
}

uint64_t mr_pool_memory_bytes(uint32_t packets, uint32_t room)
{
    struct rte_mempool_objsz size;
    rte_mempool_calc_obj_size((uint32_t)sizeof(struct rte_mbuf) + room, POOL_FLAGS, &size);
    return packets * (uint64_t)(size.total_size + sizeof(void *));
}

void mr_pool_free(struct rte_mempool *pool)
{
    struct stack *stack = pool ? pool->pool_data : NULL;
    if (stack)
        stack->populated = stack->size; /* DPDK empties it, which must not let it grow */
    rte_mempool_free(pool);
}
