/* SPDX-License-Identifier: Apache-2.0
 *
 * Fibers: stacks, the switch, and what the sanitizers must know of it.
 */
#include "kernels/emulation/fiber.h"

#include "kernels/emulation/sanitizers.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* AddressSanitizer's frames are several times larger. Untouched pages cost nothing. */
static const size_t stack_bytes = EMU_ASAN ? 256 * 1024 : 64 * 1024;
static const size_t guard_bytes = 4096 * 16; /* a whole page on every processor */

bool fiber_stacks_alloc(struct fiber *fibers, size_t n)
{
    const size_t step = stack_bytes + guard_bytes;
    void *map = mmap(NULL, n * step, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return false;
    for (size_t i = 0; i < n; i++) {
        char *stack = (char *)map + i * step + guard_bytes;
        if (mprotect(stack, stack_bytes, PROT_READ | PROT_WRITE) != 0) {
            munmap(map, n * step);
            return false;
        }
        memset(&fibers[i], 0, sizeof fibers[i]);
        fibers[i].stack = stack;
        fibers[i].stack_bytes = stack_bytes;
    }
    return true;
}

/* The first thing that runs on a fiber. */
static _Noreturn void begin(struct fiber *f)
{
#if EMU_ASAN
    const void *bottom = NULL;
    size_t bytes = 0;
    __sanitizer_finish_switch_fiber(NULL, &bottom, &bytes);
    f->previous->stack = (void *)(uintptr_t)bottom;
    f->previous->stack_bytes = bytes;
#endif
    f->entry(f->argument);
    __builtin_trap(); /* entry never returns */
}

#if FIBER_ASSEMBLY

/* void swap(void **save, void *load): what a function must keep goes on the stack, the stack
 * pointer into *save, and the other way round. `begin_here` starts a fiber: r12 holds its struct.
 */
void mr_emulation_fiber_swap(void **save, void *load);
void mr_emulation_fiber_begin(void);
void mr_emulation_fiber_enter(struct fiber *f);

void mr_emulation_fiber_enter(struct fiber *f)
{
    begin(f);
}

__asm__(".text\n"
        ".p2align 4\n"
        ".globl mr_emulation_fiber_swap\n"
        ".hidden mr_emulation_fiber_swap\n"
        ".type mr_emulation_fiber_swap, @function\n"
        "mr_emulation_fiber_swap:\n"
        "pushq %rbp\n"
        "pushq %rbx\n"
        "pushq %r12\n"
        "pushq %r13\n"
        "pushq %r14\n"
        "pushq %r15\n"
        "movq %rsp, (%rdi)\n"
        "movq %rsi, %rsp\n"
        "popq %r15\n"
        "popq %r14\n"
        "popq %r13\n"
        "popq %r12\n"
        "popq %rbx\n"
        "popq %rbp\n"
        "ret\n"
        ".size mr_emulation_fiber_swap, . - mr_emulation_fiber_swap\n"
        ".p2align 4\n"
        ".globl mr_emulation_fiber_begin\n"
        ".hidden mr_emulation_fiber_begin\n"
        ".type mr_emulation_fiber_begin, @function\n"
        "mr_emulation_fiber_begin:\n"
        ".cfi_startproc\n"
        ".cfi_undefined %rip\n"
        "movq %r12, %rdi\n"
        "xorl %ebp, %ebp\n"
        "call mr_emulation_fiber_enter\n"
        "ud2\n"
        ".cfi_endproc\n"
        ".size mr_emulation_fiber_begin, . - mr_emulation_fiber_begin\n");

static void prepare_context(struct fiber *f)
{
    uintptr_t top = ((uintptr_t)f->stack + f->stack_bytes) & ~(uintptr_t)15;
    void **sp = (void **)top;

    *--sp = NULL; /* keeps the call in begin aligned to 16 */
    *--sp = NULL;
    *--sp = (void *)(uintptr_t)mr_emulation_fiber_begin;
    for (int i = 0; i < 6; i++) /* rbp, rbx, r12, r13, r14, r15 */
        *--sp = i == 2 ? f : NULL;
    f->sp = sp;
}

static void swap_context(struct fiber *from, struct fiber *to)
{
    mr_emulation_fiber_swap(&from->sp, to->sp);
}

#else

/* makecontext() passes ints only. */
static void enter(unsigned high, unsigned low)
{
    begin((struct fiber *)((uintptr_t)high << 16 << 16 | low));
}

static void prepare_context(struct fiber *f)
{
    uintptr_t self = (uintptr_t)f;

    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = f->stack_bytes;
    f->context.uc_link = NULL;
    makecontext(&f->context, (void (*)(void))(uintptr_t)enter, 2, (unsigned)(self >> 16 >> 16),
                (unsigned)self);
}

static void swap_context(struct fiber *from, struct fiber *to)
{
    swapcontext(&from->context, &to->context);
}

#endif

void fiber_prepare(struct fiber *f, void (*entry)(void *), void *argument)
{
    f->entry = entry;
    f->argument = argument;
    f->fake_stack = NULL;
    sanitizer_allow(f->stack, f->stack_bytes); /* a fiber may have been left in the middle */
    prepare_context(f);
}

void fiber_switch(struct fiber *from, struct fiber *to, bool last)
{
    to->previous = from;
#if EMU_ASAN
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake_stack, to->stack, to->stack_bytes);
#endif
    (void)last;
    swap_context(from, to);
#if EMU_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}
