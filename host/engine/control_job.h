/* A command of the control socket that takes its time: one at a time, on a thread of its own, so
 * that clients are heard and told of meanwhile. All calls come from the control thread. */
#ifndef MR_ENGINE_CONTROL_JOB_H
#define MR_ENGINE_CONTROL_JOB_H

#include "engine/internal.h"

struct mr_job;

/* `wake`: an eventfd (borrowed) that is written when an answer is there. MR_ERR_MEMORY,
 * MR_ERR_START. */
enum mr_status mr_job_new(struct mr_job **job, struct mr_engine *engine, int wake);

/* Begins with a request (copied); false: another one is under way, or there is no memory. */
bool mr_job_begin(struct mr_job *job, const char *line, size_t len);

/* The answer to it, to be given to free(). NULL: not yet, or there was no memory for one: *over. */
char *mr_job_answer(struct mr_job *job, bool *over);

/* Waits until what was begun is done; its answer can be had then, and nothing begins any more. */
void mr_job_end(struct mr_job *job);
void mr_job_free(struct mr_job *job); /* behind mr_job_end(); NULL is allowed */

#endif
