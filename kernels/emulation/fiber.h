/* SPDX-License-Identifier: Apache-2.0
 *
 * Coroutines of one host thread: each lane of an emulated block runs on one, and each virtual
 * worker of the tests of the scheduler (C, usable from C++). A fiber is either
 * running, or waits inside fiber_switch(); switching costs some nanoseconds on x86-64 and some
 * hundred elsewhere. AddressSanitizer is told of every switch; ThreadSanitizer does not look here
 * (CMakeLists.txt).
 */
#ifndef MR_EMULATION_FIBER_H
#define MR_EMULATION_FIBER_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__x86_64__) && !defined(MR_EMULATION_UCONTEXT)
#define FIBER_ASSEMBLY 1
#else
#define FIBER_ASSEMBLY 0
#include <ucontext.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct fiber {
    void *stack; /* lowest byte; for the thread's own stack filled in by the first switch */
    size_t stack_bytes;
    struct fiber *previous; /* who switched here last */
    void (*entry)(void *);
    void *argument;
#if FIBER_ASSEMBLY
    void *sp;
#else
    ucontext_t context;
#endif
    void *fake_stack; /* AddressSanitizer's */
};

/* Reserves stacks for `n` fibers, each with a guard page below it; true when it worked. */
bool fiber_stacks_alloc(struct fiber *fibers, size_t n);

/* The next switch to `f` calls entry(argument) on a clean stack, whatever ran on it before. entry
 * must not return: it ends with a switch that says it is the last. */
void fiber_prepare(struct fiber *f, void (*entry)(void *), void *argument);

/* Leaves `from`, which is running, for `to`; returns when somebody switches back. `last`: nobody
 * will. `from` may be a blank struct that stands for the thread's own stack. */
void fiber_switch(struct fiber *from, struct fiber *to, bool last);

#ifdef __cplusplus
}
#endif

#endif
