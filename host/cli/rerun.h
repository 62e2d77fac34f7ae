/* `millrace run` as a process of its own, again and again, for the commands that compare runs: how
 * fast each was, as it tells itself, and a hash of its events, which must be the same for all. */
#ifndef MR_CLI_RERUN_H
#define MR_CLI_RERUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MR_RERUN_OPTIONS 512
#define MR_RERUN_ROUNDS  101
#define MR_RERUN_FOLDER  1024 /* bytes of its path */

struct mr_rerun {
    char *passed[MR_RERUN_OPTIONS]; /* options of `run`, borrowed */
    uint32_t n_passed;
    char folder[MR_RERUN_FOLDER]; /* where runs write; "" before mr_rerun_open() */
};

/* A figure of a run: the double at `offset` of a measure gets the sum of all values that
 * Prometheus' text has under `name`, or of those whose labels contain both texts. */
struct mr_rerun_figure {
    const char *name;
    size_t offset;
    const char *label, *other; /* NULL: any */
};

/* Makes the folder, and has the signals that end a run end the one under way only. Exit code, told.
 */
int mr_rerun_open(struct mr_rerun *rerun, const char *command);
void mr_rerun_close(struct mr_rerun *rerun);
bool mr_rerun_stopped(void);
/* Is --help the first option? Then the text is printed. */
bool mr_rerun_help(int argc, char **argv, const char *text);
/* Did all runs end with exit code 0, and is there something to tell? Says when a signal ended them:
 * that is no error, as it is none of `run`. */
bool mr_rerun_whole(int code);

/* One run with `n_more` options more; clears the measure and fills it. Its exit code, or one of
 * ours, told. */
int mr_rerun_once(const struct mr_rerun *rerun, const char *const *more, uint32_t n_more,
                  const struct mr_rerun_figure *figures, size_t n_figures, void *measure,
                  size_t measure_bytes, uint64_t *hash);

/* Options of ours. Is argv[*i] this one? Then its value, "" when there is none. */
const char *mr_rerun_value(int argc, char **argv, int *i, const char *name);
/* Exit code, told. */
int mr_rerun_rounds(const char *value, uint32_t *rounds);
/* One for `run`; refused, and told, when `command` sets it itself. */
int mr_rerun_pass(struct mr_rerun *rerun, const char *command, char *option);

double mr_rerun_median(double *values, uint32_t n); /* sorts them */
/* Does a report go to standard output? Then what is for people goes to standard error. */
bool mr_rerun_to_output(const char *path); /* NULL: it goes nowhere */
/* Prints to a file, or to standard output; exit code, told. */
int mr_rerun_write(const char *path, void (*print)(const void *context, FILE *to),
                   const void *context);

#endif
