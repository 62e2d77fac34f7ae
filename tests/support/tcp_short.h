/* What the tests of the TCP assembler write short: flags, and what was delivered. */
#ifndef MR_TEST_TCP_SHORT_H
#define MR_TEST_TCP_SHORT_H

#include "tcp_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define A   MR_TCP_ACK
#define FA  (MR_TCP_FIN | MR_TCP_ACK)
#define SA  (MR_TCP_SYN | MR_TCP_ACK)
#define UA  (MR_TCP_URG | MR_TCP_ACK)
#define SYN MR_TCP_SYN
#define RST MR_TCP_RST
#define RA  (MR_TCP_RST | MR_TCP_ACK)

/* The newest flow delivered this to the server and that to the client. */
static inline void expect(struct rig *r, const char *c, const char *s)
{
    assert_string_equal(rig_text(r, C), c);
    assert_string_equal(rig_text(r, S), s);
    assert_false(r->broken);
}

/* The same, and nothing was odd. */
static inline void expect_clean(struct rig *r, const char *c, const char *s)
{
    expect(r, c, s);
    assert_int_equal(r->n_anomalies, 0);
}

/* After a handshake: the client is at 101, the server at 501. */
static inline struct rig *opened(void)
{
    struct rig *r = rig_new();
    rig_open(r, 100, 500);
    return r;
}

static inline bool client_is(struct rig *r, int who)
{
    return !memcmp(&rig_last(r)->flow.client, &r->ends[who], sizeof r->ends[who]);
}

#endif
