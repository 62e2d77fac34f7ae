/* Mempools of packets, behind DPDK's interface for mempool drivers.
 *
 * The driver is ours for three reasons: DPDK's default one is a plug-in that had to be found and
 * loaded; it hands out the packet that was freed longest ago, which is the coldest; and it wants
 * every packet touched at start (9 ms for 65,536). Users move bursts, so that one lock a burst
 * costs less than DPDK's per-thread caches would. */
#include "capture/pool.h"

#include <errno.h>
#include <pthread.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GROW_PACKETS 4096u
#define GROW_BYTES   (1u << 20) /* at a time, where packets have room */
#define POOL_FLAGS   (RTE_MEMPOOL_F_NO_SPREAD | RTE_MEMPOOL_F_NO_IOVA_CONTIG)

/* What hangs at rte_mempool.pool_data. */
struct stack {
    pthread_mutex_t lock; /* n, objects */
    pthread_mutex_t grow; /* taken before lock: populating the pool pushes on the stack */
    uint32_t n;
    uint32_t size;
    uint32_t populated; /* under grow */
    uint8_t *memory;
    size_t memory_bytes, object_bytes;
    void *objects[];
};

static int stack_alloc(struct rte_mempool *pool)
{
    pool->pool_data = pool->pool_config;
    return 0;
}

static struct stack *stack_new(const struct rte_mempool *pool)
{
    size_t object_bytes = pool->header_size + pool->elt_size + pool->trailer_size;
    size_t memory_bytes = (size_t)pool->size * object_bytes;
    /* neither calloc() nor mmap() touches what it gives */
    struct stack *stack = calloc(1, sizeof *stack + (size_t)pool->size * sizeof(void *));
    void *memory = mmap(NULL, memory_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!stack || memory == MAP_FAILED) {
        if (memory != MAP_FAILED)
            munmap(memory, memory_bytes);
        free(stack);
        return NULL;
    }
    stack->size = pool->size;
    stack->object_bytes = object_bytes;
    stack->memory = memory;
    stack->memory_bytes = memory_bytes;
    pthread_mutex_init(&stack->lock, NULL);
    pthread_mutex_init(&stack->grow, NULL);
    return stack;
}

static void stack_free(struct rte_mempool *pool)
{
    struct stack *stack = pool->pool_data;
    munmap(stack->memory, stack->memory_bytes);
    pthread_mutex_destroy(&stack->lock);
    pthread_mutex_destroy(&stack->grow);
    free(stack);
}

static int stack_enqueue(struct rte_mempool *pool, void *const *objects, unsigned n)
{
    struct stack *stack = pool->pool_data;
    int result = -ENOBUFS;
    pthread_mutex_lock(&stack->lock);
    if (n <= stack->size - stack->n) {
        memcpy(&stack->objects[stack->n], objects, n * sizeof(void *));
        stack->n += n;
        result = 0;
    }
    pthread_mutex_unlock(&stack->lock);
    return result;
}

/* Puts the next packets of the pool's memory into use; false when there are none left. */
static bool grow(struct rte_mempool *pool, struct stack *stack, uint32_t at_least)
{
    bool grown = false;
    pthread_mutex_lock(&stack->grow);
    uint32_t left = stack->size - stack->populated;
    uint32_t step = (uint32_t)(GROW_BYTES / stack->object_bytes) + 1;
    if (pool->elt_size == sizeof(struct rte_mbuf))
        step = GROW_PACKETS;
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
    for (;;) {
        pthread_mutex_lock(&stack->lock);
        bool enough = n <= stack->n;
        if (enough) {
            stack->n -= n;
            memcpy(objects, &stack->objects[stack->n], n * sizeof(void *));
        }
        pthread_mutex_unlock(&stack->lock);
        if (enough)
            return 0;
        if (!grow(pool, stack, n))
            return -ENOBUFS;
    }
}

/* What could be taken, put into use already or not. */
static unsigned stack_count(const struct rte_mempool *pool)
{
    struct stack *stack = pool->pool_data;
    pthread_mutex_lock(&stack->lock);
    unsigned n = stack->n;
    pthread_mutex_unlock(&stack->lock);
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
