/* Freeing what the packets of a burst lie in: many at a time, since those of a port come from one
 * pool. */
#include "capture/dpdk.h"
#include "capture/source.h"

#include <rte_mbuf.h>

static void let_go(struct rte_mbuf_ext_shared_info *shared, int16_t n)
{
    if (shared && rte_mbuf_ext_refcnt_update(shared, (int16_t)-n) == 0)
        shared->free_cb(NULL, shared->fcb_opaque);
}

/* One segment in an external buffer, from our pool, owned by nobody else. */
static bool plain(const struct rte_mbuf *mbuf, const struct rte_mempool *pool)
{
    return mbuf->pool == pool && (mbuf->ol_flags & RTE_MBUF_F_EXTERNAL) && mbuf->nb_segs == 1 &&
           rte_mbuf_refcnt_read(mbuf) == 1;
}

/* As it lies in the pool: with its own buffer, which has no room. */
static void detach(struct rte_mbuf *mbuf)
{
    mbuf->buf_addr = mbuf + 1;
    mbuf->buf_len = 0;
    mbuf->data_off = 0;
    mbuf->data_len = 0;
    mbuf->ol_flags = 0;
}

void mr_burst_release(struct mr_burst *burst)
{
    struct rte_mempool *pool = mr_dpdk_pool();
    struct rte_mbuf_ext_shared_info *shared = NULL;
    struct rte_mbuf *others[MR_BURST_MAX];
    uint32_t n = 0, n_others = 0; /* n: kept together in front, to go back to the pool */
    int16_t run = 0;

    for (uint32_t i = 0; i < burst->n_mbufs; i++) {
        struct rte_mbuf *mbuf = burst->mbufs[i];
        if (!plain(mbuf, pool)) {
            others[n_others++] = mbuf;
            continue;
        }
        if (mbuf->shinfo != shared) {
            let_go(shared, run);
            shared = mbuf->shinfo;
            run = 0;
        }
        run++;
        detach(mbuf);
        burst->mbufs[n++] = mbuf;
    }
    let_go(shared, run);
    rte_pktmbuf_free_bulk(others, n_others);
    if (n)
        rte_mempool_put_bulk(pool, (void **)burst->mbufs, n);
    burst->n = burst->n_mbufs = 0;
}
