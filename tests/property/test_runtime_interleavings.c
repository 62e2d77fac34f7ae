/* The whole runtime under all interleavings of small runs: lanes handed over while others deliver,
 * tokens closed by two workers, gates reached out of order, exchanges, tuples under two keys. And
 * that a runtime whose protocols are broken is found out. */
// layers: explored analog base
// wrap: mmap munmap
#include "runtime_rig.h"

#include "runtime/internal.h"
#include "virtual/explore.h"

#include <sys/mman.h>
#include <sys/resource.h>

/* AddressSanitizer makes a run some fifty times slower: it sees a sample. */
#if defined(__SANITIZE_ADDRESS__)
#define MOST_RUNS 400
#define SAMPLE
#else
#define MOST_RUNS 16000
#endif

/* Each run maps its contexts' memory, of the same sizes in all of a case, and touches a little of
 * it: what one gave back the next one gets, zeroed as far as it was touched. Else half of the
 * time goes there. With AddressSanitizer memory that was given back is gone. */
enum { PAGE = 4096, LARGE = 2 << 20, MOST_KEPT = 16 << 20 };

static struct kept {
    uint8_t *memory;
    size_t mapped, bytes; /* as asked for; what was given back of that at last */
    bool used;
    long faults;
    bool touched[MOST_KEPT / PAGE];
} all_kept[8];

void *__real_mmap(void *at, size_t bytes, int prot, int flags, int file, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int file, off_t offset);
int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);

void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int file, off_t offset)
{
    struct kept *room = NULL;

    for (struct kept *k = all_kept; k < all_kept + 8; k++) {
        if (!k->used && k->memory && k->mapped == bytes) {
            k->used = true;
            return k->memory;
        }
        if (!k->used && (!room || !k->memory))
            room = k;
    }
    if (MOST_RUNS > 400 && room && bytes > LARGE && bytes - LARGE <= MOST_KEPT) {
        if (room->memory) /* of another case, whose contexts are others */
            __real_munmap(room->memory, room->bytes);
        *room = (struct kept){.mapped = bytes, .used = true};
    }
    return __real_mmap(at, bytes, prot, flags, file, offset);
}

/* Zeroes what was touched. Nothing is touched first without a fault. */
static void clean(struct kept *k)
{
    static unsigned char there[sizeof k->touched];
    struct rusage now;

    assert_int_equal(getrusage(RUSAGE_SELF, &now), 0);
    if (now.ru_minflt != k->faults) {
        assert_int_equal(mincore(k->memory, k->bytes, there), 0);
        for (size_t i = 0; i * PAGE < k->bytes; i++)
            k->touched[i] |= there[i] & 1;
    }
    k->faults = now.ru_minflt;
    for (size_t i = 0; i * PAGE < k->bytes; i++)
        if (k->touched[i])
            memset(k->memory + i * PAGE, 0, PAGE);
}

int __wrap_munmap(void *at, size_t bytes)
{
    struct kept *known = NULL, *comes = NULL;
    uint8_t *memory = at;

    for (struct kept *k = all_kept; k < all_kept + 8; k++) {
        if (k->used && k->memory && memory == k->memory + k->bytes)
            return 0; /* it begins where a large page does: all that is too much is behind it */
        if (k->used && k->memory == memory)
            known = k;
        if (k->used && !k->memory && k->mapped == bytes + LARGE)
            comes = k;
    }
    if (!known && !comes)
        return __real_munmap(at, bytes);
    if (!known) {
        known = comes;
        known->memory = memory;
        known->bytes = bytes;
    }
    clean(known);
    known->used = false;
    return 0;
}

/* Which way tokens go: through gates and lanes, straight, or one so and the next one so. */
enum way { BY_LANES, STRAIGHT, BOTH_WAYS };

struct runtime_case {
    const char *name, *program;
    enum way way;
    struct setting setting;
    uint32_t bound;
    struct mr_plan *plan;
    char *expected;
    size_t expected_len;
    struct rig rig;
    struct mr_buffers *buffers;
    struct mr_runtime *runtime;
    enum mr_status status;
    /* the place that is broken: chosen once the runtime is made */
    const volatile void *(*broken)(struct mr_runtime *runtime);
    struct mr_explore search;
};

/* The source takes its time: others may come in between. */
static enum mr_status slow_intake(void *user, struct mr_metrics *metrics, struct mr_token *token)
{
    struct runtime_case *c = user;

    mr_explore_point();
    enum mr_status status = intake(&c->rig, metrics, token);
    mr_explore_point();
    if (c->way == BOTH_WAYS)
        atomic_store(&c->runtime->cheap, !atomic_load(&c->runtime->cheap));
    return status;
}

static void leave_rig(void *user, struct mr_exec *exec, const struct mr_tuples *tuples)
{
    leave(&((struct runtime_case *)user)->rig, exec, tuples);
}

static void retire_rig(void *user, struct mr_metrics *metrics, struct mr_token *token,
                       const struct mr_record *records)
{
    retire(&((struct runtime_case *)user)->rig, metrics, token, records);
}

static void runtime_set_up(void *user)
{
    struct runtime_case *c = user;
    const struct setting *s = &c->setting;
    struct mr_runtime_config config = {
        .plan = c->plan,
        .hooks = {.user = c, .intake = slow_intake, .leave = leave_rig, .retire = retire_rig},
        .workers = s->workers,
        .tokens = s->tokens,
        .window = s->window,
        .lanes = s->lanes,
        .burst = s->burst,
        .home_rows = 1,
        .max_contexts = 64,
    };
    struct mr_error error = {0};

    c->rig = (struct rig){.plan = c->plan, .n_packets = s->packets, .burst = s->burst};
    c->status = mr_buffers_new(&c->buffers, (uint64_t)1 << 24);
    config.buffers = c->buffers;
    if (!c->status)
        c->status = mr_secret_draw(&config.secret, 1);
    if (!c->status)
        c->status = mr_runtime_new(&c->runtime, &config, &error);
    if (c->status)
        mr_explore_bug("the runtime cannot be made");
    atomic_store(&c->runtime->cheap, c->way != BY_LANES);
    c->runtime->dear_ticks = UINT64_MAX / 8; /* not a matter of this machine's clock */
    atomic_store(&faults, 0);
    memset(by_source, 0, sizeof by_source);
    memset(by_destination, 0, sizeof by_destination);
    if (c->broken)
        c->search.broken = c->broken(c->runtime);
}

static void runtime_thread(void *user, uint32_t index)
{
    struct runtime_case *c = user;
    struct mr_error error = {0};
    (void)index;
    c->status = mr_runtime_run(c->runtime, &error);
}

/* The same output as on one worker, every token through, nothing under way, nothing kept. A lane
 * may still be scheduled: who delivers schedules it after the ticket is in, and by then it may have
 * been run; what then stands in a deque is a lane with nothing to do. */
static bool runtime_check(void *user)
{
    struct runtime_case *c = user;
    struct mr_runtime_usage usage;
    struct mr_buffers_usage used;

    mr_runtime_usage(c->runtime, &usage);
    mr_buffers_usage(c->buffers, &used);
    for (uint32_t p = 0; p < c->runtime->n_phases; p++)
        if (atomic_load(&c->runtime->gates[p].turn))
            return false;
    for (uint32_t p = 1; p < c->runtime->n_phases; p++)
        for (uint32_t l = 0; l < c->runtime->phases[p].n_lanes; l++) {
            struct mr_lane *lane = &c->runtime->phases[p].lanes[l];
            if (atomic_load(&lane->inbox) || lane->todo || atomic_load(&lane->outstanding))
                return false;
        }
    return c->status == MR_OK && !atomic_load(&faults) && !usage.tokens_in_flight &&
           !used.used_bytes && c->rig.len == c->expected_len &&
           !memcmp(c->rig.text, c->expected, c->expected_len);
}

static void runtime_tear_down(void *user)
{
    struct runtime_case *c = user;
    free(c->rig.text);
    c->rig.text = NULL;
    if (c->search.bug)
        return; /* in the middle of things: what it holds is lost */
    mr_runtime_free(c->runtime);
    mr_buffers_free(c->buffers);
}

static struct mr_plan *plan_of(const char *program)
{
    const struct mr_component *list[] = {&component};
    struct mr_analog_config analog = {.components = list, .n_components = 1};
    struct mr_diagnostics *diagnostics = mr_diagnostics_new();
    struct mr_plan *plan = NULL;
    enum mr_status status =
        mr_analog_compile_text("test", program, strlen(program), &analog, diagnostics, &plan);
    mr_diagnostics_print(diagnostics, stderr, false);
    mr_diagnostics_free(diagnostics);
    assert_int_equal(status, MR_OK);
    return plan;
}

/* What one worker makes of it, on no machine. */
static void expect(struct runtime_case *c)
{
    struct setting one = c->setting;
    one.workers = 1;
    c->plan = plan_of(c->program);
    c->expected = run(c->program, one, &c->expected_len, NULL);
    assert_true(c->expected_len > 0);
    c->search.set_up = runtime_set_up;
    c->search.thread = runtime_thread;
    c->search.check = runtime_check;
    c->search.tear_down = runtime_tear_down;
    c->search.user = c;
    c->search.n_threads = 1;
    c->search.bound = c->bound;
    c->search.ordered_only = true;
    c->search.most_runs = MOST_RUNS;
}

static void forget(struct runtime_case *c)
{
    mr_plan_free(c->plan);
    free(c->expected);
}

#define EXCHANGE                                                                                   \
    KEYER SEQUENCER "component again(parallel_context_order, context_keys(counted(4))) {"          \
                    "g1 again(@N,SEQ,T) :- counted(@N,PKT,KEY,SEQ), T = f_sequence(PKT). }\n"
#define TWO_KEYS                                                                                   \
    "component ends(parallel) { e1 conn(@N,PKT,SRC,DST) :- input(@N,PKT,S,D),"                     \
    " SRC = f_part(PKT, 0), DST = f_part(PKT, 1). }\n"                                             \
    "component both(parallel_context_order, context_keys(conn(3), conn(4))) {\n"                   \
    "b1 pair(@N,SRC,DST,H) :- conn(@N,PKT,SRC,DST), H = f_pair(PKT, SRC, DST). }\n"

static const struct runtime_case cases[] = {
    {.name = "one lane, two bursts",
     .program = KEYER SEQUENCER,
     .setting = {.workers = 2, .lanes = 1, .tokens = 2, .burst = 1, .packets = 2},
     .bound = 2},
    {.name = "two lanes, one burst",
     .program = KEYER SEQUENCER,
     .setting = {.workers = 2, .lanes = 2, .tokens = 2, .burst = 4, .packets = 4},
     .bound = 2},
    {.name = "two lanes, three bursts, three workers",
     .program = KEYER SEQUENCER,
     .setting = {.workers = 3, .lanes = 2, .tokens = 3, .burst = 2, .packets = 6},
     .bound = 1},
    {.name = "exchange",
     .program = EXCHANGE,
     .setting = {.workers = 2, .lanes = 2, .tokens = 2, .burst = 2, .packets = 4},
     .bound = 2},
    {.name = "two keys",
     .program = TWO_KEYS,
     .setting = {.workers = 2, .lanes = 2, .tokens = 2, .burst = 2, .packets = 4},
     .bound = 2},
    {.name = "serial last",
     .program = KEYER SEQUENCER
     "component all(serial) { z1 totalled(@N,KEY,SEQ,T) :- counted(@N,PKT,KEY,SEQ),"
     " T = f_total(SEQ). }\n",
     .setting = {.workers = 2, .lanes = 2, .tokens = 2, .burst = 2, .packets = 4},
     .bound = 2},
    {.name = "exchange, in slices",
     .program = EXCHANGE,
     .setting = {.workers = 2, .lanes = 2, .tokens = 2, .burst = 3, .packets = 6},
     .bound = 2},
    {.name = "straight",
     .program = EXCHANGE,
     .way = STRAIGHT,
     .setting = {.workers = 2, .lanes = 2, .tokens = 2, .burst = 1, .packets = 4},
     .bound = 2},
    {.name = "straight and by one lane",
     .program = KEYER SEQUENCER,
     .way = BOTH_WAYS,
     .setting = {.workers = 2, .lanes = 1, .tokens = 2, .burst = 1, .packets = 4},
     .bound = 2},
    {.name = "straight and by lanes, three workers",
     .program = EXCHANGE,
     .way = BOTH_WAYS,
     .setting = {.workers = 3, .lanes = 2, .tokens = 3, .burst = 1, .packets = 6},
     .bound = 1},
    {.name = "straight and under two keys",
     .program = TWO_KEYS,
     .way = BOTH_WAYS,
     .setting = {.workers = 2, .lanes = 2, .tokens = 2, .burst = 2, .packets = 6},
     .bound = 1},
};

static void explore(struct runtime_case *c)
{
    const char *how = c->search.store_buffers ? "store buffers" : "in order";
    if (!mr_explore(&c->search))
        fail_msg("%s, %s, bound %u, seed %llu: %s in run %llu; schedule %s", c->name, how,
                 c->search.bound, (unsigned long long)c->search.seed, c->search.bug,
                 (unsigned long long)c->search.runs, c->search.schedule);
    print_message("%-38s %-13s %s %u: %llu runs%s, %llu points each\n", c->name, how,
                  c->search.seed ? "random" : "bound", c->search.bound,
                  (unsigned long long)c->search.runs, c->search.complete ? ", all" : "",
                  (unsigned long long)(c->search.points / c->search.runs));
}

/* All with one deviation, as many as time allows with more, and some of any kind. */
static void any_interleaving_gives_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int buffers = 0; buffers < 2; buffers++) {
            struct runtime_case c = cases[i];
            expect(&c);
            c.search.store_buffers = buffers;
            c.search.bound = 1;
            explore(&c);
            c.search.bound = c.bound;
            if (c.bound > 1)
                explore(&c);
            c.search.seed = i + 1;
            c.search.most_runs = MOST_RUNS / 4;
            explore(&c);
            forget(&c);
        }
}

/* A lane that was sent after its last work was done lies in the mail of a worker that gathers with
 * the others: the lane goes with its plan. */
static void installed(void *user, const struct mr_runtime *gone)
{
    (void)user;
    (void)gone;
}

static void a_swap_leaves_no_lane_in_the_mail(void **state)
{
    struct runtime_case c = cases[1];
    struct mr_error error = {0};
    (void)state;

    c.setting.workers = 1;
    expect(&c);
    runtime_set_up(&c);
    struct mr_plan *plan = plan_of(c.program);
    struct mr_worker *worker = &c.runtime->workers[0];
    struct mr_lane *lane = &c.runtime->phases[1].lanes[0];
    atomic_store(&lane->scheduled, 1);
    mr_worker_send(worker, &lane->task, &lane->task, 0);
    assert_int_equal(mr_runtime_swap(c.runtime, plan, installed, NULL, &error), MR_OK);
    assert_null(atomic_load(&worker->mail));
    c.rig.plan = plan;
    runtime_thread(&c, 0);
    assert_true(runtime_check(&c));
    runtime_tear_down(&c);
    mr_plan_free(plan);
    forget(&c);
}

/* ---- broken on purpose ---- */

#ifndef SAMPLE

static const volatile void *inbox(struct mr_runtime *runtime)
{
    return &runtime->phases[1].lanes[0].inbox;
}

static const volatile void *scheduled(struct mr_runtime *runtime)
{
    return &runtime->phases[1].lanes[0].scheduled;
}

static const volatile void *first_gate(struct mr_runtime *runtime)
{
    return &runtime->gates[0].turn;
}

static const volatile void *last_gate(struct mr_runtime *runtime)
{
    return &runtime->gates[runtime->n_phases - 1].turn;
}

static const volatile void *waiting(struct mr_runtime *runtime)
{
    return &runtime->gates[0].waiting[2 & runtime->gates[0].mask];
}

static const volatile void *turn_of_intake(struct mr_runtime *runtime)
{
    return &runtime->intake_turn;
}

static const volatile void *mail(struct mr_runtime *runtime)
{
    return &runtime->workers[0].mail;
}

static const volatile void *spent(struct mr_runtime *runtime)
{
    return &runtime->workers[0].spent;
}

static const struct {
    const char *what;
    size_t of_case;
    enum mr_breakage breakage;
    const volatile void *(*place)(struct mr_runtime *runtime);
    bool store_buffers;
} broken[] = {
    {"the inbox is not looked into again after the lane is let go", 0, MR_BREAK_LOADS_ZERO, inbox,
     false},
    {"two workers take the same lane", 0, MR_BREAK_TORN, scheduled, false},
    {"two workers have the turn of a gate", 0, MR_BREAK_TORN, first_gate, false},
    {"a token that waits at a gate is not seen", 0, MR_BREAK_LOADS_ZERO, waiting, false},
    {"a lane that was sent is not seen", 0, MR_BREAK_LOADS_ZERO, mail, false},
    {"a token that was sent back is not seen", 0, MR_BREAK_LOADS_ZERO, spent, false},
    {"two workers take bursts in", 0, MR_BREAK_TORN, turn_of_intake, false},
    {"a token goes straight while others have a turn", 8, MR_BREAK_TORN, last_gate, false},
    {"stores that must be seen at once are not", 0, MR_BREAK_WEAK_STORES, NULL, true},
};

static void what_is_broken_is_found_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct runtime_case c = cases[broken[i].of_case];
        expect(&c);
        c.broken = broken[i].place;
        c.search.breakage = broken[i].breakage;
        c.search.store_buffers = broken[i].store_buffers;
        c.search.most_runs = 0;
        if (mr_explore(&c.search))
            fail_msg("not found out: %s (%llu runs)", broken[i].what,
                     (unsigned long long)c.search.runs);
        print_message("%s: found in run %llu, %s\n", broken[i].what,
                      (unsigned long long)c.search.runs, c.search.bug);
        forget(&c);
    }
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_swap_leaves_no_lane_in_the_mail),
        cmocka_unit_test(any_interleaving_gives_the_same),
#ifndef SAMPLE
        cmocka_unit_test(what_is_broken_is_found_out),
#endif
    };
    (void)same_everywhere; /* for tests with real threads */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
