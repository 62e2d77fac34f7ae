/* The thread of commands that take their time. */
#include "engine/control_job.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum state { FREE, BEGUN, DONE };

struct mr_job {
    struct mr_engine *engine;
    int wake;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    enum state state; /* under the lock, as the next */
    bool ended;
    char *line, *answer;
    size_t len;
};

static void *job_main(void *argument)
{
    struct mr_job *job = argument;
    uint64_t one = 1;

    pthread_mutex_lock(&job->lock);
    for (;;) {
        while (job->state != BEGUN && !job->ended)
            pthread_cond_wait(&job->change, &job->lock);
        if (job->state != BEGUN)
            break;
        pthread_mutex_unlock(&job->lock);
        char *answer = mr_command_request(job->engine, job->line, job->len);
        pthread_mutex_lock(&job->lock);
        job->answer = answer;
        job->state = DONE;
        if (write(job->wake, &one, sizeof one) < 0)
            continue; /* it is awake already */
    }
    pthread_mutex_unlock(&job->lock);
    return NULL;
}

enum mr_status mr_job_new(struct mr_job **out, struct mr_engine *engine, int wake)
{
    struct mr_job *job = calloc(1, sizeof *job);

    *out = NULL;
    if (!job)
        return MR_ERR_MEMORY;
    job->engine = engine;
    job->wake = wake;
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->change, NULL);
    if (pthread_create(&job->thread, NULL, job_main, job)) {
        pthread_mutex_destroy(&job->lock);
        pthread_cond_destroy(&job->change);
        free(job);
        return MR_ERR_START;
    }
    *out = job;
    return MR_OK;
}

bool mr_job_begin(struct mr_job *job, const char *line, size_t len)
{
    char *copy = NULL;

    pthread_mutex_lock(&job->lock);
    if (job->state == FREE && !job->ended && (copy = strndup(line, len))) {
        job->line = copy;
        job->len = len;
        job->state = BEGUN;
        pthread_cond_signal(&job->change);
    }
    pthread_mutex_unlock(&job->lock);
    return copy != NULL;
}

char *mr_job_answer(struct mr_job *job, bool *over)
{
    char *answer = NULL;

    pthread_mutex_lock(&job->lock);
    *over = job->state == DONE;
    if (*over) {
        answer = job->answer;
        free(job->line);
        job->answer = job->line = NULL;
        job->state = FREE;
    }
    pthread_mutex_unlock(&job->lock);
    return answer;
}

void mr_job_end(struct mr_job *job)
{
    pthread_mutex_lock(&job->lock);
    job->ended = true;
    pthread_cond_signal(&job->change);
    pthread_mutex_unlock(&job->lock);
    pthread_join(job->thread, NULL);
}

void mr_job_free(struct mr_job *job)
{
    if (!job)
        return;
    pthread_mutex_destroy(&job->lock);
    pthread_cond_destroy(&job->change);
    free(job->line);
    free(job->answer);
    free(job);
}
