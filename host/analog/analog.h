/* Compiling ANALOG: text -> lexer -> parser -> resolve -> types -> plan. All errors of a program
 * are reported in one run. Start-up only, one thread.
 */
#ifndef MR_ANALOG_ANALOG_H
#define MR_ANALOG_ANALOG_H

#include "analog/plan.h"

#include <stdio.h>

/* What programs are compiled against. The caller hands the table in, so tests can hand in
 * another. */
struct mr_analog_config {
    const struct mr_component *const *components;
    uint32_t n_components;
    const char *const *settings; /* "NAME=VALUE" each, from --set */
    uint32_t n_settings;
    bool bypass_encrypted; /* as the engine's option: MR_FLOW_ENCRYPTED is like MR_FLOW_BYPASSES */
    bool *used; /* (optional) [n_settings] set for those that the program has a parameter for;
                   others are no error then */
};

/* Messages are collected here; mr_diagnostics_print() writes them in source order, with the line
 * and a caret. */
struct mr_diagnostics;

struct mr_diagnostics *mr_diagnostics_new(void);
void mr_diagnostics_free(struct mr_diagnostics *diagnostics);
uint32_t mr_diagnostics_errors(const struct mr_diagnostics *diagnostics);
void mr_diagnostics_print(const struct mr_diagnostics *diagnostics, FILE *to, bool color);

/* A program that was compiled and bound: immutable, the raw material of plans. Owners count. */
struct mr_program;

/* Compiles and binds the program in a file ("-": standard input); `name` NULL: the file's without
 * folder and suffix. On MR_ERR_PROGRAM the reasons are in `diagnostics`. Other statuses (file
 * unreadable: MR_ERR_PROGRAM too, out of memory) have a message there as well. */
enum mr_status mr_analog_program_file(const char *path, const char *name,
                                      const struct mr_analog_config *config,
                                      struct mr_diagnostics *diagnostics,
                                      struct mr_program **program);

/* The same for text in memory; `name` stands for the file in messages. */
enum mr_status mr_analog_program_text(const char *name, const char *text, size_t len,
                                      const struct mr_analog_config *config,
                                      struct mr_diagnostics *diagnostics,
                                      struct mr_program **program);

const char *mr_program_name(const struct mr_program *program);
const char *mr_program_path(const struct mr_program *program);
struct mr_program *mr_program_share(struct mr_program *program); /* one more owner */
void mr_program_release(struct mr_program *program);             /* NULL is allowed */

/* Makes one plan of programs (1 to MR_MAX_PROGRAMS, names all different). What two of them do alike
 * from packet capture on stands in it once. Where a stage and all before it do the same as in
 * `before` (NULL: there is none), configurations are taken from there. Reports to `diagnostics`
 * as above. The plan is the caller's: mr_plan_free(). */
enum mr_status mr_analog_plan(struct mr_program *const *programs, uint32_t n_programs,
                              const struct mr_plan *before, struct mr_diagnostics *diagnostics,
                              struct mr_plan **plan);

/* A plan of one program that is only looked at: the programs it ships to may be missing. */
enum mr_status mr_analog_plan_alone(struct mr_program *program, struct mr_diagnostics *diagnostics,
                                    struct mr_plan **plan);

/* The same in one go. */
enum mr_status mr_analog_compile_file(const char *path, const struct mr_analog_config *config,
                                      struct mr_diagnostics *diagnostics, struct mr_plan **plan);
enum mr_status mr_analog_compile_text(const char *name, const char *text, size_t len,
                                      const struct mr_analog_config *config,
                                      struct mr_diagnostics *diagnostics, struct mr_plan **plan);

/* NULL is allowed; unbinds what nobody else keeps. */
void mr_plan_free(struct mr_plan *plan);

/* `millrace explain`: for people, for graphviz, and as a finished drawing. */
void mr_plan_print_text(const struct mr_plan *plan, FILE *to);
void mr_plan_print_dot(const struct mr_plan *plan, FILE *to);
void mr_plan_print_svg(const struct mr_plan *plan, FILE *to);

const char *mr_type_name(enum mr_type type);

#endif
