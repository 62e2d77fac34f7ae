// layers: base metrics packet capture
/* Pipes, and packets that are freed by other threads than the one that reads. */
#include "capture/ahead.h"
#include "capture/dpdk.h"
#include "capture/source.h"
#include "packets.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PACKETS 20000u
#define QUEUE   16
#define THREADS 3

static char path[64];

static int start(void **state)
{
    (void)state;
    struct mr_dpdk_config config = {.max_packets = 8192};
    struct mr_error error;
    snprintf(path, sizeof path, "/tmp/millrace-test-live-%d", (int)getpid());
    return mr_dpdk_start(&config, &error) ? -1 : 0;
}

static int stop(void **state)
{
    (void)state;
    mr_dpdk_stop();
    unlink(path);
    return 0;
}

static uint32_t len_of(uint64_t number)
{
    return (uint32_t)(number * 131 % 1500);
}

static struct pk_capture capture(uint32_t packets)
{
    struct pk_capture c;
    static uint8_t bytes[1500];
    pk_pcap(&c, 1, true, false);
    for (uint32_t i = 1; i <= packets; i++) {
        memset(bytes, (int)(i % 251), sizeof bytes);
        pk_pcap_bytes(&c, i, bytes, len_of(i), 0);
    }
    return c;
}

/* Right length, and every byte the packet's own. Says so without cmocka, which knows one thread. */
static bool right(const struct mr_packet *packet)
{
    if (packet->len != len_of(packet->time_ns))
        return false;
    for (uint32_t i = 0; i < packet->len; i++) {
        if (packet->data[i] != packet->time_ns % 251)
            return false;
    }
    return true;
}

struct writer {
    int fd;
    struct pk_capture capture;
    size_t piece;  /* at a time */
    bool hesitate; /* now and then */
    pthread_t thread;
};

static void *write_all(void *p)
{
    struct writer *w = p;
    if (w->fd < 0)
        w->fd = open(path, O_WRONLY);
    for (size_t at = 0; at < w->capture.len;) {
        size_t n = w->capture.len - at < w->piece ? w->capture.len - at : w->piece;
        ssize_t written = write(w->fd, w->capture.bytes + at, n);
        if (written <= 0)
            break;
        at += (size_t)written;
        if (w->hesitate && at % 7 == 0)
            usleep(100);
    }
    close(w->fd);
    pk_capture_free(&w->capture);
    return NULL;
}

static uint32_t read_all(struct mr_source *source)
{
    static struct mr_burst burst;
    struct mr_error error = {0};
    enum mr_status status;
    uint32_t n = 0;
    while ((status = source->ops->read(source, &burst, 256, &error)) != MR_EOF) {
        if (status == MR_AGAIN)
            continue;
        if (status)
            fail_msg("%s", error.text);
        n += burst.n;
        for (uint32_t i = 0; i < burst.n; i++)
            assert_true(right(&burst.packets[i]));
        mr_burst_release(&burst);
    }
    struct mr_source_progress progress;
    source->ops->progress(source, &progress);
    assert_int_equal(progress.bytes_total, 0);
    assert_int_equal(progress.packets, n);
    source->ops->close(source);
    return n;
}

static void a_fifo(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 4096, 100000};
    for (size_t i = 0; i < 4; i++) {
        uint32_t n = pieces[i] < 10 ? 50 : 3000;
        struct writer w = {-1, capture(n), pieces[i], pieces[i] == 7, 0};
        struct mr_source *source;
        struct mr_error error;
        unlink(path);
        assert_int_equal(mkfifo(path, 0600), 0);
        pthread_create(&w.thread, NULL, write_all, &w);
        if (mr_source_open_file(&source, path, 0, &error))
            fail_msg("%s", error.text);
        assert_int_equal(read_all(source), n);
        pthread_join(w.thread, NULL);
        unlink(path);
    }
}

static void standard_input(void **state)
{
    (void)state;
    int ends[2], kept = dup(STDIN_FILENO);
    struct mr_source *source;
    struct mr_error error;
    assert_int_equal(pipe(ends), 0);
    struct writer w = {ends[1], capture(1000), 5000, false, 0};
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    pthread_create(&w.thread, NULL, write_all, &w);
    if (mr_source_open_file(&source, "-", 0, &error))
        fail_msg("%s", error.text);
    struct mr_source_progress progress;
    source->ops->progress(source, &progress);
    assert_string_equal(progress.name, "standard input");
    assert_int_equal(read_all(source), 1000);
    pthread_join(w.thread, NULL);
    dup2(kept, STDIN_FILENO);
    close(kept);
}

static void an_idle_pipe_returns(void **state)
{
    (void)state;
    static struct mr_burst burst;
    int ends[2], kept = dup(STDIN_FILENO);
    struct mr_source *source;
    struct mr_error error;
    struct pk_capture c = capture(2);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    /* a packet and a half */
    assert_int_equal(write(ends[1], c.bytes, 24 + 16 + len_of(1) + 20), 24 + 16 + len_of(1) + 20);
    assert_int_equal(mr_source_open_file(&source, "-", 0, &error), MR_OK);
    assert_int_equal(source->ops->read(source, &burst, 256, &error), MR_OK);
    assert_int_equal(burst.n, 1);
    mr_burst_release(&burst);
    assert_int_equal(source->ops->read(source, &burst, 256, &error), MR_AGAIN);
    assert_int_equal(burst.n, 0);
    close(ends[1]);
    assert_int_equal(source->ops->read(source, &burst, 256, &error), MR_ERR_INPUT);
    assert_non_null(strstr(error.text, "standard input ends in the middle of a packet"));
    source->ops->close(source);
    pk_capture_free(&c);
    dup2(kept, STDIN_FILENO);
    close(kept);
}

/* Readers take turns at the source; whoever read a burst puts it into a queue, from which all
 * threads take bursts to look at and free. */
struct shared {
    pthread_mutex_t turn, lock;
    struct mr_source *source;
    struct mr_ahead *ahead; /* NULL: whoever has the turn reads */
    bool over;              /* under turn */
    struct mr_burst *queue[QUEUE];
    uint32_t queued;
    _Atomic uint32_t packets, wrong, begun;
};

static struct mr_burst *swap(struct shared *s, struct mr_burst *burst)
{
    struct mr_burst *other = NULL;
    pthread_mutex_lock(&s->lock);
    if (burst && s->queued < QUEUE) {
        s->queue[s->queued++] = burst;
        burst = NULL;
    } else if (s->queued) {
        other = s->queue[0];
        s->queued--;
        memmove(s->queue, s->queue + 1, s->queued * sizeof s->queue[0]);
        if (burst) {
            s->queue[s->queued++] = burst;
            burst = NULL;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return other;
}

static void finish(struct shared *s, struct mr_burst *burst)
{
    if (!burst)
        return;
    for (uint32_t i = 0; i < burst->n; i++)
        s->wrong += !right(&burst->packets[i]);
    s->packets += burst->n;
    mr_burst_release(burst);
    free(burst);
}

static void *take_turns(void *p)
{
    struct shared *s = p;
    bool over = false;
    uint32_t turns = 0, self = s->begun++;
    while (!over) {
        if (s->ahead && !mr_ahead_read(s->ahead, self, turns % 5 == 0)) {
            turns++;
            finish(s, swap(s, NULL));
            continue;
        }
        struct mr_burst *burst = malloc(sizeof *burst);
        if (!burst)
            break;
        pthread_mutex_lock(&s->turn);
        enum mr_status status =
            s->over ? MR_EOF : s->source->ops->read(s->source, burst, 1 + turns++ * 7 % 256, NULL);
        s->over = s->over || (status != MR_OK && status != MR_AGAIN);
        over = s->over;
        pthread_mutex_unlock(&s->turn);
        if (status != MR_OK) {
            free(burst);
            burst = NULL;
        }
        finish(s, swap(s, burst));
    }
    for (struct mr_burst *burst; (burst = swap(s, NULL));)
        finish(s, burst);
    return NULL;
}

static void by_many_threads(struct shared *s)
{
    struct mr_error error;
    pthread_t threads[THREADS];

    assert_int_equal(mr_source_open_ahead(&s->source, path, 0, s->ahead, &error), MR_OK);
    s->over = false;
    s->packets = 0;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, take_turns, s);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    s->source->ops->close(s->source);
    assert_int_equal(s->packets, PACKETS);
    assert_int_equal(s->wrong, 0);
    assert_int_equal(mr_dpdk_packets_in_use(), 0);
}

static void freed_by_other_threads(void **state)
{
    (void)state;
    struct shared s = {.turn = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct pk_capture c = capture(PACKETS);
    assert_true(pk_save(&c, path));
    pk_capture_free(&c);
    by_many_threads(&s);
    /* one object for several files; and threads for which it has no place */
    assert_int_equal(mr_ahead_new(&s.ahead), MR_OK);
    s.begun = 0;
    by_many_threads(&s);
    s.begun = 0;
    by_many_threads(&s);
    s.begun = MR_AHEAD_THREADS - THREADS / 2;
    by_many_threads(&s);
    mr_ahead_free(s.ahead);
}

/* What was read ahead goes with the file (the leak sanitizer sees it if not), not the object. */
static void closed_before_its_end(void **state)
{
    (void)state;
    struct pk_capture c = capture(PACKETS);
    struct mr_source *source;
    struct mr_ahead *ahead;
    struct mr_error error;
    assert_true(pk_save(&c, path));
    pk_capture_free(&c);
    assert_int_equal(mr_ahead_new(&ahead), MR_OK);
    assert_true(mr_ahead_read(ahead, 0, false)); /* no file: what comes next may be opened */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mr_source_open_ahead(&source, path, 0, ahead, &error), MR_OK);
        assert_false(mr_ahead_read(ahead, 1, false)); /* behind what opening has taken */
        assert_true(mr_ahead_read(ahead, 2, true));   /* of that there is more */
        source->ops->close(source);
        assert_true(mr_ahead_read(ahead, 2, false));
    }
    mr_ahead_free(ahead);
}

/* Reads a file in two halves, the second of which is written, or cut off, in between: by a thread
 * that has read ahead by then, or has not. */
static void a_file_that_changes(void **state)
{
    (void)state;
    struct pk_capture c = capture(PACKETS);
    uint32_t cut = 0;
    assert_true(c.len > 8 * MR_PIECE_BYTES);
    for (int i = 0; i < 4; i++) {
        bool grows = i & 1, before = i & 2;
        size_t half = c.len / 2;
        static struct mr_burst burst;
        struct mr_source *source;
        struct mr_ahead *ahead;
        struct mr_error error = {0};
        uint32_t n = 0;
        assert_true(pk_save(&c, path));
        if (grows)
            assert_int_equal(truncate(path, (off_t)half), 0);
        assert_int_equal(mr_ahead_new(&ahead), MR_OK);
        assert_int_equal(mr_source_open_ahead(&source, path, 0, ahead, &error), MR_OK);
        for (uint32_t thread = 0; before && thread < MR_AHEAD_THREADS; thread++)
            (void)mr_ahead_read(ahead, thread, false);
        if (grows)
            assert_true(pk_save(&c, path));
        else
            assert_int_equal(truncate(path, (off_t)half), 0);
        enum mr_status status;
        while ((status = source->ops->read(source, &burst, 256, &error)) == MR_OK ||
               status == MR_AGAIN) {
            for (uint32_t k = 0; k < burst.n; k++)
                assert_true(right(&burst.packets[k]));
            n += burst.n;
            mr_burst_release(&burst);
        }
        assert_int_equal(status, grows ? MR_EOF : MR_ERR_INPUT);
        assert_true(grows ? n == PACKETS : n < PACKETS);
        if (!grows) /* what was read is there, whatever becomes of the file */
            assert_true(before ? n > cut : (cut = n) > 0);
        source->ops->close(source);
        mr_ahead_free(ahead);
    }
    pk_capture_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fifo),
        cmocka_unit_test(standard_input),
        cmocka_unit_test(an_idle_pipe_returns),
        cmocka_unit_test(freed_by_other_threads),
        cmocka_unit_test(closed_before_its_end),
        cmocka_unit_test(a_file_that_changes),
    };
    return cmocka_run_group_tests_name("source, live", tests, start, stop);
}
