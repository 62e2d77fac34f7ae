/* A stand-in for the runtime: the services of millrace/component.h for one function, so that a
 * component can be tested alone. A test names the layer `harness` for it, and must not use the
 * real runtime as well. Failures of the harness itself end the program.
 *
 * Each call is a token of its own: what mr_alloc() gave and mr_keep() took goes at the next call.
 * Allocations are single heap blocks, so that a sanitizer sees the first byte too many. */
#ifndef MR_TESTS_HARNESS_H
#define MR_TESTS_HARNESS_H

#include "millrace/component.h"

struct mr_harness;

/* Binds the function and opens a thread state; both must succeed. */
struct mr_harness *mr_harness_new(const struct mr_function *function,
                                  const struct mr_constant *constants, uint32_t n_constants);
/* Closes the contexts that live, the thread and the binding. Aborts when a buffer was lost. */
void mr_harness_free(struct mr_harness *harness);

/* The function of a component by its name; must exist. */
const struct mr_function *mr_harness_find(const struct mr_component *component, const char *name);

/* What mr_alloc() may give in one call; default 16 MiB. */
void mr_harness_token_bytes(struct mr_harness *harness, size_t bytes);
/* What the buffer pool may hold; default 1 GiB. Before the first call only. */
void mr_harness_buffer_bytes(struct mr_harness *harness, uint64_t bytes);
/* Events of one type are switched off; NULL: of all types. */
void mr_harness_no_events(struct mr_harness *harness, const char *type);

struct mr_harness_rows {
    uint32_t n;
    const union mr_value *args[8];
    struct mr_packet *const *packets; /* NULL: an empty packet for all rows */
    const uint32_t *keys;             /* which context each row belongs to; NULL: all to 0 */
    enum mr_cause cause;
    uint64_t now_ns;
};

struct mr_harness_result {
    uint32_t row;
    union mr_value value;
    const void *context; /* the slot that the row had when it was yielded */
    const struct mr_transaction *transaction;
};

/* Runs the function once; returns how many results there are (MAP: n). */
uint32_t mr_harness_call(struct mr_harness *harness, const struct mr_harness_rows *rows);
/* The results of the last call, rows ascending; valid until the next. */
const struct mr_harness_result *mr_harness_results(const struct mr_harness *harness);

/* Something is extracted from now on. */
void mr_harness_extract(struct mr_harness *harness);
/* An alert about a result of the last call tells of its transaction, without a row. */
void mr_harness_alert(struct mr_harness *harness, const struct mr_transaction *transaction);

/* The flow of a context key: zero at first; the test may fill it. */
struct mr_flow *mr_harness_flow(struct mr_harness *harness, uint32_t key);
/* The slot of a context key; NULL when there is none (any more). */
void *mr_harness_slot(struct mr_harness *harness, uint32_t key);
uint64_t mr_harness_deadline(const struct mr_harness *harness, uint32_t key);

/* The events of all calls so far, a line each: type, row, then each value by its path, strings
 * quoted, bytes that do not print as \xNN; arrays repeat their path:
 *   alert row=0 alert.gid=1 alert.signature="hello"
 *   smtp row=3 smtp.rcpt_to="a" smtp.rcpt_to="b" */
const char *mr_harness_events(const struct mr_harness *harness);
void mr_harness_forget_events(struct mr_harness *harness);
uint64_t mr_harness_counter(const struct mr_harness *harness, uint32_t index);
uint64_t mr_harness_refused(const struct mr_harness *harness); /* mr_alloc() that gave NULL */

#endif
