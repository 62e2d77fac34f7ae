/* What the commands share: exit codes, and how a failure is told. */
#ifndef MR_CLI_CLI_H
#define MR_CLI_CLI_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Documented in README.md; scripts rely on them. */
enum mr_exit {
    MR_EXIT_OK = 0,
    MR_EXIT_USAGE = 1,   /* an option or argument is wrong */
    MR_EXIT_PROGRAM = 2, /* a program, pattern or model is wrong */
    MR_EXIT_INPUT = 3,   /* a capture cannot be read, or not to its end */
    MR_EXIT_OUTPUT = 4,  /* events could not be written */
    MR_EXIT_START = 5,   /* the engine cannot start on this machine */
    MR_EXIT_INTERNAL = 6 /* our fault */
};

int mr_cli_exit_code(enum mr_status status);

/* Prints "millrace: TEXT" (unless there is no text: then it was told) and returns the exit code. */
int mr_cli_fail(const struct mr_error *error);

/* What --set takes: NAME=VALUE or PROGRAM:NAME=VALUE. */
bool mr_cli_is_setting(const char *text);

/* SIGINT, SIGTERM and SIGHUP (unless it is ignored, as under nohup) call this from now on. What
 * SIGHUP means is a matter of the command. */
void mr_cli_catch_signals(void (*handler)(int number));

/* The progress bar on standard error, as mr_engine_config wants it; and off the screen again. */
void mr_cli_progress(void *user, uint64_t done, uint64_t total, uint64_t packets);
void mr_cli_progress_end(void);

/* SIGHUP has two meanings: logs are to be opened again, where there are any (`has_file`), or the
 * terminal is gone, and with it who was watching. First, before the engine starts: while it does,
 * a rotation is noted, and the other one ends the process, as SIGINT and SIGTERM do. */
void mr_cli_catch_early(bool has_file);
bool mr_cli_rotated_early(void);

/* Which of the two was it? False also for other signals. Async-signal-safe. */
bool mr_cli_is_rotation(int number);

/* Called for each signal that asks for the end: was it asked for a second ago or more? Something
 * holds the end up then (who should read the events does not), and is not waited for any more.
 * Async-signal-safe. */
bool mr_cli_is_impatient(void);
/* Ends the process as if it had never caught the signal, but that nothing of the engine (NULL:
 * there is none) stays: mr_engine_abandon(). Async-signal-safe. */
struct mr_engine;
void mr_cli_end_by(struct mr_engine *engine, int number);

/* The reports of a run, NULL where none is asked for ("-" for the tables: standard output). Could
 * they be written, once the folders of that run are made? Says which not, and gives the exit code:
 * who named it learns that before the packets and not behind them. */
struct mr_engine_config;
int mr_cli_check_reports(const char *summary, const char *tables,
                         const struct mr_engine_config *config);
int mr_cli_write_reports(struct mr_engine *engine, const char *summary, const char *tables);

/* Each command gets its own arguments, argv[0] its name. */
int mr_cli_run(int argc, char **argv);
int mr_cli_scale(int argc, char **argv);
int mr_cli_compare(int argc, char **argv);
int mr_cli_check(int argc, char **argv);
int mr_cli_explain(int argc, char **argv);
int mr_cli_ctl(int argc, char **argv);
int mr_cli_components(int argc, char **argv);
int mr_cli_doctor(int argc, char **argv);
int mr_cli_patterns(int argc, char **argv);
int mr_cli_train(int argc, char **argv);
int mr_cli_model(int argc, char **argv);
int mr_cli_score(int argc, char **argv);

#endif
